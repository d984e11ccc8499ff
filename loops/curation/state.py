"""What a curation knows of each source file: `curation.json` in the library, from which a later run goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fewshot_sep import files
from fewshot_sep.errors import BadLibrary
from fewshot_sep.loops.curation.analysis import Analysis
from fewshot_sep.loops.curation.decide import Edit
from fewshot_sep.loops.library import CSV_NAME

NAME = "curation.json"
_OLD_NAMES = {"heard": "analysis", "mark": "recipe", "print": "fingerprint"}


@dataclass
class Entry:
    """One source file.

    stamp: size and time of the file that was analysed. edit: what the user wrote. recipe: changes when the pieces would
    come out differently. pieces: paths of what was made, in the library. note: what was done to it.
    """

    stamp: list[int]
    analysis: Analysis = field(default_factory=Analysis)
    edit: Edit = field(default_factory=Edit)
    recipe: str = ""
    pieces: list[str] = field(default_factory=list)
    note: str = ""


def load(folder: Path, source: Path, tracker: str) -> dict[str, Entry]:
    """Entries by path; with another tracker than before their stamps are void, so that all is analysed again.

    Raises:
        BadLibrary: the folder holds another library, or the file is damaged.
    """
    path = folder / NAME
    if not path.is_file():
        if (folder / CSV_NAME).exists():
            raise BadLibrary(f"{folder}: already holds a library that curate did not make; give another folder")
        return {}
    try:
        past = json.loads(path.read_text(encoding="utf-8"), object_hook=_renamed)
        entries = {name: _entry(**about) for name, about in past["files"].items()}
        if past["settings"]["tracker"] != tracker:
            for entry in entries.values():
                entry.stamp = []
        before = past["source"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadLibrary(f"{path}: damaged ({error}); delete the folder and curate again") from error
    if before != str(source.resolve()):
        raise BadLibrary(f"{folder}: was curated from {before}; give that folder, or another library")
    return entries


def _renamed(item: dict[str, Any]) -> dict[str, Any]:
    return {_OLD_NAMES.get(name, name): value for name, value in item.items()}


def _entry(stamp: list[int], analysis: dict[str, Any] | None, edit: dict[str, Any], **rest: Any) -> Entry:
    return Entry(stamp if analysis else [], Analysis(**analysis or {}), Edit(**edit), **rest)


def save(folder: Path, source: Path, settings: Mapping[str, object], entries: Mapping[str, Entry]) -> None:
    """Write the state, whole or not at all. Raises OutputError."""
    about = {path: asdict(entry) for path, entry in sorted(entries.items())}
    state = {"source": str(source.resolve()), "settings": settings, "files": about}
    files.write_json(folder / NAME, state, indent=None)
