"""A band-split transformer whose mixture looks up, at every moment, what of the prompt it sounds like.

Bands are gathered into groups, each with linear maps of its own, as in BSRNN and SCNet; layers attend along time and
along groups in turn, as in BS-RoFormer; and each layer attends to frames of the prompt.

- Luo & Yu 2023, "Music source separation with band-split RNN".
- Lu et al. 2024, "Music source separation with band-split RoPE transformer".
- Tong et al. 2024, "SCNet: sparse compression network for music source separation".
- Vaswani et al. 2017, "Attention is all you need", for the attention of one sequence to another.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_sep.prompt import ROLES
from fewshot_sep.unet import QueryConditioning, fine_layer, scale_and_shift, sharpener

HEAD = 32
"""Features of one head of an attention."""


class PromptFrames(NamedTuple):
    """What mixtures attend to: frames of the prompt, and one token that stands for nothing.

    Shape:
        keys: `(batch, frames, width)`, what a frame sounds like as a whole.
        values: `(batch, groups, frames, width)`, what there is in each group of its bands.
        given: `(batch, frames)` bool; the first one, nothing, always is.
    """

    keys: Tensor
    values: Tensor
    given: Tensor


class GroupLinear(nn.Module):
    """A linear map for each group. Shape: `(batch, groups, n, inputs)` -> `(batch, groups, n, outputs)`."""

    def __init__(self, groups: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.groups = groups
        # One matrix, which is how an optimiser of matrices should see it.
        self.weight = nn.Parameter(torch.empty(groups * outputs, inputs).uniform_(-1, 1) * inputs**-0.5)
        self.bias = nn.Parameter(torch.zeros(groups * outputs))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.view(self.groups, -1, x.shape[-1])
        return torch.einsum("bgni,goi->bgno", x, weight) + self.bias.view(self.groups, 1, -1).to(x)


class Attention(nn.Module):
    """Multi-head attention of tokens to tokens.

    Shape:
        x: `(batch, n, width)`; keys and values: `(batch, m, width)`; given: `(batch, m)` bool, all by default.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))

    def forward(
        self, x: Tensor, keys: Tensor, values: Tensor, given: Tensor | None = None, ordered: bool = False
    ) -> Tensor:
        parts = zip((self.query, self.key, self.value), (x, keys, values), strict=True)
        query, key, value = (layer(part).unflatten(-1, (-1, HEAD)).transpose(1, 2) for layer, part in parts)
        if ordered:
            query, key = rotated(query), rotated(key)
        mask = None if given is None else given[:, None, None]
        found = F.scaled_dot_product_attention(query, key, value.to(query), mask)
        attended: Tensor = self.out(found.transpose(1, 2).flatten(2))
        return attended


def rotated(x: Tensor) -> Tensor:
    """Features turned by angles that grow along the sequence, so that products depend on distances (RoPE).

    Su et al. 2021, "RoFormer", eq. 34. Shape: `(..., n, features)` -> the same.
    """
    n, half = x.shape[-2], x.shape[-1] // 2
    speed = 10000 ** (-torch.arange(half, device=x.device) / half)
    angle = torch.arange(n, device=x.device)[:, None] * speed
    a, b = x.chunk(2, dim=-1)
    cos, sin = angle.cos().to(x), angle.sin().to(x)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


