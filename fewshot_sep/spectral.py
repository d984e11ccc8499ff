"""Short-time Fourier transform and back, the thesis's log compression, and bands: bins grouped as in hearing.

Shapes: waveforms `(..., samples)`, spectrograms `(..., freq, time)`; complex where the name says spectrum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fewshot_sep._torchaudio import transforms

EPS = 1e-8
SUPPRESSION = 0.7  # the best of a few on the development set; 1 takes too much where both estimates are unsure


class Stft(nn.Module):
    """Hann-windowed STFT with its exact inverse (torchaudio); window length and step in samples.

    Shape:
        forward: `(..., samples)` float -> `(..., n_fft // 2 + 1, samples // hop + 1)` complex.
        inverse: the reverse, cut to `samples`.

    >>> stft = Stft(512, 128)
    >>> wave = torch.randn(2, 1000)
    >>> spectrum = stft(wave)
    >>> spectrum.shape
    torch.Size([2, 257, 8])
    >>> torch.allclose(stft.inverse(spectrum, 1000), wave, atol=1e-5)
    True
    """

    def __init__(self, n_fft: int, hop: int) -> None:
        super().__init__()
        self.hop = hop
        # Reflection needs more samples than it pads; zeros work for any length.
        self.to_spectrum = transforms.Spectrogram(n_fft=n_fft, hop_length=hop, power=None, pad_mode="constant")
        self.to_wave = transforms.InverseSpectrogram(n_fft=n_fft, hop_length=hop, pad_mode="constant")

    def forward(self, wave: Tensor) -> Tensor:
        spectrum: Tensor = self.to_spectrum(wave)
        return spectrum

    def inverse(self, spectrum: Tensor, samples: int) -> Tensor:
        wave: Tensor = self.to_wave(spectrum, samples)
        return wave


def suppress_interference(stft: Stft, mixture: Tensor, target: Tensor, interference: Sequence[Tensor]) -> Tensor:
    """The target where no interference is: its magnitudes times `1 - SUPPRESSION * n` in each bin.

    `n` is the greatest share of the mixture's magnitude that one of the interference's estimates has, at most 1.

    Shape: waveforms `(..., samples)`, all alike.
    """
    magnitude = stft(mixture).abs() + EPS
    share = torch.stack([stft(other).abs() / magnitude for other in interference]).amax(0).clamp(max=1)
    return stft.inverse(stft(target) * (1 - SUPPRESSION * share), target.shape[-1])


def log_compress(magnitude: Tensor) -> Tensor:
    """`log10(M + 1)`: equation 3 of the 2020 bachata thesis.

    >>> log_compress(torch.tensor([0.0, 9.0]))
    tensor([0., 1.])
    """
    return torch.log10(magnitude + 1)


def log_expand(compressed: Tensor) -> Tensor:
    """`10 ** S - 1`: equation 5 of the thesis, the inverse of `log_compress`.

    >>> log_expand(torch.tensor([0.0, 1.0]))
    tensor([0., 9.])
    """
    return 10**compressed - 1


def band_centres(n_fft: int, bands: int) -> Tensor:
    """Centre frequencies of the bands, in bins: one bin apart at the bottom, equal ratios apart above, up to Nyquist.

    The crossover is where the two spacings meet, so that resolution never jumps. Shape: `(bands,)`.
    """
    nyquist = n_fft / 2
    if bands > nyquist:
        raise ValueError(f"{bands} bands out of {int(nyquist) + 1} bins: ask for fewer bands or a longer window")
    low, high = 1.0, float(bands)
    # The log part starts at bin k with ratio (k + 1) / k; bisect for the k that uses exactly `bands` centres.
    for _ in range(60):
        k = (low + high) / 2
        needed = k + math.log(nyquist / k) / math.log1p(1 / k) + 1
        low, high = (k, high) if needed < bands else (low, k)
    linear = int(low)
    above = torch.logspace(math.log10(linear), math.log10(nyquist), bands - linear, dtype=torch.float64)
    return torch.cat([torch.arange(linear, dtype=torch.float64), above])


def band_weights(n_fft: int, bands: int) -> Tensor:
    """Triangles over the bins, one per band, that sum to 1 at every bin: `(bands, n_fft // 2 + 1)`.

    The same matrix gathers bin energies into bands and spreads a band mask smoothly back over the bins.

    >>> weights = band_weights(2048, 256)
    >>> weights.shape, bool(torch.allclose(weights.sum(0), torch.ones(1025)))
    (torch.Size([256, 1025]), True)
    """
    centres = band_centres(n_fft, bands)
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64)
    upper = torch.searchsorted(centres, bins).clamp(1, bands - 1)
    span = centres[upper] - centres[upper - 1]
    share = ((bins - centres[upper - 1]) / span).clamp(0, 1)
    weights = torch.zeros(bands, len(bins), dtype=torch.float64)
    weights[upper, torch.arange(len(bins))] = share
    weights[upper - 1, torch.arange(len(bins))] = 1 - share
    return weights.float()
