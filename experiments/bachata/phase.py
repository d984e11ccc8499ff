"""Phases for magnitudes: iterated until they fit the magnitudes, and with MISI also the mixture."""

from __future__ import annotations

import torch
from torch import Tensor

from fewshot_sep.systems import ImageSystem


def refine(
    system: ImageSystem, magnitude: Tensor, phase: Tensor, samples: int, iterations: int, mixture: Tensor | None = None
) -> Tensor:
    """The waveforms of given magnitudes, their phases refined from given ones.

    Without a mixture each source by itself: Griffin & Lim 1984, "Signal estimation from modified short-time Fourier
    transform". With one, its error is shared among the sources in every iteration: multiple input spectrogram inversion
    (MISI), Gunawan & Sen 2010, "Iterative phase estimation for the synthesis of separated sources from single-channel
    mixtures".

    Shape: magnitude `(sources, freq, time)`; phase in radians likewise, or without sources; mixture `(samples,)`;
    result `(sources, samples)`.
    """
    stft, angle = system.stft, torch.exp(1j * phase)
    for _ in range(iterations):
        waves = stft.inverse(magnitude * angle, samples)
        if mixture is not None:
            waves = waves + (mixture - waves.sum(0)) / len(waves)
        angle = torch.exp(1j * system.spectrum(waves).angle())
    return stft.inverse(magnitude * angle, samples)
