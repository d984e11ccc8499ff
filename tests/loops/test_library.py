from __future__ import annotations

import string
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewshot_sep.errors import BadLibrary
from fewshot_sep.loops import library
from fewshot_sep.loops.library import COLUMNS, CSV_NAME, REQUIRED, Row

ROW = Row("piano/a.flac", "piano", "piano", "some font", "MIT, parts CC0", 97.3, 16.0, "song-1", "train")


def put_library(folder: Path, *rows: Row) -> None:
    for row in rows:
        (folder / row.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / row.path).touch()
    library.write(folder, rows)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    odd = replace(ROW, path="tuba/b c.flac", instrument="tuba", split="unseen", song='né "7", x', bpm=0.0)
    rows = (ROW, odd, replace(ROW, path="c.flac", section="mambo", loudness=-20.25, room=0.4))
    put_library(tmp_path, *rows)
    made = library.read(tmp_path)
    assert made.rows == rows
    assert all(made.file(row).is_file() for row in made)
    assert (made.split("train").rows, made.split("unseen").rows) == ((ROW, rows[2]), (odd,))


def test_tables_from_before_these_columns_are_read(tmp_path: Path) -> None:
    put_library(tmp_path, ROW)
    table = tmp_path / CSV_NAME
    lines = [line.rsplit(",", len(COLUMNS) - len(REQUIRED))[0] for line in table.read_text().splitlines()]
    assert lines[0].split(",") == list(REQUIRED)
    table.write_text("\n".join(lines) + "\n")
    assert library.read(tmp_path).rows == (ROW,)


def test_no_training_uses_held_out_instruments_and_others_keep_their_split() -> None:
    for name in ("bassoon", "Tuba", " banjo ", "Bandoneon", "Tango Accordion", "marimba", "sitar"):
        assert library.split_of(name, "train") == "unseen"
    for name in ("bass", "clarinet", "bass clarinet", "accordion-like", "xylophone"):
        assert [library.split_of(name, split) for split in ("train", "valid")] == ["train", "valid"]


def test_no_table_and_no_rows(tmp_path: Path) -> None:
    with pytest.raises(BadLibrary, match="make-library"):
        library.read(tmp_path)
    library.write(tmp_path, [])
    with pytest.raises(BadLibrary, match="no rows"):
        library.read(tmp_path)


@pytest.mark.parametrize("column", REQUIRED)
def test_missing_column_is_named(tmp_path: Path, column: str) -> None:
    put_library(tmp_path, ROW)
    table = tmp_path / CSV_NAME
    table.write_text(table.read_text().replace(column, f"{column}_", 1))
    with pytest.raises(BadLibrary, match=rf"\b{column} missing"):
        library.read(tmp_path)


@pytest.mark.parametrize("path", [ROW.path, "x" * 300])
def test_missing_file_is_named(tmp_path: Path, path: str) -> None:
    put_library(tmp_path, ROW)
    (tmp_path / ROW.path).unlink()
    library.write(tmp_path, [replace(ROW, path=path)])
    with pytest.raises(BadLibrary, match=rf"1 of 1 .*{path}"):
        library.read(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"split": "test"},
        {"path": "../outside.flac"},
        {"path": "/etc/hosts"},
        {"path": ""},
        {"instrument": "tuba", "split": "train"},
        {"source": "freepats/kit0"},
        {"loudness": "loud"},
        {"bpm": "fast"},
    ],
)
def test_bad_value_is_refused_with_its_line(tmp_path: Path, wrong: dict[str, str]) -> None:
    put_library(tmp_path, ROW)
    library.write(tmp_path, [ROW, replace(ROW, **wrong)])  # type: ignore[arg-type]
    with pytest.raises(BadLibrary, match="line 3"):
        library.read(tmp_path)


@given(st.text(string.printable, max_size=300))
def test_any_text_as_table_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("garbage")
    (folder / CSV_NAME).write_text(text)
    with pytest.raises(BadLibrary):
        library.read(folder)


def test_failed_write_leaves_the_old_table(tmp_path: Path) -> None:
    put_library(tmp_path, ROW)
    before = (tmp_path / CSV_NAME).read_bytes()

    with pytest.raises(TypeError):
        library.write(tmp_path, [ROW, "no row"])  # type: ignore[list-item]
    assert (tmp_path / CSV_NAME).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [CSV_NAME]
