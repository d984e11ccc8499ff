"""What a curation knows of each source file: `curation.json` in the library, from which a later run goes on."""

from __future__ import annotations

import math
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
        past = _renamed(files.read_json(path))
        entries = {name: _entry(folder, **about) for name, about in past["files"].items()}
        if past["settings"]["tracker"] != tracker:
            for entry in entries.values():
                entry.stamp = []
        before = past["source"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise BadLibrary(f"{path}: damaged ({error}); delete the folder and curate again") from error
    if before != str(source.resolve()):
        raise BadLibrary(f"{folder}: was curated from {before}; give that folder, or another library")
    return entries


def _renamed(item: Any) -> Any:
    if isinstance(item, list):
        return [_renamed(each) for each in item]
    if not isinstance(item, dict):
        return item
    return {_OLD_NAMES.get(name, name): _renamed(value) for name, value in item.items()}


def _entry(folder: Path, stamp: list[int], analysis: dict[str, Any] | None, edit: dict[str, Any], **rest: Any) -> Entry:
    """Raises ValueError, TypeError: damaged; above all, a piece that lies outside of the library."""
    entry = Entry(stamp if analysis else [], Analysis(**analysis or {}), Edit(**edit), **rest)
    numbers = [value for value in vars(entry.edit).values() if value is not None and not isinstance(value, str)]
    usual = Analysis()
    for name, value in vars(entry.analysis).items():
        wanted = type(getattr(usual, name))
        if wanted is float:
            numbers.append(value)
        elif type(value) is not wanted:
            raise TypeError(f"{name} is {value!r:.40}")
    if not all(type(number) in (int, float) and math.isfinite(number) for number in (*numbers, *entry.stamp)):
        raise TypeError("what must be a number is none")
    if not all(isinstance(text, str) for text in (entry.recipe, entry.note)) or not isinstance(entry.pieces, list):
        raise TypeError("what must be text is none")
    for piece in entry.pieces:
        files.inside(folder, piece)
    return entry


def save(folder: Path, source: Path, settings: Mapping[str, object], entries: Mapping[str, Entry]) -> None:
    """Write the state, whole or not at all. Raises OutputError."""
    about = {path: asdict(entry) for path, entry in sorted(entries.items())}
    state = {"source": str(source.resolve()), "settings": settings, "files": about}
    files.write_json(folder / NAME, state, indent=None)
