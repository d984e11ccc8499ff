"""The thesis's system, with the switches of its experiments and of its list of future work."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from fewshot_sep import losses, presets
from fewshot_sep.experiments.bachata.run import Variant
from fewshot_sep.experiments.kit.adversarial import Discriminator
from fewshot_sep.systems import ImageSystem
from fewshot_sep.unet import ConcatUNet

ADVERSARIAL_WEIGHT = 0.01


class ThesisSystem(ImageSystem):
    """The preset `illes2020` at some width, trained and run as `variant` says."""

    def __init__(self, variant: Variant, width: int = 64) -> None:
        super().__init__(replace(presets.get("illes2020"), widths=(width,)))
        self.variant = variant
        self.network = ConcatUNet(width, variant.residual, variant.clip).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.judge = Discriminator() if variant.adversarial else None

    def image(self, wave: Tensor, time_scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
        image, spectrum, peak = super().image(wave, time_scale)
        return (image, spectrum, peak) if self.variant.normalise else (image * peak, spectrum, torch.ones_like(peak))

    def loss(self, mixture: Tensor, queries: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean squared error, logged as `error`, and with a discriminator the losses of both players."""
        output, wanted = self.images(mixture, queries, target)
        error = losses.mean_squared_error(output, wanted)
        if self.judge is None:
            return error, {"error": error}
        game = self.judge.game(output, wanted, *self.condition(queries))
        return error + ADVERSARIAL_WEIGHT * game["deceit"] + game["discrimination"], {"error": error, **game}
