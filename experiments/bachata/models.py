"""The thesis's system, with the switches of its experiments."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from fewshot_sep import presets
from fewshot_sep.experiments.bachata.settings import Variant
from fewshot_sep.systems import ImageSystem
from fewshot_sep.systems.image import NormalisedImage
from fewshot_sep.unet import ConcatUNet

PRESET = presets.get("illes2020")


class UnnormalisedSystem(ImageSystem):
    """The thesis's system before its equation 2: images keep their scale."""

    def image(self, wave: Tensor, time_scale: float = 1.0) -> NormalisedImage:
        image, spectrum, peak = super().image(wave, time_scale)
        return NormalisedImage(image * peak, spectrum, torch.ones_like(peak))


def build(variant: Variant, width: int = 64) -> ImageSystem:
    """An untrained system as `variant` says; the thesis's has width 64."""
    system = (ImageSystem if variant.normalise else UnnormalisedSystem)(replace(PRESET, widths=(width,)))
    network = ConcatUNet(width, variant.clip)
    system.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return system
