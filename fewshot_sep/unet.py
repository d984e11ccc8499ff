"""The networks: a query-steered U-Net with its query encoder, and the two-channel U-Net of the 2020 bachata thesis.

Pure tensors in, pure tensors out; `fewshot_sep.systems` brings waveforms to them and back.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class QueryConditioning(NamedTuple):
    """What is kept of a query.

    Shape:
        embedding: `(batch, features)`, steers every block.
        profile: `(batch, 2, bands)`, mean and peak level of each band, laid over the mixture as extra input channels.
        templates: `(batch, bands, templates)`, spectra that each sum to 1; none where the preset keeps none.
    """

    embedding: Tensor
    profile: Tensor
    templates: Tensor


def scale_and_shift(features: int, channels: int) -> nn.Linear:
    """From an embedding to a scale re 1 and a shift of each channel, both near 0 at first."""
    layer = nn.Linear(features, 2 * channels)
    nn.init.normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    return layer


def fine_layer(inputs: int, fine: int) -> nn.Sequential:
    """A light layer of single bands and frames; `sharpener` takes what it gives."""
    return nn.Sequential(nn.Conv2d(inputs, fine, 3, padding=1, bias=False), nn.BatchNorm2d(fine), nn.ReLU())


def sharpener(fine: int, channels: int) -> nn.Sequential:
    """To a mask's logits, from what a network's coarse body and a `fine_layer` give, `fine` channels each."""
    return nn.Sequential(*fine_layer(2 * fine, fine), nn.Conv2d(fine, channels, 1))


class Film(nn.Module):
    """Feature-wise linear modulation: a scale and a shift per channel from the query (Perez et al. 2018, eq. 1)."""

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.scale_and_shift = scale_and_shift(features, channels)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        both: Tensor = self.scale_and_shift(embedding)
        scale, shift = both[:, :, None, None].chunk(2, dim=1)
        return x * (1 + scale) + shift


class FrequencyLinear(nn.Module):
    """A bottleneck of two linear maps along frequency: every band sees every other, as harmonics require.

    The time-distributed fully-connected block of Choi et al. 2020, "Investigating U-Nets with various intermediate
    blocks for spectrogram-based singing voice separation".
    """

    def __init__(self, channels: int, bands: int, squeeze: int = 4) -> None:
        super().__init__()
        inner = max(8, bands // squeeze)
        self.down, self.up = nn.Linear(bands, inner), nn.Linear(inner, bands)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(2, 3)
        h: Tensor = self.norm(self.up(F.relu(self.down(x))).transpose(2, 3))
        return h


class SteeredBlock(nn.Module):
    """Convolution, steering by the query, the map along frequency, convolution; around it a shortcut.

    Shape: `(batch, channels, bands, frames)` -> the same; embedding `(batch, features)`.
    """

    def __init__(self, channels: int, bands: int, features: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.film = Film(features, channels)
        self.across = FrequencyLinear(channels, bands)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = F.relu(self.film(self.first_norm(self.first(x)), embedding))
        h = h + F.relu(self.across(h))
        return F.relu(x + self.second_norm(self.second(h)))


class QueryEncoder(nn.Module):
    """One clip's spectrogram to a fixed-size embedding.

    Four strided convolutions, then the mean and the peak over time of each remaining frequency row, so that where a
    sound lies in the spectrum is not lost.

    Shape: `(batch, 1, bands, frames)` -> `(batch, features)`; `bands` a multiple of 16, any number of frames.
    """

    def __init__(self, bands: int, features: int, widths: tuple[int, ...] = (32, 64, 128, 192)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for width in widths:
            layers += [nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            layers += [nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False), nn.BatchNorm2d(width)]
            layers += [nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        self.layers = nn.Sequential(*layers)
        # Normalised before each rectifier: without that they died early in training.
        self.summary = nn.Sequential(
            nn.Conv1d(2 * before, 64, 1, bias=False), nn.Sequential(nn.BatchNorm1d(64), nn.ReLU()), nn.Flatten()
        )
        rows = bands // 2 ** len(widths)
        self.head = nn.Sequential(
            nn.Linear(64 * rows, features),
            nn.Sequential(nn.LayerNorm(features), nn.GELU()),
            nn.Linear(features, features),
        )

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.layers(x)
        embedding: Tensor = self.head(self.summary(torch.cat([h.mean(3), h.amax(3)], dim=1)))
        return embedding


class QueryUNet(nn.Module):
    """U-Net over bands and frames whose every block is steered by the query; its output is a mask.

    The body works on patches of 2 bands by 2 frames; a light layer at full resolution sharpens the mask.

    Args:
        patch: bands and frames on a side of a patch, 1 or 2.

    Shape:
        mixture: `(batch, channels, bands, frames)` log magnitudes, any number of frames.
        extra: `(batch, extra_channels, bands, frames)`.
        mask: the mixture's shape, in [0, 1] after a sigmoid; `forward` returns the logits.
    """

    def __init__(
        self,
        channels: int,
        bands: int,
        widths: tuple[int, ...],
        features: int,
        fine: int = 16,
        extra_channels: int = 0,
        patch: int = 2,
    ) -> None:
        super().__init__()
        self.levels = len(widths)
        self.step = patch * 2 ** (self.levels - 1)
        if bands % self.step:
            raise ValueError(f"{bands} bands cannot be halved {len(widths)} times")
        inputs = channels + 2 + extra_channels
        self.fine = fine_layer(inputs, fine)
        self.stem = nn.Conv2d(inputs, widths[0], 2 + patch, stride=patch, padding=1)
        rows = [bands // patch // 2**level for level in range(self.levels)]
        self.encoder = nn.ModuleList(SteeredBlock(w, r, features) for w, r in zip(widths, rows, strict=True))
        self.decoder = nn.ModuleList(SteeredBlock(w, r, features) for w, r in zip(widths, rows, strict=True))
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairwise(widths))
        self.unpatch = nn.ConvTranspose2d(widths[0], fine, patch, stride=patch)
        self.sharpen = sharpener(fine, channels)

    def forward(self, mixture: Tensor, conditioning: QueryConditioning, extra: Tensor) -> Tensor:
        frames = mixture.shape[-1]
        profile = conditioning.profile[..., None].expand(-1, -1, -1, frames)
        x = torch.cat([mixture, profile.to(mixture), extra], dim=1)
        x = F.pad(x, (0, -frames % self.step, 0, 0), mode="replicate")
        fine, h = self.fine(x), self.stem(x)
        skips = []
        for level, block in enumerate(self.encoder):
            h = block(h, conditioning.embedding)
            if level < self.levels - 1:
                skips.append(h)
                h = self.down[level](h)
        for level in reversed(range(self.levels)):
            h = self.decoder[level](h, conditioning.embedding)
            if level:
                h = self.up[level - 1](h) + skips[level - 1]
        logits: Tensor = self.sharpen(torch.cat([self.unpatch(h), fine], dim=1))
        return logits[..., :frames]


def _double_convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()),
        *(nn.Conv2d(outputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()),
    )


class ConcatUNet(nn.Module):
    """The thesis's five-level U-Net: mixture and query are two channels of one image, as in Ronneberger et al. 2015.

    Two 3x3 convolutions a level, max pooling down, transposed convolutions up, skips concatenated; the thesis does not
    name a normalisation, batch normalisation is used.

    Args:
        width: channels of the first level; doubled at each of four halvings (64: 1024 in the latent image).
        clip: clamp the output to [0, 1], as the thesis does after its first experiment.
        queries: images beside the mixture.

    Shape: mixture `(batch, 1, height, width)` and query `(batch, queries, height, width)`, both multiples of 16 ->
        `(batch, 1, height, width)`.
    """

    def __init__(self, width: int = 64, clip: bool = True, queries: int = 1) -> None:
        super().__init__()
        self.clip = clip
        widths = [width * 2**level for level in range(5)]
        self.encoder = nn.ModuleList(
            _double_convolution(a, b) for a, b in zip([1 + queries, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairwise(widths))
        self.decoder = nn.ModuleList(_double_convolution(2 * a, a) for a in widths[:-1])
        self.output = nn.Conv2d(width, 1, 1)

    def encode(self, images: Tensor) -> list[Tensor]:
        """All levels' activations, the latent image last; images `(batch, 1 + queries, height, width)`."""
        activations = [self.encoder[0](images)]
        for block in self.encoder[1:]:
            activations.append(block(F.max_pool2d(activations[-1], 2)))
        return activations

    def forward(self, mixture: Tensor, query: Tensor) -> Tensor:
        *skips, h = self.encode(torch.cat([mixture, query], dim=1))
        for level in reversed(range(len(self.decoder))):
            h = self.decoder[level](torch.cat([skips[level], self.up[level](h)], dim=1))
        image: Tensor = self.output(h)
        return image.clamp(0, 1) if self.clip else image
