"""The band above what a model processes: it gets the gain of the octave below."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from fewshot_sep.spectral import Stft

Array = NDArray[np.float32]

N_FFT = 1024
OCTAVE_START = 0.5  # of the model's band: from there up the gain for the band above is measured
EPS = 1e-10


def high_band_gain(mixture: Array, target: Array, frames: int) -> Array:
    """The target's share of the mixture's highest octave, over time.

    Shape: both `(channels, samples)` -> gains in [0, 1], `(channels, frames)`.
    """
    stft = Stft(N_FFT, N_FFT // 2)

    def energy(samples: Array) -> torch.Tensor:
        spectrum: torch.Tensor = stft(torch.from_numpy(samples))
        return spectrum[:, int(OCTAVE_START * N_FFT / 2) :].abs().square().sum(1)

    gain = (energy(target) / (energy(mixture) + EPS)).clamp(0, 1).sqrt()
    return torch.nn.functional.interpolate(gain[None], size=frames, mode="linear", align_corners=True)[0].numpy()
