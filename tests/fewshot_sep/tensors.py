"""Tensors, small networks and what they take, small systems."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from fewshot_sep import presets
from fewshot_sep.band_split import BandSplitNetwork
from fewshot_sep.prompt import ROLES
from fewshot_sep.unet import QueryConditioning, QueryUNet

SIZES = {"n_fft": 1024, "hop": 256, "bands": 32, "widths": (4, 6), "features": 5, "segment": 4096}
NAMES = "tiny", "tiny-informed", "tiny-prompted"
PRESETS = {name: replace(presets.get(name), **SIZES) for name in NAMES}  # type: ignore[arg-type]
PRESETS["tiny-attending"] = replace(presets.get("tiny-attending"), **SIZES | {"widths": (32, 32)})  # type: ignore[arg-type]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.1


def tone(hertz: float, *shape: int) -> Tensor:
    return 0.1 * torch.sin(2 * torch.pi * hertz / 44100 * torch.arange(shape[-1])).expand(shape)


BANDS, GROUP, WIDTH, FEATURES = 32, 4, 32, 6


def query_unet(channels: int = 1, extra_channels: int = 0) -> QueryUNet:
    torch.manual_seed(0)
    return QueryUNet(channels, BANDS, (4, 6, 8), FEATURES, fine=4, extra_channels=extra_channels).eval()


def band_split(channels: int = 1, extra_channels: int = 0, layers: int = 1) -> BandSplitNetwork:
    torch.manual_seed(0)
    return BandSplitNetwork(channels, BANDS, WIDTH, layers, FEATURES, extra_channels, GROUP, fine=4).eval()


def image(batch: int, channels: int, frames: int = 8) -> Tensor:
    return torch.randn(batch, channels, BANDS, frames)


def conditioning(batch: int = 1, frames: int = 2) -> QueryConditioning:
    shapes = (FEATURES,), (2, BANDS), (BANDS, len(ROLES) * frames)
    return QueryConditioning(*(torch.randn(batch, *shape) for shape in shapes))
