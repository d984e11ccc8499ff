"""Arrays at the boundary: what they are, checking them, resampling them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fewshot_sep.errors import BadAudio

Samples = NDArray[np.float32]

MIN_RATE, MAX_RATE = 8_000, 192_000


class Source(Protocol):
    """Something that gives samples by position: an `AudioFile` or an `ArraySource`."""

    sample_rate: int
    channels: int
    frames: int

    def read(self, start: int, stop: int) -> Samples:
        """Frames [start, stop) as (channels, n); clipped to what there is, like a slice."""


class ArraySource:
    """An array with the face of an `AudioFile`. Validates; `samples` is (channels, samples)."""

    def __init__(self, samples: ArrayLike, sample_rate: int, name: str = "array") -> None:
        self._samples = validate(samples, name)
        self.sample_rate = check_rate(sample_rate, name)
        self.channels, self.frames = self._samples.shape

    def read(self, start: int, stop: int) -> Samples:
        start, stop = clip(start, stop, self.frames)
        return self._samples[:, start:stop]


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
    census = Census()
    census.add(array)
    census.refuse_non_finite(name)
    return array


def check_rate(sample_rate: float, name: str) -> int:
    """A sample rate on its way in, in Hz; whole numbers may be floats.

    Raises:
        BadAudio: it is no whole number from 8,000 to 192,000.

    >>> check_rate(44100.0, "song")
    44100
    """
    try:
        whole = int(sample_rate)
    except (TypeError, ValueError, OverflowError):
        whole = 0
    if whole != sample_rate or not MIN_RATE <= whole <= MAX_RATE:
        raise BadAudio(
            f"{name}: its sample rate is {sample_rate} Hz; whole numbers from {MIN_RATE} to {MAX_RATE} are taken"
        )
    return whole


def resample(samples: Samples, from_rate: float, to_rate: float, *, frames: int | None = None) -> Samples:
    """Change the sample rate (soxr HQ) of (channels, samples), to exactly `frames` samples.

    Without `frames`: round(samples * to_rate / from_rate), but at least one. Raises ValueError for rates of 0 or less.
    """
    if min(from_rate, to_rate) <= 0:
        raise ValueError(f"sample rates must be positive, not {from_rate} and {to_rate}")
    if frames is None:
        frames = max(1, round(samples.shape[-1] * to_rate / from_rate))
    if from_rate != to_rate:
        import soxr

        samples = soxr.resample(np.ascontiguousarray(samples.T, np.float32), from_rate, to_rate, quality="HQ").T
    return fit(samples, frames)


def fit(samples: Samples, frames: int) -> Samples:
    """A copy of (channels, samples), cut or filled up with zeros to `frames`."""
    out = np.zeros((len(samples), frames), np.float32)
    kept = min(frames, samples.shape[1])
    out[:, :kept] = samples[:, :kept]
    return out


class Census:
    """Counts frames, and the samples that are not finite, block by block."""

    def __init__(self) -> None:
        self.frames = 0
        self._bad = 0
        self._first_bad: tuple[int, int] | None = None

    def add(self, block: Samples) -> None:
        bad = ~np.isfinite(block)
        if bad.any() and self._first_bad is None:
            frame = int(bad.any(axis=0).argmax())
            self._first_bad = self.frames + frame, int(bad[:, frame].argmax())
        self._bad += int(bad.sum())
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


def clip(start: int, stop: int, frames: int) -> tuple[int, int]:
    if start < 0 or stop < start:
        raise ValueError(f"cannot read frames {start} to {stop}")
    return min(start, frames), min(stop, frames)
