"""Files are there whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fewshot_sep import files
from fewshot_sep.errors import OutputError


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.txt"
    with files.replacing(path) as temporary:
        temporary.write_text("half")
        assert not path.exists() and temporary.parent == path.parent
    assert path.read_text() == "half" and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("raised", [ValueError(), KeyboardInterrupt(), SystemExit(143)])
def test_an_exception_leaves_the_old_file_and_no_other(tmp_path: Path, raised: BaseException) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(raised)), files.replacing(path) as temporary:
        temporary.write_text("new")
        raise raised
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_is_one_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "a.txt", tmp_path / "folder"):
        with pytest.raises(OutputError, match=f"{path.name}: cannot be written"):
            files.write_text(path, "text")
    with pytest.raises(OutputError, match="No space left"), files.replacing(tmp_path / "a") as temporary:
        raise OSError(28, "No space left on device", str(temporary))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize("indent", [None, 2])
def test_json_and_text_are_utf8_with_plain_newlines(tmp_path: Path, indent: int | None) -> None:
    content = {"né": ["夜", 1.5, None]}
    files.write_json(tmp_path / "a.json", content, indent)
    written = (tmp_path / "a.json").read_bytes()
    assert json.loads(written) == content
    assert "夜".encode() in written and written.endswith(b"}\n") and b"\r" not in written
