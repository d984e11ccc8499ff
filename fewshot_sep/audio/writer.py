"""Writing sound files."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
import soundfile
from numpy.typing import ArrayLike

from fewshot_sep import files
from fewshot_sep.audio import riff
from fewshot_sep.audio.decoders import system_path
from fewshot_sep.audio.samples import Samples, validate
from fewshot_sep.errors import OutputError

_FORMATS = {
    ".wav": ("WAV", "FLOAT"),
    ".flac": ("FLAC", "PCM_24"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
_OPUS_KBIT_S = 6, 256  # a channel's least and most in libsndfile, at compression levels 1 and 0
_BYTES = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
_RIFF_MAX_BYTES = 2**32 - 2**16  # a wav's sizes have 32 bits; the rest is room for its header


class AudioWriter:
    """Writes a sound file block by block under a temporary name beside `path`; it gets its name when all went well.

    On any exception, Ctrl-C included, nothing is left. The suffix decides: `.wav` (32-bit float unless `subtype` says
    otherwise), `.flac` (24 bit), `.ogg`, `.opus` or `.mp3` (lossy); but for float, what is beyond 1 is clipped.
    `frames` is the number of samples to come, where it is known: a wav of more than 4 GB needs it, and becomes RF64.
    `tags`: title, artist and the like, as `AudioFile.tags` gives them. `kbit_s`: of a channel, for opus alone, which
    takes rates of 48, 24, 16, 12 and 8 kHz. The same samples give the same bytes (not so in Ogg).
    Raises OutputError: cannot be written, NaN or Inf, not `frames` samples.

        with AudioWriter("out.wav", 44100, channels=2) as writer:
            writer.write(block)  # (channels, n)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        sample_rate: int,
        channels: int,
        frames: int | None = None,
        subtype: str | None = None,
        tags: Mapping[str, str] | None = None,
        kbit_s: float | None = None,
    ) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() not in _FORMATS:
            raise OutputError(f"{self.path}: name it {', '.join(_FORMATS)}; other formats are not written")
        self._format, usual = _FORMATS[self.path.suffix.lower()]
        self._subtype = subtype or usual
        self._bytes_per_frame = channels * _BYTES.get(self._subtype, 8)
        self._expected = frames
        self._tags = dict(tags or {})
        least, most = _OPUS_KBIT_S
        self._compression = None if kbit_s is None else (most - kbit_s) / (most - least)
        if self._format == "WAV" and (frames or 0) * self._bytes_per_frame > _RIFF_MAX_BYTES:
            self._format = "RF64"
        self.sample_rate = sample_rate
        self.channels = channels
        self.frames = 0

    @property
    def bounded(self) -> bool:
        """Whether the format cannot hold samples beyond 1."""
        return self._subtype not in ("FLOAT", "DOUBLE")

    def __enter__(self) -> AudioWriter:
        with contextlib.ExitStack() as stack:
            if self.path.is_dir():
                raise OutputError(f"{self.path}: cannot be written: it is a directory")
            self._temporary = stack.enter_context(files.replacing(self.path))
            with self._explained():
                self._file = soundfile.SoundFile(
                    system_path(self._temporary),
                    "w",
                    self.sample_rate,
                    self.channels,
                    format=self._format,
                    subtype=self._subtype,
                    compression_level=self._compression,
                )
            stack.push(self._finish)
            for name, value in self._tags.items():
                setattr(self._file, name, value)
            self._open = stack.pop_all()
        return self

    def write(self, block: ArrayLike) -> None:
        """Append a block (channels, n)."""
        samples = np.asarray(block, np.float32)
        if samples.ndim != 2 or samples.shape[0] != self.channels:
            raise ValueError(f"expected a block of ({self.channels}, n), not {samples.shape}")
        if not np.isfinite(samples).all():
            raise OutputError(f"{self.path}: NaN or Inf instead of sound; not written")
        self.frames += samples.shape[1]
        if self._format == "WAV" and self.frames * self._bytes_per_frame > _RIFF_MAX_BYTES:
            raise OutputError(f"{self.path}: is over 4 GB, which a wav whose length was not announced cannot hold")
        with self._explained():
            self._file.write(samples.T)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, traceback)

    def _finish(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the temporary file; if all went well, check that the disk holds all of it."""
        if error is not None:
            with contextlib.suppress(soundfile.LibsndfileError):
                self._file.close()
            return
        if self._expected is not None and self.frames != self._expected:
            self._file.close()
            raise OutputError(f"{self.path}: {self.frames} samples instead of {self._expected}; not written")
        with self._explained():
            self._file.close()
            written = soundfile.info(system_path(self._temporary)).frames
        if written < self.frames or (written > self.frames and self._format != "MP3"):  # which pads its last frame
            raise OutputError(f"{self.path}: cannot be written: the disk did not take all of it")
        _zero_peak_time(self._temporary)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (soundfile.LibsndfileError, AssertionError) as error:  # AssertionError: it wrote less than asked
            raise OutputError(f"{self.path}: cannot be written; is the disk full?") from error
        except ValueError as error:
            raise OutputError(f"{self.path}: cannot be written as {self._format} {self._subtype}") from error


def write(path: str | os.PathLike[str], samples: ArrayLike, sample_rate: int, *, subtype: str | None = None) -> None:
    """Write (channels, samples) to a sound file in one go; see `AudioWriter`."""
    array = validate(samples, str(path))
    with AudioWriter(path, sample_rate, array.shape[0], array.shape[1], subtype) as writer:
        writer.write(array)


def encode(samples: Samples, sample_rate: int, container: str = "MP3", subtype: str | None = None) -> bytes:
    """A sound file in memory, unchecked: for web pages, and for test files that must hold NaN.

    Shape: samples (channels, n); but for float, what is beyond 1 is clipped. container, subtype: as libsndfile names
    them. MP3 plays in every browser; its rates are the usual ones to 48 kHz.
    """
    file = io.BytesIO()
    if subtype not in ("FLOAT", "DOUBLE"):
        samples = samples.clip(-1, 1)
    soundfile.write(file, samples.T, sample_rate, subtype, format=container)
    return file.getvalue()


def _zero_peak_time(path: Path) -> None:
    """Zero the clock time that libsndfile puts into a float wav's PEAK chunk, so that equal results are equal bytes."""
    with path.open("r+b") as file:
        for chunk in riff.chunks(file):
            if chunk.name == b"PEAK":
                file.seek(chunk.start + 4)
                file.write(bytes(4))
