"""What has been found of a song so far, on disk: a file of raw samples with which a later run can resume."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from fewshot_sep.errors import OutputError

Array = NDArray[np.float32]


class Partial:
    """The target's samples as they come, beside `path` under a hidden name; a context manager.

    It is removed after success.

    Args:
        fingerprint: what the samples depend on, as JSON.
        keep: on an exception (Ctrl-C included) what is there stays, and the next `Partial` with an equal fingerprint
            begins with it; else it is removed.

    Raises:
        OutputError: the disk is full, the folder cannot be written, another run keeps its part here just now.
    """

    def __init__(self, path: Path, channels: int, fingerprint: Mapping[str, object], *, keep: bool = False) -> None:
        self.channels, self.keep = channels, keep
        own = "" if keep else f".{secrets.token_hex(8)}"  # runs that keep nothing do not meet
        self._samples = path.with_name(f".{path.name}{own}.part")
        self._fingerprint = self._samples.with_suffix(".json")
        self._text = json.dumps(fingerprint, sort_keys=True)
        self._bytes_per_frame = 4 * channels
        self._path = path

    def __enter__(self) -> Partial:
        with self._explained():
            self._file = self._samples.open("r+b" if self._samples.is_file() else "w+b")
            self._lock()
            known = self._fingerprint.is_file() and self._fingerprint.read_text(encoding="utf-8") == self._text
            self.frames = self._samples.stat().st_size // self._bytes_per_frame if known else 0
            self._file.truncate(self.frames * self._bytes_per_frame)
            if self.keep:
                self._fingerprint.write_text(self._text, encoding="utf-8")
        return self

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # not a POSIX system
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise OutputError(f"{self._path}: another run is at work on it") from error

    def write(self, block: Array) -> None:
        """Append samples `(channels, n)`."""
        with self._explained():
            self._file.seek(self.frames * self._bytes_per_frame)
            self._file.write(np.ascontiguousarray(block.T, dtype="<f4").tobytes())
            self._file.flush()
        self.frames += block.shape[1]

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
        if error is None or not self.keep:
            self._samples.unlink(missing_ok=True)
            self._fingerprint.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"{self._path}: could not be written: {error.strerror or error}") from error
