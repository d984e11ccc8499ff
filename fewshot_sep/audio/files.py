"""Sound files and arrays at the boundary: the only place that opens or writes audio files.

Arrays are (channels, samples) float32, one or two channels, finite. A file is decoded once from start to end when it is
opened, so that what is wrong with it is known before any work begins; that takes bounded memory however long it is.
"""

from __future__ import annotations

import contextlib
import io
import os
import secrets
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import soundfile
from numpy.typing import ArrayLike, NDArray

from fewshot_sep.audio.decoders import Decoder, open_decoder, system_path
from fewshot_sep.errors import BadAudio, OutputError

Samples = NDArray[np.float32]

_LOSSY_SLACK_S = 0.1  # by how much a lossy file may miss its promise: coders count their own padding differently
_KEPT_S = 60.0
_FORMATS = {
    ".wav": ("WAV", "FLOAT"),
    ".flac": ("FLAC", "PCM_24"),
    ".ogg": ("OGG", "VORBIS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
_BYTES = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
_RIFF_MAX_BYTES = 2**32 - 2**16  # a wav's sizes have 32 bits; the rest is room for its header


class Source(Protocol):
    """Something that gives samples by position: an `AudioFile` or an `ArraySource`."""

    sample_rate: int
    channels: int
    frames: int

    def read(self, start: int, stop: int) -> Samples:
        """Frames [start, stop) as (channels, n); clipped to what there is, like a slice."""


def validate(samples: ArrayLike, name: str) -> Samples:
    """Check an array on its way in and return it as (channels, samples) float32; 1-D becomes one channel.

    Raises BadAudio, calling the array `name`: not real floating point, no samples, more than two channels, NaN or Inf.
    """
    array = np.asarray(samples)
    if array.dtype.kind != "f":
        raise BadAudio(f"{name}: has dtype {array.dtype}; pass floating point in [-1, 1] (for int16: divide by 32768)")
    if array.ndim == 1:
        array = array[None]
    if array.ndim != 2:
        raise BadAudio(f"{name}: has shape {array.shape}; pass (channels, samples)")
    if array.size == 0:
        raise BadAudio(f"{name}: has no samples")
    if array.shape[0] > 2:
        hint = "; it looks transposed, pass .T" if array.shape[1] <= 2 else "; downmix first, for example to its mean"
        raise BadAudio(f"{name}: has {array.shape[0]} channels, one or two are supported{hint}")
    with np.errstate(over="ignore"):  # what does not fit float32 becomes Inf, and is refused below
        array = np.ascontiguousarray(array, dtype=np.float32)
    census = _Census()
    census.add(array)
    census.refuse_non_finite(name)
    return array


def resample(samples: Samples, from_rate: float, to_rate: float, *, frames: int | None = None) -> Samples:
    """Change the sample rate (soxr HQ) of (channels, samples), to exactly `frames` samples.

    Without `frames`: round(samples * to_rate / from_rate), but at least one. Raises ValueError for rates of 0 or less.
    """
    if min(from_rate, to_rate) <= 0:
        raise ValueError(f"sample rates must be positive, not {from_rate} and {to_rate}")
    if frames is None:
        frames = max(1, round(samples.shape[-1] * to_rate / from_rate))
    if from_rate == to_rate:
        resampled = samples
    else:
        import soxr

        resampled = soxr.resample(np.ascontiguousarray(samples.T, np.float32), from_rate, to_rate, quality="HQ").T
    out = np.zeros((samples.shape[0], frames), np.float32)
    kept = min(frames, resampled.shape[-1])
    out[:, :kept] = resampled[:, :kept]
    return out


class ArraySource:
    """An array with the face of an `AudioFile`. Validates; `samples` is (channels, samples)."""

    def __init__(self, samples: ArrayLike, sample_rate: int, name: str = "array") -> None:
        self._samples = validate(samples, name)
        self.sample_rate = sample_rate
        self.channels, self.frames = self._samples.shape

    def read(self, start: int, stop: int) -> Samples:
        start, stop = _clip(start, stop, self.frames)
        return self._samples[:, start:stop]


class AudioFile:
    """An open sound file that was decoded once, start to end, and can be read at any position, exactly.

    Attributes: `path`; `sample_rate` in Hz; `channels` (1 or 2); `frames` that can be read; `peak`, the largest
    magnitude; `tags`: title, artist and the like, where libsndfile reads them; `warnings`, one line each: the file was
    cut short or is damaged, with its readable and promised duration.
    `stream`: which audio stream of a container that has several (mp4, as ffmpeg counts them).
    Raises BadAudio (missing, empty, not audio, no samples, NaN or Inf, more than two channels; with `strict` also where
    there would be a warning), EngineMissing (needs ffmpeg, and there is none).
    """

    def __init__(self, path: str | os.PathLike[str], *, strict: bool = False, stream: int = 0) -> None:
        self.path = Path(path)
        _check_is_file(self.path)
        try:
            self._decoder = open_decoder(self.path, stream)
            self.sample_rate = self._decoder.sample_rate
            self.channels = self._decoder.channels
            self._refuse_many_channels()
            census = _Census()
            for block in self._decoder.blocks():
                census.add(block)
            self.frames, self.peak = census.frames, census.peak
            problem = self._shortfall()
        except OSError as error:
            raise BadAudio(f"{self.path}: cannot be read: {error.strerror or error}") from error
        if not self.frames:
            raise BadAudio(f"{self.path}: has no samples")
        census.refuse_non_finite(str(self.path), self.sample_rate)
        if problem and strict:
            raise BadAudio(f"{problem}; refused, as strict reading was asked for")
        self.warnings = [problem] if problem else []
        self.tags = _tags(self.path)
        exact = self._decoder.seekable and not self._decoder.damaged
        self._reader: _Seeking | _Replaying = _Seeking(self.path) if exact else _Replaying(self._decoder)

    def _refuse_many_channels(self) -> None:
        if self.channels > 2:
            out = self.path.with_name(f"{self.path.stem}-stereo.wav")
            raise BadAudio(
                f"{self.path}: has {self.channels} channels, one or two are supported; "
                f"downmix first: ffmpeg -i '{self.path}' -ac 2 '{out}'"
            )

    def _shortfall(self) -> str | None:
        promise = self._decoder.promise()
        seconds = self.frames / self.sample_rate
        slack = 0 if self._decoder.seekable else round(_LOSSY_SLACK_S * self.sample_rate)
        if promise.frames is not None and promise.frames > self.frames + slack:
            return (
                f"{self.path}: is cut short or damaged: {seconds:.3f} s of the promised "
                f"{promise.frames / self.sample_rate:.3f} s could be read ({self.frames} of {promise.frames} samples)"
            )
        if self._decoder.damaged or not promise.complete:
            return f"{self.path}: is cut short or damaged: {seconds:.3f} s could be read, its end is missing"
        return None

    def read(self, start: int, stop: int) -> Samples:
        """Frames [start, stop) as (channels, n) float32; clipped to what there is, like a slice."""
        start, stop = _clip(start, stop, self.frames)
        samples = self._reader.read(start, stop)
        if samples.shape != (self.channels, stop - start):
            raise BadAudio(f"{self.path}: changed while it was being read")
        return samples

    def close(self) -> None:
        self._reader.close()

    def __enter__(self) -> AudioFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _tags(path: Path) -> dict[str, str]:
    try:
        with soundfile.SoundFile(system_path(path)) as file:
            return dict(file.copy_metadata())
    except (soundfile.LibsndfileError, OSError, UnicodeDecodeError):  # decoded by another program
        return {}


def open_audio(path: str | os.PathLike[str], *, strict: bool = False) -> AudioFile:
    """Open a sound file; see `AudioFile`."""
    return AudioFile(path, strict=strict)


def read(path: str | os.PathLike[str], *, strict: bool = False, stream: int = 0) -> tuple[Samples, int]:
    """A whole sound file as ((channels, samples) float32, sample rate); see `AudioFile`."""
    with AudioFile(path, strict=strict, stream=stream) as file:
        return file.read(0, file.frames), file.sample_rate


class AudioWriter:
    """Writes a sound file block by block under a temporary name beside `path`; it gets its name when all went well.

    On any exception, Ctrl-C included, nothing is left. The suffix decides: `.wav` (32-bit float unless `subtype` says
    otherwise), `.flac` (24 bit), `.ogg` or `.mp3` (lossy); but for float, what is beyond 1 is clipped. `frames` is the
    number of samples to come, where it is known: a wav of more than 4 GB needs it, and becomes RF64. `tags`: title,
    artist and the like, as `AudioFile.tags` gives them. The same samples give the same bytes (not so in Ogg).
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
    ) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() not in _FORMATS:
            raise OutputError(f"{self.path}: name it {', '.join(_FORMATS)}; other formats are not written")
        self._format, usual = _FORMATS[self.path.suffix.lower()]
        self._subtype = subtype or usual
        self._bytes_per_frame = channels * _BYTES.get(self._subtype, 8)
        self._expected = frames
        self._tags = dict(tags or {})
        if self._format == "WAV" and (frames or 0) * self._bytes_per_frame > _RIFF_MAX_BYTES:
            self._format = "RF64"
        self.sample_rate = sample_rate
        self.channels = channels
        self.frames = 0
        self._temporary = self.path.with_name(f".{secrets.token_hex(8)}.part")
        self._file: Any = None

    @property
    def bounded(self) -> bool:
        """Whether the format cannot hold samples beyond 1."""
        return self._subtype not in ("FLOAT", "DOUBLE")

    def __enter__(self) -> AudioWriter:
        try:
            if self.path.is_dir():
                raise IsADirectoryError("it is a directory")
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._temporary.touch(exist_ok=False)  # unlike libsndfile, says why it cannot
            self._file = soundfile.SoundFile(
                system_path(self._temporary),
                "w",
                self.sample_rate,
                self.channels,
                format=self._format,
                subtype=self._subtype,
            )
            for name, value in self._tags.items():
                setattr(self._file, name, value)
        except BaseException as error:
            self._discard()
            self._explain(error)
            raise
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
        try:
            self._file.write(samples.T)
        except (
            OSError,
            soundfile.LibsndfileError,
            AssertionError,
        ) as error:  # AssertionError: it wrote less than asked
            self._explain(error)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self._discard()
            return
        try:
            if self._expected is not None and self.frames != self._expected:
                raise OutputError(f"{self.path}: {self.frames} samples instead of {self._expected}; not written")
            self._file.close()
            written = soundfile.info(system_path(self._temporary)).frames
            if written < self.frames or (written > self.frames and self._format != "MP3"):  # which pads its last frame
                raise OSError("the disk did not take all of it")
            _zero_peak_time(self._temporary)
            self._temporary.replace(self.path)
        except BaseException as failure:
            self._discard()
            self._explain(failure)
            raise

    def _discard(self) -> None:
        with contextlib.suppress(soundfile.LibsndfileError):
            if self._file is not None:
                self._file.close()
        with contextlib.suppress(OSError):  # the folder itself may be gone, or be no folder
            self._temporary.unlink(missing_ok=True)

    def _explain(self, error: BaseException) -> None:
        if isinstance(error, (soundfile.LibsndfileError, AssertionError)):
            raise OutputError(f"{self.path}: could not be written; is the disk full?") from error
        if isinstance(error, OSError):
            raise OutputError(f"{self.path}: could not be written: {error.strerror or error}") from error
        if isinstance(error, ValueError):
            raise OutputError(f"{self.path}: cannot be written as {self._format} {self._subtype}") from error


def write(path: str | os.PathLike[str], samples: ArrayLike, sample_rate: int, *, subtype: str | None = None) -> None:
    """Write (channels, samples) to a sound file in one go; see `AudioWriter`."""
    array = validate(samples, str(path))
    with AudioWriter(path, sample_rate, array.shape[0], array.shape[1], subtype) as writer:
        writer.write(array)


def to_mp3(samples: ArrayLike, sample_rate: int) -> bytes:
    """(channels, samples) as an MP3 file in memory, for web pages, which all play it. Rates: 8 to 48 kHz, the usual."""
    array = validate(samples, "the clip").clip(-1, 1)
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", sample_rate, len(array), "MPEG_LAYER_III", format="MP3") as writer:
        writer.write(array.T)
    return file.getvalue()


class _Census:
    """Counts frames, finds the peak and the samples that are not finite, block by block."""

    def __init__(self) -> None:
        self.frames = 0
        self.peak = 0.0
        self._bad = 0
        self._first_bad: tuple[int, int] | None = None

    def add(self, block: Samples) -> None:
        peak = float(np.abs(block).max(initial=0.0))
        if not np.isfinite(peak):
            bad = ~np.isfinite(block)
            if self._first_bad is None:
                frame = int(bad.any(axis=0).argmax())
                self._first_bad = self.frames + frame, int(bad[:, frame].argmax())
            self._bad += int(bad.sum())
        self.peak = max(self.peak, peak)
        self.frames += block.shape[1]

    def refuse_non_finite(self, name: str, sample_rate: int | None = None) -> None:
        if self._first_bad is not None:
            frame, channel = self._first_bad
            at = f" ({frame / sample_rate:.3f} s)" if sample_rate else ""
            count = "1 sample is" if self._bad == 1 else f"{self._bad} samples are"
            raise BadAudio(
                f"{name}: {count} NaN or Inf, the first at sample {frame}{at} of channel {channel}; "
                "repair it or export it again"
            )


class _Seeking:
    """Random access where libsndfile's seeking is exact."""

    def __init__(self, path: Path) -> None:
        self._file = soundfile.SoundFile(system_path(path))

    def read(self, start: int, stop: int) -> Samples:
        self._file.seek(start)
        block: Samples = self._file.read(stop - start, dtype="float32", always_2d=True)
        return np.ascontiguousarray(block.T)

    def close(self) -> None:
        self._file.close()


class _Replaying:
    """Random access over a decoder that only goes forward: keeps the last minute, begins anew to go further back."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._blocks: Iterator[Samples] = iter(())
        self._kept: deque[tuple[int, Samples]] = deque()
        self._position = 0
        self._running = False

    def read(self, start: int, stop: int) -> Samples:
        if not self._running or (self._kept and start < self._kept[0][0]):
            self._rewind()
        out = np.zeros((self._decoder.channels, stop - start), np.float32)
        for begin, block in self._kept:
            _overlay(out, start, block, begin)
        oldest = _KEPT_S * self._decoder.sample_rate
        while self._position < stop:
            following = next(self._blocks, None)
            if following is None:
                return out[:, :0]
            _overlay(out, start, following, self._position)
            self._kept.append((self._position, following))
            self._position += following.shape[1]
            while self._position - self._kept[0][0] > oldest:
                self._kept.popleft()
        return out

    def _rewind(self) -> None:
        self.close()
        self._blocks, self._running = self._decoder.blocks(), True

    def close(self) -> None:
        close = getattr(self._blocks, "close", None)
        if close:
            close()
        self._kept.clear()
        self._position, self._running = 0, False


def _overlay(out: Samples, start: int, block: Samples, begin: int) -> None:
    """Copy into `out`, which begins at frame `start`, what it shares with `block`, which begins at frame `begin`."""
    first, last = max(start, begin), min(start + out.shape[1], begin + block.shape[1])
    if first < last:
        out[:, first - start : last - start] = block[:, first - begin : last - begin]


def _clip(start: int, stop: int, frames: int) -> tuple[int, int]:
    if start < 0 or stop < start:
        raise ValueError(f"cannot read frames {start} to {stop}")
    return min(start, frames), min(stop, frames)


def _check_is_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise BadAudio(f"{path}: is a directory, not a sound file")
        if not path.exists():
            raise BadAudio(f"{path}: no such file")
        if not path.is_file():
            raise BadAudio(f"{path}: is not a regular file")
        if path.stat().st_size == 0:
            raise BadAudio(f"{path}: is empty")
        path.open("rb").close()
    except OSError as error:
        raise BadAudio(f"{path}: cannot be read: {error.strerror or error}") from error


def _zero_peak_time(path: Path) -> None:
    """Zero the clock time that libsndfile puts into a float wav's PEAK chunk, so that equal results are equal bytes."""
    with path.open("r+b") as file:
        mark = file.read(512).find(b"PEAK")
        if mark >= 0:
            file.seek(mark + 12)
            file.write(bytes(4))
