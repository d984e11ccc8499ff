"""From waveforms to a network's images and back: what a preset means, for training and for use alike."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_sep import losses, metrics, presets, spectral
from fewshot_sep.presets import Preset
from fewshot_sep.unet import ConcatUNet, Conditioning, QueryEncoder, QueryUNet

EPS = 1e-8


class System(nn.Module):
    """A separator of fixed-length segments.

    Shape:
        mixture, target: `(batch, channels, samples)`; queries: `(batch, clips, samples)`, mono.
    """

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.preset = preset
        self.stft = spectral.Stft(preset.n_fft, preset.hop)

    def condition(self, queries: Tensor) -> Any:
        """What `forward` needs to know of the queries; tensors with a batch dimension, inside a tuple."""
        raise NotImplementedError

    def forward(self, mixture: Tensor, conditioning: Any) -> Tensor:
        """The target's waveform, of the mixture's shape."""
        raise NotImplementedError

    def loss(self, mixture: Tensor, queries: Tensor, target: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The training loss, the estimated target's waveform or spectrum, and parts of the loss to log."""
        raise NotImplementedError


class MaskSystem(System):
    """Queries steer a U-Net that predicts a mask in [0, 1] per channel, band and frame.

    The mask is spread from bands to bins and laid on the mixture's complex spectrum, whose phase it keeps. Levels are
    relative to the sound itself, so the result does not depend on the gain of mixture or query.
    """

    def __init__(self, preset: Preset) -> None:
        super().__init__(preset)
        self.network = QueryUNet(preset.channels, preset.bands, preset.widths, preset.features)
        self.query_encoder = QueryEncoder(preset.bands, preset.features)
        self.register_buffer("bands", spectral.band_weights(preset.n_fft, preset.bands), persistent=False)

    def band_magnitude(self, spectrum: Tensor) -> Tensor:
        """Root of the energy in each band: `(..., freq, time)` complex -> `(..., bands, time)`."""
        return torch.matmul(self.bands, spectrum.real.square() + spectrum.imag.square()).float().sqrt()

    def image(self, magnitude: Tensor) -> Tensor:
        """Log magnitude re the example's mean, about -2 to 2: `(batch, channels, bands, time)`."""
        reference = magnitude.mean(dim=(1, 2, 3), keepdim=True)
        return (torch.log(magnitude / (reference + EPS) + 1e-3) + 2) / 2.5

    def condition(self, queries: Tensor) -> Conditioning:
        batch, clips, samples = queries.shape
        image = self.image(self.band_magnitude(self.stft(queries.reshape(batch * clips, 1, samples))))
        embedding = self.query_encoder(image).view(batch, clips, -1).mean(1)
        profile = torch.cat([image.mean(3), image.amax(3)], dim=1)
        return Conditioning(embedding, profile.view(batch, clips, 2, -1).mean(1))

    def logits(self, spectrum: Tensor, conditioning: Conditioning) -> Tensor:
        return self.network(self.image(self.band_magnitude(spectrum)), conditioning).float()

    def masked(self, spectrum: Tensor, logits: Tensor) -> Tensor:
        mask = torch.matmul(self.bands.T, torch.sigmoid(logits)).float()
        return spectral.apply_mask(spectrum, mask)

    def forward(self, mixture: Tensor, conditioning: Conditioning) -> Tensor:
        spectrum = self.stft(mixture)
        logits = self.logits(spectrum, conditioning)
        return self.stft.inverse(self.masked(spectrum, logits), mixture.shape[-1])

    def loss(self, mixture: Tensor, queries: Tensor, target: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        spectrum, wanted = self.stft(mixture), self.stft(target)
        logits = self.logits(spectrum, self.condition(queries))
        estimate = self.masked(spectrum, logits)
        wanted_bands, rest_bands = self.band_magnitude(wanted), self.band_magnitude(spectrum - wanted)
        cross_entropy = losses.ratio_mask_cross_entropy(logits, wanted_bands, rest_bands)
        noise = losses.signal_to_noise(estimate, wanted, spectrum)
        parts = {"cross_entropy": cross_entropy, "snr_db": -noise}
        if not self.training:
            present = target.flatten(1).square().mean(1) > 1e-4 * mixture.flatten(1).square().mean(1)
            gain = metrics.batch_si_sdr(wanted, estimate) - metrics.batch_si_sdr(wanted, spectrum)
            if present.any():
                parts["si_sdri_db"] = gain[present].median()
        return cross_entropy + 0.05 * noise, estimate, parts


class ImageSystem(System):
    """The thesis's way: two log spectrograms side by side go in, the target's log spectrogram comes out.

    The target's image is normalised by the mixture's maximum, without which equation 4 could not be undone; several
    queries are averaged as images.
    """

    def __init__(self, preset: Preset) -> None:
        super().__init__(preset)
        self.network = ConcatUNet(preset.widths[0])

    def spectrum(self, wave: Tensor) -> Tensor:
        """`(..., samples)` -> `(..., bands, frames)` complex; zeros are appended to make frames a multiple of 16."""
        frames = -(-(wave.shape[-1] // self.preset.hop + 1) // 16) * 16
        return self.stft(F.pad(wave, (0, (frames - 1) * self.preset.hop - wave.shape[-1])))

    def image(self, wave: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised log spectrogram, complex spectrum, and the maximum it was divided by: equations 2 to 4."""
        spectrum = self.spectrum(wave)
        compressed = spectral.log_compress(spectrum.abs())
        peak = compressed.amax(dim=(-2, -1), keepdim=True) + EPS
        return compressed / peak, spectrum, peak

    def condition(self, queries: Tensor) -> tuple[Tensor]:
        return (self.image(queries)[0].mean(1, keepdim=True),)

    def forward(self, mixture: Tensor, conditioning: tuple[Tensor]) -> Tensor:
        image, spectrum, peak = self.image(mixture)
        magnitude = spectral.log_expand(self.network(image, *conditioning).float() * peak)
        return self.stft.inverse(torch.polar(magnitude, spectrum.angle()), mixture.shape[-1])

    def loss(self, mixture: Tensor, queries: Tensor, target: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        image, spectrum, peak = self.image(mixture)
        wanted = spectral.log_compress(self.spectrum(target).abs()) / peak
        predicted = self.network(image, *self.condition(queries)).float()
        error = losses.mean_squared_error(predicted, wanted)
        with torch.no_grad():
            estimate = torch.polar(spectral.log_expand(predicted * peak), spectrum.angle())
        return error, estimate, {}


def build(preset: Preset | str) -> System:
    """An untrained system of a preset."""
    preset = presets.get(preset) if isinstance(preset, str) else preset
    return {"mask": MaskSystem, "image": ImageSystem}[preset.kind](preset)
