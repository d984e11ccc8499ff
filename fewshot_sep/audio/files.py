"""Reading sound files: decoded once, front to back, when opened, and then read at any position.

Arrays are (channels, samples) float32, one or two channels, finite. What is wrong with a file is thus known before any
work begins, in bounded memory however long it is.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from fewshot_sep.audio.decoders import Decoder, open_decoder, system_path
from fewshot_sep.audio.samples import Census, Samples, check_rate, clip
from fewshot_sep.errors import BadAudio, OutputError
from fewshot_sep.files import shell_word

_GATHERED_BLOCKS = 64
_LOSSY_SLACK_S = 0.1  # by how much a lossy file may miss its promise: coders count their own padding differently


class AudioFile:
    """An open sound file that was decoded once, start to end, and can be read at any position, exactly.

    Lossless files that libsndfile seeks in are read in place. All others (mp3, ogg, m4a, damaged files, ...) are
    decoded into a temporary file of 32-bit floats: 21 MB for a minute of stereo at 44.1 kHz. It lies in the folder for
    temporary files, which the environment variable TMPDIR sets, and is gone when the file is closed or Python ends.

    Attributes: `path`; `sample_rate` in Hz; `channels` (1 or 2); `frames` that can be read; `tags`: title, artist and
    the like, where libsndfile reads them; `warnings`, one line each: the file was cut short or is damaged, with its
    readable and promised duration.
    Raises BadAudio (missing, empty, not audio, no samples, NaN or Inf, more than two channels; with `strict` also where
    there would be a warning), OutputError (no room for the temporary file).
    """

    def __init__(self, path: str | os.PathLike[str], *, strict: bool = False) -> None:
        self.path = Path(path)
        self._reader, facts = _random_access(_open(self.path), strict)
        self.sample_rate, self.channels, self.frames, self.tags, self.warnings = facts

    def read(self, start: int, stop: int) -> Samples:
        """Frames [start, stop) as (channels, n) float32; clipped to what there is, like a slice."""
        start, stop = clip(start, stop, self.frames)
        samples = self._reader.read(start, stop)
        if samples.shape != (self.channels, stop - start) or not np.isfinite(samples).all():
            raise _changed(self.path)
        return samples

    def close(self) -> None:
        self._reader.close()

    def __enter__(self) -> AudioFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def open_audio(path: str | os.PathLike[str], *, strict: bool = False) -> AudioFile:
    """Open a sound file; see `AudioFile`."""
    return AudioFile(path, strict=strict)


def read(path: str | os.PathLike[str], *, strict: bool = False, stream: int = 0) -> tuple[Samples, int]:
    """A whole sound file as ((channels, samples) float32, sample rate); see `AudioFile`.

    `stream`: which audio stream of a container that has several (mp4, as ffmpeg counts them).
    """
    blocks: list[Samples] = []
    facts = _pass(_open(Path(path), stream), blocks.append, strict)
    return np.concatenate(blocks, axis=1), facts.sample_rate


class Facts(NamedTuple):
    """Of a sound file; see `AudioFile`."""

    sample_rate: int
    channels: int
    frames: int
    tags: dict[str, str]
    warnings: list[str]


def decode(path: str | os.PathLike[str], keep: Callable[[Samples], object], *, strict: bool = False) -> Facts:
    """Read a sound file once, front to back, for those who keep its samples themselves; else as `AudioFile`.

    Args:
        keep: is called with each block `(channels, n)`. What it was given is worth nothing if this raises.
    """
    gathered = list[Samples]()

    def gather(block: Samples) -> None:
        gathered.append(block)
        if len(gathered) == _GATHERED_BLOCKS:
            keep(np.concatenate(gathered, axis=1))
            gathered.clear()

    facts = _pass(_open(Path(path)), gather, strict)
    if gathered:
        keep(np.concatenate(gathered, axis=1))
    return facts


def check_header(path: str | os.PathLike[str]) -> Facts:
    """What a file says of itself, at once: `frames` are promised, or guessed where it does not tell its length.

    Raises BadAudio where it is no sound that can be read, as far as its beginning tells.
    """
    path = Path(path)
    decoder = _open(path)
    guess = round(decoder.likely_seconds * decoder.sample_rate) or path.stat().st_size // decoder.channels + 1
    return Facts(decoder.sample_rate, decoder.channels, decoder.promise().frames or guess, decoder.tags, [])


def _open(path: Path, stream: int = 0) -> Decoder:
    with _readable(path):
        _check_is_file(path)
        decoder = open_decoder(path, stream)
    if decoder.channels > 2:
        out = path.with_name(f"{path.stem}-stereo.wav")
        raise BadAudio(
            f"{path}: has {decoder.channels} channels, one or two are supported; "
            f"downmix first: ffmpeg -i {shell_word(path)} -ac 2 {shell_word(out)}"
        )
    check_rate(decoder.sample_rate, str(path))
    return decoder


_Stamp = tuple[int, int, int]


def _stamp(path: Path) -> _Stamp:
    """Differs after a file was written to, or replaced."""
    with _readable(path):
        facts = path.stat()
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def _changed(path: Path) -> BadAudio:
    return BadAudio(f"{path}: changed while it was being read; begin again when no one writes to it")


def _random_access(decoder: Decoder, strict: bool) -> tuple[_InPlace | _Temporary, Facts]:
    if decoder.exact:
        stamp = _stamp(decoder.path)
        facts = _pass(decoder, None, strict)
        if not facts.warnings:  # near a damaged file's end seeking fails
            return _InPlace(decoder.path, stamp), facts
    temporary = _Temporary(decoder.path, decoder.channels)
    try:
        return temporary, _pass(decoder, temporary.write, strict)
    except BaseException:
        temporary.close()
        raise


def _pass(decoder: Decoder, keep: Callable[[Samples], object] | None, strict: bool) -> Facts:
    """Read a file once, each block to `keep`. Raises BadAudio, also where the file is written to meanwhile."""
    path, census = decoder.path, Census()
    before = _stamp(path)
    with _readable(path):
        for block in decoder.blocks():
            census.add(block)
            if keep:
                keep(block)
        problem = _shortfall(decoder, census.frames)
    if not census.frames:
        raise BadAudio(f"{path}: has no samples")
    census.refuse_non_finite(str(path), decoder.sample_rate)
    if problem and strict:
        raise BadAudio(f"{problem}; refused, as strict reading was asked for")
    if _stamp(path) != before:
        raise _changed(path)
    warnings = [problem] if problem else []
    return Facts(decoder.sample_rate, decoder.channels, census.frames, decoder.tags, warnings)


def _shortfall(decoder: Decoder, frames: int) -> str | None:
    path, promise = decoder.path, decoder.promise()
    seconds = frames / decoder.sample_rate
    slack = 0 if decoder.exact else round(_LOSSY_SLACK_S * decoder.sample_rate)
    if promise.frames is not None and promise.frames > frames + slack:
        return (
            f"{path}: is cut short or damaged: {seconds:.3f} s of the promised "
            f"{promise.frames / decoder.sample_rate:.3f} s could be read ({frames} of {promise.frames} samples)"
        )
    if decoder.damaged or not promise.complete:
        return f"{path}: is cut short or damaged: {seconds:.3f} s could be read, its end is missing"
    return None


class _InPlace:
    """Random access where libsndfile's seeking is exact."""

    def __init__(self, path: Path, stamp: _Stamp) -> None:
        self._path, self._stamp = path, stamp
        try:
            self._file = soundfile.SoundFile(system_path(path))
        except soundfile.LibsndfileError as error:
            raise _changed(path) from error

    def read(self, start: int, stop: int) -> Samples:
        try:
            self._file.seek(start)
            block: Samples = self._file.read(stop - start, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise _changed(self._path) from error
        if _stamp(self._path) != self._stamp:
            raise _changed(self._path)
        return np.ascontiguousarray(block.T)

    def close(self) -> None:
        self._file.close()


class _Temporary:
    """Random access to samples that were written before: raw floats in a file without a name. `path`: for messages."""

    def __init__(self, path: Path, channels: int) -> None:
        self._path, self._channels = path, channels
        with self._explained():
            self._file = tempfile.TemporaryFile(prefix="fewshot-sep-")  # noqa: SIM115

    def write(self, block: Samples) -> None:
        with self._explained():
            self._file.write(np.ascontiguousarray(block.T).data)
            self._file.flush()

    def read(self, start: int, stop: int) -> Samples:
        self._file.seek(4 * self._channels * start)
        data = self._file.read(4 * self._channels * (stop - start))
        return np.ascontiguousarray(np.frombuffer(data, np.float32).reshape(-1, self._channels).T)

    def close(self) -> None:
        self._file.close()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"{self._path}: its decoded samples cannot be put into a temporary file ({error.strerror or error}); "
                "let the environment variable TMPDIR name a folder with more room"
            ) from error


def _check_is_file(path: Path) -> None:
    if path.is_dir():
        raise BadAudio(f"{path}: is a directory, not a sound file")
    if not path.exists():
        raise BadAudio(f"{path}: no such file")
    if not path.is_file():
        raise BadAudio(f"{path}: is not a regular file")
    if path.stat().st_size == 0:
        raise BadAudio(f"{path}: is empty")
    path.open("rb").close()


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadAudio(f"{path}: cannot be read: {error.strerror or error}") from error
