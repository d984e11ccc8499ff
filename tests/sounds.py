"""Sounds that tests make: arrays `(channels, samples)` float32 at 44.1 kHz, if not told otherwise."""

from __future__ import annotations

import numpy as np

RATE = 44100


def noise(channels: int, samples: int, seed: int = 0) -> np.ndarray:
    """Uniform in [-0.5, 0.5)."""
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (channels, samples)).astype(np.float32)


def tone(hertz: float, seconds: float = 0.5, rate: int = RATE, channels: int = 1) -> np.ndarray:
    """A sine of amplitude 0.5, the same in all channels."""
    sine = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return np.tile(sine, (channels, 1)).astype(np.float32)


def middle(samples: np.ndarray) -> np.ndarray:
    """Without the ends, where resampling and networks have nothing to go by."""
    edge = samples.shape[1] // 10
    return samples[:, edge:-edge]


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples))))