class SteeredNorm(nn.Module):
    """Layer normalisation whose scale and shift the query gives.

    Shape: `(batch, groups, frames, width)` -> the same; embedding `(batch, features)`.
    """

    def __init__(self, width: int, features: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.scale_and_shift = scale_and_shift(features, width)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.scale_and_shift(embedding)[:, None, None].chunk(2, dim=-1)
        steered: Tensor = self.norm(x) * (1 + scale) + shift
        return steered


class Layer(nn.Module):
    """Attention along time, along groups, to the prompt's frames; then each token by itself.

    Shape: `(batch, groups, frames, width)` -> the same; embedding `(batch, features)`.
    """

    def __init__(self, width: int, features: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.along_time, self.along_groups, self.to_prompt = (Attention(width) for _ in range(3))
        self.steered = SteeredNorm(width, features)
        self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, embedding: Tensor, prompt: PromptFrames) -> Tensor:
        batch, groups = x.shape[:2]
        h = self.norms[0](x).flatten(0, 1)
        x = x + self.along_time(h, h, h, ordered=True).unflatten(0, (batch, groups))
        h = self.norms[1](x).transpose(1, 2).flatten(0, 1)
        x = x + self.along_groups(h, h, h).unflatten(0, (batch, -1)).transpose(1, 2)
        h = self.norms[2](x).flatten(0, 1)
        keys, given = (part.repeat_interleave(groups, 0) for part in (prompt.keys, prompt.given))
        x = x + self.to_prompt(h, keys, prompt.values.flatten(0, 1), given).unflatten(0, (batch, groups))
        fed: Tensor = x + self.feed_forward(self.steered(x, embedding))
        return fed


class BandSplitNetwork(nn.Module):
    """Transformer over groups of bands and frames that attends to frames of the prompt; its output is a mask.

    A light layer of single bands and frames sharpens the mask, as in `QueryUNet`.

    Args:
        bands: a multiple of `group`.
        width: features of a token, a multiple of 32.
        group: bands that make one token.

    Shape:
        mixture: `(batch, channels, bands, frames)` log magnitudes, any number of frames.
        conditioning: its templates are log magnitudes of the prompt's frames, `(batch, bands, 3 * n)`, as many of each
            role, in the order of `fewshot_sep.evidence`; frames all of zeros are not given.
        extra: `(batch, extra_channels, bands, frames)`.
        mask: the mixture's shape, in [0, 1] after a sigmoid; `forward` returns the logits.
    """

    def __init__(
        self,
        channels: int,
        bands: int,
        width: int,
        layers: int,
        features: int,
        extra_channels: int = 0,
        group: int = 8,
        fine: int = 16,
    ) -> None:
        super().__init__()
        if bands % group or width % HEAD:
            raise ValueError(f"{bands} bands are no groups of {group}, or width {width} no multiple of {HEAD}")
        groups, inputs = bands // group, channels + 2 + extra_channels
        self.group = group
        self.fine = fine_layer(inputs, fine)
        self.split = GroupLinear(groups, inputs * group, width)
        self.frame_keys = nn.Sequential(nn.Linear(bands, width), nn.GELU(), nn.Linear(width, width))
        self.frame_values = GroupLinear(groups, group, width)
        self.role = nn.Parameter(0.02 * torch.randn(len(ROLES), width))
        self.nothing = nn.Parameter(0.02 * torch.randn(2, width))
        self.layers = nn.ModuleList(Layer(width, features) for _ in range(layers))
        self.join = nn.Sequential(nn.LayerNorm(width), GroupLinear(groups, width, fine * group))
        self.sharpen = sharpener(fine, channels)

    def prompt(self, frames: Tensor) -> PromptFrames:
        """Tokens of the prompt's frames `(batch, bands, 3 * n)`, after the one for nothing."""
        frames = frames.mT
        role = self.role.repeat_interleave(frames.shape[1] // len(ROLES), 0)
        keys = self.frame_keys(frames) + role
        values = self.frame_values(frames.reshape(*frames.shape[:2], -1, self.group).transpose(1, 2)) + role
        keys, values = (
            torch.cat([nothing.expand(*some.shape[:-2], 1, -1).to(some), some], dim=-2)
            for nothing, some in zip(self.nothing, (keys, values), strict=True)
        )
        return PromptFrames(keys, values, F.pad(frames.any(2), (1, 0), value=True))

    def forward(self, mixture: Tensor, conditioning: QueryConditioning, extra: Tensor) -> Tensor:
        profile = conditioning.profile[..., None].expand(-1, -1, -1, mixture.shape[-1])
        x = torch.cat([mixture, profile.to(mixture), extra], dim=1)
        fine = self.fine(x)
        # Channels and bands of a group are one token's inputs: (batch, groups, frames, channels * group).
        h = self.split(x.reshape(*x.shape[:2], -1, self.group, x.shape[3]).permute(0, 2, 4, 1, 3).flatten(3))
        prompt = self.prompt(conditioning.templates.to(mixture))
        for layer in self.layers:
            h = layer(h, conditioning.embedding, prompt)
        joined = self.join(h).unflatten(3, (-1, self.group)).permute(0, 3, 1, 4, 2).flatten(2, 3)
        logits: Tensor = self.sharpen(torch.cat([joined, fine], dim=1))
        return logits
