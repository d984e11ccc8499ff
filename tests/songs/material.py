"""Files that tests of songs make and read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fewshot_sep import audio

RATE = 22050


def sound(path: str | Path, seconds: float = 1.0, channels: int = 2, seed: int = 0, peak: float = 0.5) -> Path:
    """A file of noise."""
    samples = np.random.default_rng(seed).uniform(-peak, peak, (channels, round(seconds * RATE)))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    audio.write(path, samples.astype(np.float32), RATE)
    return Path(path)


def samples(path: str | Path) -> np.ndarray:
    found, rate = audio.read(path)
    assert rate == RATE
    return found
