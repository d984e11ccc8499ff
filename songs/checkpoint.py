"""What has been found of a song so far, on disk: a file of raw samples with which a later run can resume."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import stat
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from fewshot_sep import files
from fewshot_sep.errors import OutputError

Array = NDArray[np.float32]

MAX_BLOCK = 2**30  # bytes; a journal that says more is damaged


class Partial:
    """The target's samples as they come, beside `path` under a hidden name; a context manager.

    It is removed after success.

    Args:
        fingerprint: what the samples depend on, as JSON.
        keep: on an exception (Ctrl-C included) what is there stays, and the next `Partial` with an equal fingerprint
            begins with it; else it is removed.

    A kept file has a journal beside it: the fingerprint, then for each block its end and the CRC-32 up to there. Only
    blocks that are as they were written are used again.

    Raises:
        OutputError: the disk is full, the folder cannot be written, another run keeps its part here just now.
    """

    def __init__(self, path: Path, channels: int, fingerprint: Mapping[str, object], *, keep: bool = False) -> None:
        self.channels, self.keep = channels, keep
        kept = path.with_name(f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}.resume")
        self._kept = (kept, kept.with_suffix(".journal"))
        self._samples = kept if keep else path.with_name(f".{secrets.token_hex(8)}.part")  # these do not meet
        self._text = json.dumps(fingerprint, sort_keys=True)
        self._bytes_per_frame = 4 * channels
        self._path = path

    def __enter__(self) -> Partial:
        with self._explained():
            self._file = os.fdopen(_open(self._samples), "r+b")
            while not files.lock(self._file):
                if self.keep:
                    self._file.close()
                    raise OutputError(f"{self._path}: another run is at work on it")
                time.sleep(0.001)  # no other run has this name: one looks just now whether it is owned
            notes = self._intact() if self.keep else []
            self.frames, self._crc = notes[-1] if notes else (0, 0)
            self._file.truncate(self.frames * self._bytes_per_frame)
            if self.keep:
                self._journal = os.fdopen(_open(self._kept[1]), "r+", encoding="utf-8")
                self._journal.truncate(0)
                self._journal.writelines([f"{self._text}\n", *(f"{end} {crc}\n" for end, crc in notes)])
                self._journal.flush()
        return self

    def _intact(self) -> list[tuple[int, int]]:
        """Ends of the blocks of an earlier run that can be used, each with the CRC-32 of all up to there."""
        intact: list[tuple[int, int]] = []
        frames, crc = 0, 0
        self._file.seek(0)
        with contextlib.suppress(FileNotFoundError, ValueError):  # none, or a damaged line
            if not self._kept[1].is_file():
                return []
            first, *notes = self._kept[1].read_text(encoding="utf-8").splitlines()
            for note in notes if first == self._text else []:
                end, known = map(int, note.split())
                data = (
                    self._file.read(size) if 0 < (size := (end - frames) * self._bytes_per_frame) < MAX_BLOCK else b""
                )
                crc = zlib.crc32(data, crc)
                if not data or len(data) != size or crc != known:
                    break
                frames = end
                intact.append((end, crc))
        return intact

    def write(self, block: Array) -> None:
        """Append samples `(channels, n)`."""
        data = np.ascontiguousarray(block.T, dtype="<f4").tobytes()
        with self._explained():
            self._file.seek(self.frames * self._bytes_per_frame)
            self._file.write(data)
            self._file.flush()
            self.frames += block.shape[1]
            if self.keep:
                self._crc = zlib.crc32(data, self._crc)
                self._journal.write(f"{self.frames} {self._crc}\n")
                self._journal.flush()

    def read(self, start: int, stop: int) -> Array:
        """Samples `(channels, n)` written before."""
        with self._explained():
            self._file.seek(start * self._bytes_per_frame)
            found = self._file.read((min(stop, self.frames) - start) * self._bytes_per_frame)
        return np.frombuffer(found, dtype="<f4").reshape(-1, self.channels).T.astype(np.float32)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
        if self.keep:
            self._journal.close()
        if error is None or not self.keep:
            for path in {self._samples, *(self._kept if error is None else ())}:
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"{self._path}: could not be written: {error.strerror or error}") from error


def _open(path: Path) -> int:
    """A regular file to read and write, made if need be; whatever else has its name (a link, a pipe) is removed."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            path.unlink()
    return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0), 0o666)
