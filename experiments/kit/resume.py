"""Folders of runs that are gone on with."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from fewshot_sep.errors import FewshotSepError


def same_as_before(run: Path, asked: Mapping[str, Any], free: Collection[str] = ()) -> None:
    """Note the settings of a run in its folder, or compare them with the noted ones; those in `free` may differ.

    Raises:
        FewshotSepError: `run` holds a training with other settings.
    """
    note = run / "settings.json"
    run.mkdir(parents=True, exist_ok=True)
    asked = json.loads(json.dumps(asked))
    if note.is_file():
        before = json.loads(note.read_text(encoding="utf-8"))
        differing = [name for name in asked if name not in free and before.get(name) != asked[name]]
        if differing:
            raise FewshotSepError(
                f"{run}: holds a training with another {differing[0]} ({before.get(differing[0])}); "
                "give another --output"
            )
    note.write_text(json.dumps(asked), encoding="utf-8")
