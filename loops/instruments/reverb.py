"""Synthetic rooms: noise that dies away, after Polack's statistical model of 1988."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.signal import fftconvolve

DECAY = (0.1, 1.0)
"""Range of the time in seconds in which a room's sound falls by 60 dB."""


def response(random: Generator, decay: float, samples: int, sample_rate: int) -> NDArray[np.float64]:
    """The direct sound at sample 0, then noise that falls by 60 dB within `decay` seconds, at most `samples` long.

    The tail begins after 2 to 20 ms; its level is 6 to 20 dB under the direct sound.
    """
    time = np.arange(int(min(decay, samples / sample_rate) * sample_rate)) / sample_rate
    tail = random.standard_normal(len(time)) * 10 ** (-3 * time / decay)
    tail[: int(random.uniform(0.002, 0.02) * sample_rate)] = 0
    tail *= 10 ** (-random.uniform(6, 20) / 20) / np.sqrt((tail**2).sum() + 1e-12)
    tail[0] = 1
    return tail


def place(sound: NDArray[np.float32], decay: float, sample_rate: int, random: Generator) -> NDArray[np.float32]:
    """`sound` `(frames,)` in a room of this decay, as long as before; unchanged if `decay` is 0."""
    if decay <= 0 or not len(sound):
        return sound
    room = response(random, decay, len(sound), sample_rate)
    return np.asarray(fftconvolve(sound, room)[: len(sound)], np.float32)
