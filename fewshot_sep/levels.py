"""How loud a sound is from frame to frame, and which frames are active: the one definition that all rooms share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SILENCE_DBFS = -90.0
"""Whatever the loudest frame, a frame below this is silent."""
OPPOSITE = -0.5
"""Channels whose correlation is under this are of opposite polarity."""
MAX_IMBALANCE_DB = 12.0
"""Channels that differ by more are not one stereo image, to a network: one is dead, or of something else."""
RANGE_DB = 60.0
"""What is this far below the loudest sample does not sound: a struck sound's tail ends there."""


def downmix(samples: NDArray[np.floating]) -> NDArray[np.floating]:
    """The mean of the channels; where two have opposite polarity, which would cancel out, one is turned.

    Shape: `(channels, samples)` -> `(samples,)`, of the same type.

    >>> downmix(np.array([[1.0, -2.0], [-1.0, 2.0]])).tolist()
    [1.0, -2.0]
    """
    if len(samples) == 2 and _opposite(samples):
        half: NDArray[np.floating] = (samples[0] - samples[1]) / 2
        return half
    mean: NDArray[np.floating] = samples.mean(0)
    return mean


def _opposite(samples: NDArray[np.floating]) -> bool:
    left, right = (channel.astype(np.float64) for channel in samples)
    return bool(left @ right < OPPOSITE * np.sqrt((left @ left) * (right @ right)))


def share_an_image(samples: NDArray[np.floating]) -> bool:
    """Whether two channels `(2, samples)` are about equally loud and of one polarity, as in music they are."""
    powers = np.square(samples, dtype=np.float64).mean(1)
    return bool(powers.min() >= powers.max() * 10 ** (-MAX_IMBALANCE_DB / 10)) and not _opposite(samples)


def without_silence(mono: NDArray[np.float32], gap: int) -> NDArray[np.float32]:
    """A sound without the silence before and after it; silence within it is cut to `gap` samples.

    Shape: `(samples,)` -> `(fewer,)`; what is silent throughout comes back as it is.

    >>> without_silence(np.array([0, 0, 1, 0, 0, 0, 0.5, 0], np.float32), 2).tolist()
    [1.0, 0.0, 0.0, 0.5]
    """
    magnitude = np.abs(mono)
    sounding = np.flatnonzero(magnitude > magnitude.max(initial=0.0) * 10 ** (-RANGE_DB / 20))
    if not len(sounding):
        return mono
    kept = np.zeros(len(mono), dtype=bool)
    ends = np.flatnonzero(np.diff(sounding) > gap + 1)
    firsts, lasts = sounding[np.r_[0, ends + 1]], sounding[np.r_[ends, len(sounding) - 1]]
    for number, (first, last) in enumerate(zip(firsts, lasts, strict=True), 1):
        kept[first : last + 1 + (gap if number < len(firsts) else 0)] = True
    return mono[kept]


def frame_power(samples: NDArray[np.floating], frame: int) -> NDArray[np.float64]:
    """Mean square of the channels' mean, see `downmix`, frame by frame.

    Shape: `(channels, samples)` or `(samples,)` -> `(frames,)`; the last frame, of `frame` samples, is filled up with
        zeros.

    >>> frame_power(np.array([1.0, -1.0, 0.5, 0.5, 1.0]), 2).tolist()
    [1.0, 0.25, 0.5]
    """
    mono = downmix(samples.astype(np.float64)) if samples.ndim > 1 else samples.astype(np.float64)
    power: NDArray[np.float64] = np.square(np.pad(mono, (0, -len(mono) % frame))).reshape(-1, frame).mean(1)
    return power


def active(power: NDArray[np.float64], range_db: float = 40.0, floor_dbfs: float = SILENCE_DBFS) -> NDArray[np.bool_]:
    """Which frames, given by their `frame_power`, sound: those within `range_db` of the loudest, above `floor_dbfs`.

    >>> active(np.array([1.0, 1e-3, 1e-5])).tolist()
    [True, True, False]
    """
    loudest = float(power.max(initial=0.0))
    return power > max(loudest * 10 ** (-range_db / 10), 10 ** (floor_dbfs / 10))
