"""Tensors and small systems for tests of networks."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from fewshot_sep import presets

SIZES = {"n_fft": 1024, "hop": 256, "bands": 32, "widths": (4, 6), "features": 5, "segment": 4096}
NAMES = "tiny", "tiny-informed", "tiny-prompted"
PRESETS = {name: replace(presets.get(name), **SIZES) for name in NAMES}  # type: ignore[arg-type]
PRESETS["tiny-attending"] = replace(presets.get("tiny-attending"), **SIZES | {"widths": (32, 32)})  # type: ignore[arg-type]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.1


def tone(hertz: float, *shape: int) -> Tensor:
    return 0.1 * torch.sin(2 * torch.pi * hertz / 44100 * torch.arange(shape[-1])).expand(shape)
