"""A system that predicts a mask on the mixture's spectrum, conditioned on queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_sep import spectral
from fewshot_sep.presets import Preset
from fewshot_sep.systems.base import System
from fewshot_sep.unet import QueryConditioning, QueryEncoder, QueryUNet

EPS = 1e-8
LOG_SPREAD = 2.5  # of a `compressed` magnitude


class NetworkInputs(NamedTuple):
    """Arguments of a network."""

    image: Tensor
    conditioning: QueryConditioning
    extra: Tensor


class MaskSystem(System[QueryConditioning]):
    """A U-Net, conditioned on queries, predicts a mask in [0, 1] per channel, band and frame.

    The mask is interpolated from bands to bins and applied to the mixture's complex spectrum. Levels are relative to
    the sound's own mean, so the result does not depend on the gain of mixture or query.
    """

    extra_channels = 0
    """Further images that the network gets beside the mixture's."""

    bands: Tensor

    def __init__(self, preset: Preset) -> None:
        super().__init__(preset)
        self.network = self.build_network()
        self.query_encoder: nn.Module = QueryEncoder(preset.bands, preset.features)
        self.multi_source_detector = nn.Linear(preset.features + 2 * preset.bands, 1)
        for parameter in self.multi_source_detector.parameters():
            nn.init.zeros_(parameter)
        self.register_buffer("bands", spectral.band_weights(preset.n_fft, preset.bands), persistent=False)

    def build_network(self) -> nn.Module:
        """Called as a `NetworkInputs` says, gives the logits of a mask."""
        preset = self.preset
        return QueryUNet(
            preset.channels,
            preset.bands,
            preset.widths,
            preset.features,
            extra_channels=self.extra_channels,
            patch=preset.patch,
        )

    def band_energy(self, spectrum: Tensor) -> Tensor:
        """Energy in each band: `(..., freq, time)` complex -> `(..., bands, time)`."""
        with torch.autocast(self.bands.device.type, enabled=False):  # half precision overflows, and differences vanish
            return torch.matmul(self.bands, spectrum.real.square() + spectrum.imag.square())

    def image(self, energy: Tensor) -> Tensor:
        """Log magnitude re the example's mean, about -2 to 2: `(batch, channels, bands, time)`."""
        magnitude = energy.sqrt()
        return compressed(magnitude, magnitude.mean(dim=(1, 2, 3), keepdim=True))

    def encode(self, clips: Tensor) -> QueryConditioning:
        return self.encode_energy(self.band_energy(self.stft(clips)))

    def encode_energy(self, energy: Tensor) -> QueryConditioning:
        """As `encode`, for the clips' energies `(batch, clips, bands, time)`."""
        return self.encoded(energy, self.encode_query(self.image(energy.flatten(0, 1)[:, None])))

    def encoded(self, energy: Tensor, each: QueryConditioning) -> QueryConditioning:
        """One encoding of several clips: their energies `(batch, clips, bands, time)`, what `each` is by itself."""
        embedding, profile = (
            part.view(*energy.shape[:2], *part.shape[1:]).mean(1) for part in (each.embedding, each.profile)
        )
        return QueryConditioning(embedding, profile, self.templates(energy.sqrt().transpose(1, 2).flatten(2)))

    def encode_query(self, images: Tensor) -> QueryConditioning:
        """Embedding and profile of clips `(clips, 1, bands, time)`, each by itself, without templates."""
        profile = torch.cat([images.mean(3), images.amax(3)], dim=1)
        return QueryConditioning(self.query_encoder(images), profile, images.new_zeros(len(images), images.shape[2], 0))

    def templates(self, magnitude: Tensor) -> Tensor:
        """Templates of sounds `(batch, bands, time)`: `(batch, bands, templates)`, here none."""
        return magnitude[..., :0]

    def average(self, conditionings: Sequence[QueryConditioning]) -> QueryConditioning:
        """Means of embeddings and profiles, and as many templates as of one, learnt on those of all."""
        embeddings, profiles, templates = zip(*conditionings, strict=True)
        return QueryConditioning(
            torch.stack(embeddings).mean(0), torch.stack(profiles).mean(0), self.templates(torch.cat(templates, dim=-1))
        )

    def polyphony_logit(self, conditioning: QueryConditioning) -> Tensor:
        """As in `System`; 0 from a system that was not trained."""
        embedding = F.layer_norm(conditioning.embedding.float(), conditioning.embedding.shape[1:])
        features = torch.cat([embedding, conditioning.profile.flatten(1).float()], dim=1)
        logit: Tensor = self.multi_source_detector(features)
        return logit[:, 0]

    def network_inputs(self, energy: Tensor, conditioning: QueryConditioning) -> NetworkInputs:
        """For a mixture's energies `(batch, channels, bands, time)`."""
        image = self.image(energy)
        return NetworkInputs(image, conditioning, image[:, :0])

    def logits(self, energy: Tensor, conditioning: QueryConditioning) -> Tensor:
        """Of the mask, for a mixture's energies `(batch, channels, bands, time)`."""
        logits: Tensor = self.network(*self.network_inputs(energy, conditioning))
        return logits

    def masked(self, spectrum: Tensor, logits: Tensor) -> Tensor:
        """The spectrum times the mask, which is interpolated from bands to bins."""
        return spectrum * torch.matmul(self.bands.T, torch.sigmoid(logits.float()))

    def forward(self, mixture: Tensor, conditioning: QueryConditioning, time_scale: float = 1.0) -> Tensor:
        stft = self.stft_at(time_scale)
        spectrum = stft(mixture)
        logits = self.logits(self.band_energy(spectrum), conditioning)
        return stft.inverse(self.masked(spectrum, logits), mixture.shape[-1])


def compressed(magnitude: Tensor, reference: Tensor) -> Tensor:
    """Log magnitude re a reference, about -2 to 2."""
    return (torch.log(magnitude / (reference + EPS) + 1e-3) + 2) / LOG_SPREAD


def log_ratio(one: Tensor, other: Tensor) -> Tensor:
    """Log of the ratio of two magnitudes that are `compressed` re the same: the logits of their ratio mask."""
    return LOG_SPREAD * (one - other)
