"""Songs and results in object stores: any URL that fsspec knows (`s3://`, `gs://`, `hf://`, `memory://`).

A store has no locks and no renaming, but what is put there appears whole or not at all. So a result is made in a local
folder and then put; and a note says before it that it comes, and afterwards that it is there. What a killed run had put
is known by its notes, and removed before the song is done again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fewshot_sep import extras, files
from fewshot_sep.errors import BadAudio, EngineMissing, FewshotSepError, OutputError, first_line

NOTES = ".fewshot-sep"
"""Folder of the notes in a store."""
URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+]+):/+(?P<rest>[^/].*)", re.DOTALL)


def as_url(path: Path | str) -> str | None:
    """The URL that is meant by what may have gone through a `Path`, which makes one slash of two; None for a file.

    >>> as_url(Path("s3://songs/a.mp3")), as_url(Path("file:///a.mp3")), as_url("a/b.mp3"), as_url("C:/a.mp3")
    ('s3://songs/a.mp3', 'file:///a.mp3', None, None)
    """
    found = URL.fullmatch(path.as_posix() if isinstance(path, Path) else path)
    if found is None:
        return None
    return f"{found['scheme']}://{'/' * (found['scheme'] in ('file', 'local'))}{found['rest']}"


class Note(NamedTuple):
    """What a store says of one song and evidence: which objects its results are, and whether all of them are there."""

    objects: tuple[str, ...]
    done: bool


class Store:
    """A folder, or a single object, in a store; pickled as its URL.

    Raises:
        EngineMissing: no package for such a store.
        FewshotSepError: one that cannot be opened.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        extras.require("ray", "fsspec")
        import fsspec

        try:
            folders = {"auto_mkdir": True} if self.url.startswith(("file:", "local:")) else {}
            self._system, root = fsspec.core.url_to_fs(self.url, **folders)
        except (ImportError, ValueError) as error:
            raise EngineMissing(f"{url}: {error}") from error
        except Exception as error:  # of any kind, by the store
            raise FewshotSepError(f"{url}: cannot be opened ({first_line(error)})") from error
        self._root = str(root).rstrip("/")

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return Store, (self.url,)

    def names(self) -> dict[str, str]:
        """All objects within, by name, and what changes when they do; "" names the object itself. Raises BadAudio."""
        try:
            self._system.invalidate_cache()
            found = self._system.find(self._root, detail=True)
        except FileNotFoundError:
            return {}
        except Exception as error:
            raise BadAudio(f"{self.url}: cannot be read: {first_line(error)}") from error
        return {
            str(path)[len(self._root) :].lstrip("/"): _version(facts)
            for path, facts in sorted(found.items())
            if facts.get("type") != "directory"
        }

    def read(self, name: str) -> bytes:
        """Raises BadAudio."""
        try:
            return bytes(self._system.cat_file(self._path(name)))
        except Exception as error:
            raise BadAudio(f"{self.url}/{name}: cannot be read: {first_line(error)}") from error

    def fetch(self, name: str, path: Path) -> None:
        """Copy an object to a file. Raises BadAudio: it cannot be read; OutputError: the disk is full."""
        with files.replacing(path) as temporary:
            try:
                self._system.get_file(self._path(name), str(temporary))
            except Exception as error:
                raise BadAudio(f"{self.url}/{name}".rstrip("/") + f": cannot be read: {first_line(error)}") from error

    def put(self, name: str, content: Path | bytes) -> None:
        """Whole or not at all. Raises OutputError."""
        try:
            if isinstance(content, bytes):
                self._system.pipe_file(self._path(name), content)
            else:
                self._system.put_file(str(content), self._path(name))
        except Exception as error:
            raise OutputError(f"{self.url}/{name}: cannot be written ({first_line(error)})") from error

    def remove(self, name: str) -> None:
        """Raises OutputError."""
        try:
            with contextlib.suppress(FileNotFoundError):
                self._system.rm_file(self._path(name))
        except Exception as error:
            raise OutputError(f"{self.url}/{name}: cannot be removed ({first_line(error)})") from error

    def notes(self) -> dict[str, Note]:
        """All notes, by key. Raises BadAudio."""
        found = {}
        for name in self.names():
            if name.startswith(f"{NOTES}/") and name.endswith(".json"):
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    content: dict[str, Any] = files.parse_json(self.read(name).decode())
                    found[Path(name).stem] = Note(tuple(map(str, content["objects"])), bool(content["done"]))
        return found

    def note(self, key: str, note: Note) -> None:
        """Each note is an object of its own, so that two workers never write the same. Raises OutputError."""
        content = {"objects": list(note.objects), "done": note.done}
        self.put(f"{NOTES}/{key}.json", files.to_json(content).encode())

    def clear(self, key: str, note: Note) -> None:
        """Remove what a killed run has put. Raises OutputError."""
        for name in (*note.objects, f"{NOTES}/{key}.json"):
            self.remove(name)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root


def key(*parts: object) -> str:
    """A name for what a result depends on.

    >>> key("a", 1) == key("a", 1) != key("a", 2)
    True
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _version(facts: Mapping[str, Any]) -> str:
    marks = (facts.get(name) for name in ("ETag", "etag", "md5Hash", "mtime", "created", "LastModified"))
    return f"{facts.get('size')} {next((mark for mark in marks if mark), '')}"
