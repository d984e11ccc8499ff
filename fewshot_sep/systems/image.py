"""The 2020 bachata thesis's system: two log spectrograms go in, the target's comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_sep import spectral
from fewshot_sep.presets import Preset
from fewshot_sep.systems.base import System
from fewshot_sep.unet import ConcatUNet

EPS = 1e-8


class ImageConditioning(NamedTuple):
    """The queries' normalised log spectrogram, `(batch, 1, bands, time)`."""

    image: Tensor


class NormalisedImage(NamedTuple):
    """A log spectrogram divided by its maximum, the complex spectrum, and that maximum: equations 2 to 4."""

    image: Tensor
    spectrum: Tensor
    peak: Tensor


class ImageSystem(System[ImageConditioning]):
    """The thesis's way: two log spectrograms side by side go in, the target's log spectrogram comes out.

    The target's image is normalised by the mixture's maximum, without which equation 4 could not be undone; several
    queries are averaged as images.
    """

    def __init__(self, preset: Preset) -> None:
        super().__init__(preset)
        self.network = ConcatUNet(preset.widths[0])

    def spectrum(self, wave: Tensor, time_scale: float = 1.0) -> Tensor:
        """`(..., samples)` -> `(..., bands, frames)` complex; zeros are appended to make frames a multiple of 16.

        At any time scale as many frames as at the preset's hop, to which the scaled one comes near.
        """
        stft = self.stft_at(time_scale)
        samples = wave.shape[-1]
        frames = -(-(round(samples * time_scale) // self.preset.hop + 1) // 16) * 16
        spectrum: Tensor = stft(F.pad(wave, (0, max((frames - 1) * stft.hop - samples, 0))))
        return spectrum[..., :frames]

    def image(self, wave: Tensor, time_scale: float = 1.0) -> NormalisedImage:
        """The network's input for a waveform `(..., samples)`."""
        spectrum = self.spectrum(wave, time_scale)
        log_magnitude = spectral.log_compress(spectrum.abs())
        peak = log_magnitude.amax(dim=(-2, -1), keepdim=True) + EPS
        return NormalisedImage(log_magnitude / peak, spectrum, peak)

    def encode(self, clips: Tensor) -> ImageConditioning:
        return ImageConditioning(self.image(clips).image.mean(1, keepdim=True))

    def average(self, conditionings: Sequence[ImageConditioning]) -> ImageConditioning:
        return ImageConditioning(torch.stack([conditioning.image for conditioning in conditionings]).mean(0))

    def min_samples(self, time_scale: float = 1.0) -> int:
        return int(self.preset.segment / time_scale)

    def forward(self, mixture: Tensor, conditioning: ImageConditioning, time_scale: float = 1.0) -> Tensor:
        image, spectrum, peak = self.image(mixture, time_scale)
        magnitude = spectral.log_expand(self.network(image, conditioning.image).float() * peak)
        return self.stft_at(time_scale).inverse(torch.polar(magnitude, spectrum.angle()), mixture.shape[-1])

    def images(self, mixture: Tensor, queries: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The target's image as predicted and as it is."""
        image, _, peak = self.image(mixture)
        true = spectral.log_compress(self.spectrum(target).abs()) / peak
        return self.network(image, self.condition(queries).image).float(), true
