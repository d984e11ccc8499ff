"""Places where a living run is at work, marked on disk so that no other run takes them."""

from __future__ import annotations

import contextlib
import glob
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from fewshot_sep import files
from fewshot_sep.errors import OutputError

ENDING = ".claim.part"  # what a killed run leaves is swept as every part file is


@contextlib.contextmanager
def claim(place: Path, content: object) -> Iterator[bool]:
    """Whether a place, the path of results without their endings, is this run's alone until the block ends.

    Args:
        content: as JSON, for the others to read.

    Raises:
        OutputError: the folder cannot be made or written.
    """
    path = _mark(place)
    with _made(path.parent), _claimed(path, content) as is_ours:
        yield is_ours


@contextlib.contextmanager
def _claimed(path: Path, content: object) -> Iterator[bool]:
    files.sweep(path.parent)
    with files.explained(path.parent):
        held = _held(path)
    if held is None:
        yield False
        return
    try:
        with files.explained(path.parent):
            files.put_text(path, files.to_json(content, indent=None))
        yield True
    finally:
        path.unlink(missing_ok=True)
        held.close()


def _held(path: Path) -> IO[bytes] | None:
    """A new file whose lock this process holds; None where there is one already. Raises OSError."""
    while True:
        try:
            file = path.open("xb")
        except FileExistsError:
            return None
        if os.name != "posix":
            file.close()  # there is no lock to hold, and what is open could not be removed
            return file
        while not files.lock(file):  # another looks just now whether it is owned
            time.sleep(0.001)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(path.stat(), os.fstat(file.fileno())):
                return file
        file.close()  # it was swept before it was locked


def contents(places: Path) -> Iterator[object]:
    """What living runs have said of their places; in the name, NUL stands for any text."""
    pattern = glob.escape(str(_mark(places))).replace("\0", "*")
    for path in map(Path, glob.glob(pattern)):  # noqa: PTH207
        with contextlib.suppress(OSError, ValueError):  # it is gone by now
            if files.owned(path):
                yield files.read_json(path)


def _mark(place: Path) -> Path:
    return place.with_name(f".{place.name}{ENDING}")


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make the folder; where the work inside fails, remove again what was made, as far as it is empty."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be made ({error.strerror or error}); choose another folder with -o"
        ) from error
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            for path in missing:
                path.rmdir()
        raise
