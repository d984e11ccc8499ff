"""Files that are written whole or not at all: under a temporary name first, then renamed."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from fewshot_sep.errors import OutputError


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A new empty file beside `path` to be written by the block; it takes that name if the block ends well.

    On any exception, Ctrl-C included, nothing is left and `path` is as it was.

    Raises:
        OutputError: the folder cannot be made or written, the disk is full; an OSError of the block is one too.
    """
    path = Path(path)
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        with contextlib.suppress(OSError):  # the folder itself may be gone, or be no folder
            temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file in UTF-8; what is no Unicode (a file's name) is escaped as in JSON. Raises OutputError."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def write_json(path: str | os.PathLike[str], content: object, indent: int | None = 2) -> None:
    """Write JSON. Raises OutputError."""
    write_text(path, json.dumps(content, indent=indent, ensure_ascii=False) + "\n")
