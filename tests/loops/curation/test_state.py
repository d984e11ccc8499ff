"""A damaged or hostile curation.json deletes nothing and is one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fewshot_sep.errors import BadLibrary
from fewshot_sep.loops.curation import curate, state


def library(folder: Path, **changed: Any) -> Path:
    """A library folder whose state says `changed` of one file."""
    entry = {"stamp": [1, 2], "analysis": None, "edit": {}, "recipe": "", "pieces": [], "note": ""} | changed
    about = {"source": str((folder / "src").resolve()), "settings": {"tracker": "t"}, "files": {"a.wav": entry}}
    (folder / "lib").mkdir()
    (folder / "lib" / state.NAME).write_text(json.dumps(about))
    return folder / "lib"


@pytest.mark.parametrize(
    "piece", ["../victim", "/victim", "x/../../victim", "C:\\victim", "..\\victim", "", "a\0b", 3, None]
)
def test_pieces_outside_of_the_library_are_refused(tmp_path: Path, piece: Any) -> None:
    (tmp_path / "victim").write_text("untouched")
    with pytest.raises(BadLibrary, match="damaged"):
        state.load(library(tmp_path, pieces=[piece]), tmp_path / "src", "t")
    assert (tmp_path / "victim").exists()


def test_a_piece_behind_a_link_is_not_deleted(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "victim").write_text("untouched")
    folder = library(tmp_path, pieces=["link/victim"])
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    run = curate._Run.__new__(curate._Run)
    run.folder, run.entries = folder, state.load(folder, tmp_path / "src", "t")
    run._replace("a.wav", "", [], "")
    assert (tmp_path / "elsewhere" / "victim").exists()


OTHER_KINDS = [{"stamp": 3, "analysis": {"bpm": 1}}, {"pieces": "x"}, {"pieces": {}}, {"edit": []}, {"recipe": []}]


@pytest.mark.parametrize("changed", [*OTHER_KINDS, {"analysis": {"bpm": "x"}}, {"analysis": {"bpm": 10**400}}])
def test_values_of_another_kind_are_damage(tmp_path: Path, changed: Any) -> None:
    with pytest.raises(BadLibrary, match="damaged"):
        state.load(library(tmp_path, **changed), tmp_path / "src", "t")


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000, '{"files": 3}', "\xff", "null"], ids=lambda text: text[:9])
def test_no_state_is_a_traceback(tmp_path: Path, text: str) -> None:
    (library(tmp_path) / state.NAME).write_bytes(text.encode("latin-1"))
    with pytest.raises(BadLibrary, match="damaged"):
        state.load(tmp_path / "lib", tmp_path / "src", "t")
