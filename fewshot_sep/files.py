"""Files that are written whole or not at all: under a temporary name first, then renamed; and JSON, read with care."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

from fewshot_sep.errors import OutputError

try:
    import fcntl
except ImportError:  # not a POSIX system: nothing is locked, nothing swept
    fcntl = None  # type: ignore[assignment]

SOUND_SUFFIXES = {
    *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".caf", ".w64", ".au", ".wv"),
    *(".m4a", ".aac", ".mp4", ".webm", ".wma", ".mka"),
}
"""How the files end that are taken for sound where a folder is searched."""
MAX_WAIT_S = 120.0

_swept: set[Path] = set()
_passed: set[str] = set()


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """An OSError of the block, which writes there, as OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A new empty file beside `path` to be written by the block; it takes that name if the block ends well.

    On any exception, Ctrl-C included, nothing is left and `path` is as it was. What a killed process left in the folder
    is removed when this one first writes there.

    Raises:
        OutputError: the folder cannot be made or written, the disk is full; an OSError of the block is one too.
    """
    path = Path(path)
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.parent not in _swept:
                _swept.add(path.parent)
                sweep(path.parent)
            with _owned(temporary):
                yield temporary
                temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):  # the folder itself may be gone, or be no folder
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _owned(path: Path) -> Iterator[None]:
    """Make an empty file, and hold a lock on it: by that `sweep` knows that a living process writes it."""
    path.touch(exist_ok=False)
    while fcntl is not None:
        with path.open("ab") as file:
            if lock(file) and path.exists():  # else it is being swept: it was not locked yet
                yield
                return
    yield


def lock(file: IO[Any]) -> bool:
    """Whether this process now has an open file for itself; true also where files cannot be locked."""
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            return True
    return True


@contextlib.contextmanager
def first_time_alone(what: str) -> Iterator[None]:
    """The first time that this process gets here no other is inside: one waits for the other, two minutes at most.

    For libraries that compile on first use into a cache, which two at once may damage.
    """
    with contextlib.ExitStack() as stack:
        if what not in _passed and fcntl is not None:
            path = Path(tempfile.gettempdir()) / f"fewshot-sep-{os.getuid()}-{what}.lock"
            with contextlib.suppress(OSError):
                file = stack.enter_context(os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)))
                end = time.monotonic() + MAX_WAIT_S
                while not lock(file) and time.monotonic() < end:
                    time.sleep(0.05)
        _passed.add(what)  # already: what is called inside may ask too
        yield


def owned(path: Path) -> bool:
    """Whether a living process holds the lock on a file; False also where files cannot be locked. Raises OSError."""
    with path.open("rb") as file:
        return not lock(file)


def sweep(folder: Path) -> None:
    """Remove the temporary files (`.*.part`) in a folder that no living process owns: their writers were killed."""
    if fcntl is None:
        return
    for part in folder.glob(".*.part"):
        with contextlib.suppress(OSError):
            if part.is_symlink() or not part.is_file():
                continue
            with part.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                part.unlink()


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file in UTF-8; what is no Unicode (a file's name) is escaped as in JSON. Raises OutputError."""
    with replacing(path) as temporary:
        put_text(temporary, text)


def put_text(path: Path, text: str) -> None:
    """As `write_text`, but into a file as it stands. Raises OSError."""
    path.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def write_json(path: str | os.PathLike[str], content: object, indent: int | None = 2) -> None:
    """Write JSON. Raises OutputError."""
    write_text(path, to_json(content, indent))


def to_json(content: object, indent: int | None = 2) -> str:
    """JSON as it stands in files."""
    return json.dumps(content, indent=indent, ensure_ascii=False) + "\n"


def read_json(path: str | os.PathLike[str]) -> Any:
    """What a JSON file holds, whoever wrote it.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no regular file, not UTF-8, no JSON, or nested too deeply.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise ValueError("not a regular file")
    return parse_json(path.read_text(encoding="utf-8"))


def parse_json(text: str) -> Any:
    """As `json.loads`. Raises ValueError, also where it is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def shell_word(path: str | os.PathLike[str]) -> str:
    """A file's name as a shell's word, in commands that messages advise: it is one argument, and no option.

    What a terminal does not show (a line's end, bytes that are not UTF-8) is escaped as bash and zsh read it.

    >>> print(shell_word("a song.wav"), shell_word("-x.wav"), shell_word("a\\nb"))
    'a song.wav' ./-x.wav $'a\\012b'
    """
    text = os.fspath(path)
    text = f"./{text}" if text.startswith("-") else text
    if text.isprintable():
        return shlex.quote(text)
    shown = (char if char.isprintable() and char not in "\\'" else _octal(char) for char in text)
    return f"$'{''.join(shown)}'"


def _octal(char: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(char))


def is_there(path: Path) -> bool:
    """Whether it is a file; no, too, where the name is longer than a file's can be."""
    try:
        return path.is_file()
    except OSError:
        return False


def inside(folder: Path, name: object) -> Path:
    """The file that a list in `folder` calls `name`, with forward slashes.

    Raises:
        ValueError: `name` is no name of a file within the folder.

    >>> inside(Path("songs"), "a/b.wav").as_posix()
    'songs/a/b.wav'
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise ValueError(f"{name!r} is no file's name")
    windows = PureWindowsPath(name)
    if PurePosixPath(name).is_absolute() or windows.drive or windows.root or ".." in windows.parts:
        raise ValueError(f"{name!r} lies outside of {folder}")
    return folder / name
