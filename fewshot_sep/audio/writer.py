"""Writing sound files."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

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
BLOCK = 4096
_BYTES = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
_MP3_KBPS = ((32_000, 320, 32), (16_000, 160, 8), (0, 64, 8))
"""From which sample rate on, the most and the least; 256 of them if not given."""
_MP3_USUAL_KBPS = 256
_OPUS_KBPS = 256, 6
"""The most and the least of a channel."""
_RIFF_MAX_BYTES = 2**32 - 2**16  # a wav's sizes have 32 bits; the rest is room for its header


class AudioWriter:
    """Writes a sound file block by block under a temporary name beside `path`; it gets its name when all went well.

    On any exception, Ctrl-C included, nothing is left. The suffix decides: `.wav` (32-bit float unless `subtype` says
    otherwise), `.flac` (24 bit), `.ogg`, `.opus` or `.mp3` (lossy); but for float, what is beyond 1 is clipped.
    `frames` is the number of samples to come, where it is known: a wav of more than 4 GB needs it, and becomes RF64.
    `tags`: title, artist and the like, as `AudioFile.tags` gives them; `warnings` says which could not be written.
    `bitrate`: in kbit/s, of mp3, as near as its sample rate allows, or of a channel of opus (whose rate is 48, 24, 16,
    12 or 8 kHz). The same samples give the same bytes (not so in Ogg).
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
        bitrate: int | None = None,
    ) -> None:
        self.path = Path(path)
        self._format, self._subtype = _form(self.path, subtype)
        self._bitrate = bitrate
        self._bytes_per_frame = channels * _BYTES.get(self._subtype, 8)
        self._expected = frames
        self._tags = {name: value for name, value in (tags or {}).items() if value}
        self.warnings: list[str] = []
        if self._format == "WAV" and (frames or 0) * self._bytes_per_frame > _RIFF_MAX_BYTES:
            self._format = "RF64"
        self.sample_rate = int(sample_rate)
        self.channels = channels
        self.frames = 0

    @property
    def bounded(self) -> bool:
        """Whether the format cannot hold samples beyond 1."""
        return self._subtype not in ("FLOAT", "DOUBLE")

    def __enter__(self) -> AudioWriter:
        self._written = self._writing()
        return self._written.__enter__()

    def __exit__(self, *exception: Any) -> None:
        self._written.__exit__(*exception)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[AudioWriter]:
        if self.path.is_dir():
            raise OutputError(f"{self.path}: cannot be written: it is a directory")
        with files.replacing(self.path) as temporary:
            with self._explained():
                self._file = soundfile.SoundFile(
                    system_path(temporary),
                    "w",
                    self.sample_rate,
                    self.channels,
                    format=self._format,
                    subtype=self._subtype,
                    **_quality(self._subtype, self.sample_rate, self._bitrate),
                )
            try:
                for name, value in self._tags.items():
                    self._tag(name, value)
                yield self
                if self._expected is not None and self.frames != self._expected:
                    raise OutputError(f"{self.path}: {self.frames} samples instead of {self._expected}; not written")
            except BaseException:
                with contextlib.suppress(soundfile.LibsndfileError):
                    self._file.close()
                raise
            self._finish(temporary)

    def _tag(self, name: str, value: str) -> None:
        try:
            setattr(self._file, name, value.encode("utf-8", "replace").decode().split("\0")[0])
        except (soundfile.LibsndfileError, RuntimeError):
            self.warnings.append(f"{self.path}: its tag {name} could not be written")

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

    def _finish(self, temporary: Path) -> None:
        """Close the file, and check that the disk holds all of it."""
        with self._explained():
            self._file.close()
            written = soundfile.info(system_path(temporary)).frames
        if written < self.frames or (written > self.frames and self._format != "MP3"):  # which pads its last frame
            raise OutputError(f"{self.path}: cannot be written: the disk did not take all of it")
        _zero_peak_time(temporary)

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


def check_writable(
    path: Path, sample_rate: int, channels: int, subtype: str | None = None, bitrate: int | None = None
) -> None:
    """Raise OutputError where the format that a path names cannot hold such sound; nothing is written."""
    form, subtype = _form(path, subtype)
    try:
        with soundfile.SoundFile(
            io.BytesIO(), "w", sample_rate, channels, subtype, format=form, **_quality(subtype, sample_rate, bitrate)
        ) as file:
            file.write(np.zeros((BLOCK, channels), np.float32))
    except (soundfile.LibsndfileError, ValueError, TypeError) as error:
        raise OutputError(
            f"{path}: {form.lower()} files cannot have a sample rate of {sample_rate} Hz; choose wav"
        ) from error


def _form(path: Path, subtype: str | None) -> tuple[str, str]:
    """What libsndfile calls the format and the samples of a file of this name."""
    if path.suffix.lower() not in _FORMATS:
        raise OutputError(f"{path}: name it {', '.join(_FORMATS)}; other formats are not written")
    form, usual = _FORMATS[path.suffix.lower()]
    return form, subtype or usual


def _quality(subtype: str, sample_rate: int, bitrate: int | None) -> dict[str, Any]:
    """Arguments of `SoundFile` for a bitrate: libsndfile maps 0 to the most, 1 to the least."""
    if subtype == "OPUS" and bitrate:
        most, least = _OPUS_KBPS
        return {"compression_level": (most - bitrate) / (most - least)}
    if subtype != "MPEG_LAYER_III":
        return {}
    most, least = next((most, least) for rate, most, least in _MP3_KBPS if sample_rate >= rate)
    wanted = min(max(bitrate or _MP3_USUAL_KBPS, least), most)
    return {"bitrate_mode": "CONSTANT", "compression_level": min((most - wanted) / (most - least), 0.99)}


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
