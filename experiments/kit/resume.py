"""Runs that are resumed: in the same folder, with the same settings, without what is measured already."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import typer

from fewshot_sep import files
from fewshot_sep.errors import FewshotSepError


def same_as_before(run: Path, settings: Mapping[str, Any], free: Collection[str] = ()) -> None:
    """Note the settings of a run in its folder, or compare them with the noted ones; those in `free` may differ.

    Raises:
        FewshotSepError: `run` holds a training with other settings.
    """
    note = run / "settings.json"
    settings = json.loads(json.dumps(settings))
    if note.is_file():
        try:
            before = files.read_json(note)
            if not isinstance(before, dict):
                raise ValueError("no JSON object")
        except (OSError, ValueError) as error:
            raise FewshotSepError(f"{note}: damaged ({error}); give another --output") from error
        differing = [name for name in settings if name not in free and before.get(name) != settings[name]]
        if differing:
            raise FewshotSepError(
                f"{run}: holds a training with another {differing[0]} ({before.get(differing[0])}); "
                "give another --output"
            )
    files.write_json(note, settings)


def measured_once(path: Path, of: Mapping[str, Any], work: Callable[[], Any]) -> Any:
    """What `work` finds of what `of` describes, kept in a JSON file that is read where it is there and of the same."""
    kept = files.read_json(path) if path.is_file() else {}
    if kept.get("of") != of:
        typer.echo(f"measuring {path.stem}")
        files.write_json(path, {"of": dict(of), "found": work()})
        kept = files.read_json(path)
    return kept["found"]
