"""How loud a sound is from frame to frame, and which frames are active: the one definition that all rooms share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SILENCE_DBFS = -90.0
"""Whatever the loudest frame, a frame below this is silent."""


def frame_power(samples: NDArray[np.floating], frame: int) -> NDArray[np.float64]:
    """Mean square of the channels' mean, frame by frame.

    Shape: `(channels, samples)` or `(samples,)` -> `(frames,)`; the last frame, of `frame` samples, is filled up with
        zeros.

    >>> frame_power(np.array([1.0, -1.0, 0.5, 0.5, 1.0]), 2).tolist()
    [1.0, 0.25, 0.5]
    """
    mono = samples.mean(0, dtype=np.float64) if samples.ndim > 1 else samples.astype(np.float64)
    power: NDArray[np.float64] = np.square(np.pad(mono, (0, -len(mono) % frame))).reshape(-1, frame).mean(1)
    return power


def active(power: NDArray[np.float64], range_db: float = 40.0, floor_dbfs: float = SILENCE_DBFS) -> NDArray[np.bool_]:
    """Which frames, given by their `frame_power`, sound: those within `range_db` of the loudest, above `floor_dbfs`.

    >>> active(np.array([1.0, 1e-3, 1e-5])).tolist()
    [True, True, False]
    """
    loudest = float(power.max(initial=0.0))
    return power > max(loudest * 10 ** (-range_db / 10), 10 ** (floor_dbfs / 10))
