"""A prompted system whose network attends to the frames of the clips themselves, not only to summaries of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fewshot_sep.band_split import BandSplitNetwork
from fewshot_sep.systems.mask import NetworkInputs, compressed
from fewshot_sep.systems.prompted import PromptedSystem
from fewshot_sep.unet import QueryConditioning

EPS = 1e-8
FRAMES = 32
"""Kept of each role."""


class AttendingSystem(PromptedSystem):
    """A `PromptedSystem` with a `BandSplitNetwork`.

    The `templates` of a conditioning are followed by frames of each role in turn, `(batch, bands, 3 * FRAMES)`, as
    magnitudes re their mean; what is not given is zero.
    """

    def build_network(self) -> nn.Module:
        preset = self.preset
        width, layers = preset.widths[0], len(preset.widths)
        return BandSplitNetwork(
            preset.channels, preset.bands, width, layers, preset.features, self.extra_channels, preset.patch
        )

    def condition_on(
        self,
        alone: QueryConditioning | None,
        among: QueryConditioning | None = None,
        absent: QueryConditioning | None = None,
        given: Tensor | None = None,
    ) -> QueryConditioning:
        conditioning = super().condition_on(alone, among, absent, given)
        templates = conditioning.templates
        frames = [
            templates.new_zeros(*templates.shape[:2], FRAMES)
            if role is None
            else loud_frames(role.templates, FRAMES) * (1 if given is None else given[:, place, None, None])
            for place, role in enumerate((alone, among, absent))
        ]
        return conditioning._replace(templates=torch.cat([templates, *frames], dim=-1))

    def network_inputs(self, energy: Tensor, conditioning: QueryConditioning) -> NetworkInputs:
        templates, frames = conditioning.templates.tensor_split([-3 * FRAMES], dim=-1)
        inputs = super().network_inputs(energy, conditioning._replace(templates=templates))
        image = compressed(frames, frames.new_ones(())) * frames.any(1, keepdim=True)
        return inputs._replace(conditioning=inputs.conditioning._replace(templates=image))


def loud_frames(magnitude: Tensor, count: int) -> Tensor:
    """`count` frames of the louder half, evenly spaced by their level, re the mean of these; repeated where too few.

    Shape: `(batch, bands, frames)` -> `(batch, bands, count)`.
    """
    order = magnitude.sum(1).argsort(dim=1, descending=True, stable=True)
    places = torch.linspace(0, (order.shape[1] - 1) // 2, count, device=order.device).long()
    index = order[:, places][:, None].expand(-1, magnitude.shape[1], -1)
    chosen = magnitude.gather(2, index)
    return chosen / (chosen.mean((1, 2), keepdim=True) + EPS)
