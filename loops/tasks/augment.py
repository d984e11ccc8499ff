"""What happens to sound on its way into a task: each augmentation a function of tensors or of a random generator."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewshot_sep.loops.instruments.reverb import DECAY, response


def equalisers(count: int, samples: int, sample_rate: int, seed: int, depth_db: float = 3.0) -> Tensor:
    """Smooth random gain curves over frequency, to multiply a spectrum of `samples` samples with.

    Gains are drawn (standard deviation `depth_db`) every octave from 40 Hz, linear in dB over log frequency between.

    Returns:
        `(count, samples // 2 + 1)` float32.
    """
    octaves = np.arange(11)
    gains_db = np.random.default_rng(seed).normal(0, depth_db, (count, len(octaves)))
    position = np.log2(np.maximum(np.fft.rfftfreq(samples, 1 / sample_rate), 40) / 40)
    curves = [10 ** (np.interp(position, octaves, gains) / 20) for gains in gains_db]
    return torch.from_numpy(np.array(curves, dtype=np.float32).reshape(count, samples // 2 + 1))


def rooms(count: int, samples: int, sample_rate: int, seed: int) -> Tensor:
    """Spectra of synthetic room responses that decay by 60 dB within 0.1 to 1 s, see `loops.instruments.reverb`.

    Returns:
        `(count, samples // 2 + 1)` complex64.
    """
    random = np.random.default_rng(seed)
    sounds = [response(random, random.uniform(*DECAY), samples, sample_rate) for _ in range(count)]
    spectra = [np.fft.rfft(sound, samples) for sound in sounds]
    return torch.from_numpy(np.array(spectra, dtype=np.complex64).reshape(count, samples // 2 + 1))


def levels(random: np.random.Generator, count: int, gain_db: float) -> NDArray[np.float64]:
    """Gains around 0.1 with a standard deviation of `gain_db`, half of them with the other polarity: `(count,)`."""
    amplitudes = 0.1 * 10 ** (random.normal(0, gain_db, count) / 20)
    gains: NDArray[np.float64] = amplitudes * random.choice([-1.0, 1.0], count)
    return gains


def pan(random: np.random.Generator, count: int, channels: int) -> NDArray[np.float64]:
    """Constant-power gains `(count, channels)`; a third of the sources stay in the middle."""
    if channels == 1:
        return np.ones((count, 1))
    angle = np.where(random.random(count) < 0.33, 0.5, random.beta(2, 2, count)) * np.pi / 2
    gains: NDArray[np.float64] = np.sqrt(2) * np.stack([np.cos(angle), np.sin(angle)], 1)
    return gains
