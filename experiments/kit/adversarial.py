"""A discriminator for networks that turn one image into another, given a query image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Discriminator(nn.Module):
    """Is this a true image of what the query shows? Convolutional, no normalisation that would mix true and false.

    Goodfellow et al. 2014, with the non-saturating loss; conditioned, and by patches where the image is greater
    than 32x32, as in Isola et al. 2017, "Image-to-image translation with conditional adversarial networks".

    Shape: image and query `(batch, 1, height, width)` -> `(batch, 1, rows, columns)` logits; one for 32x32.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(2, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)),
            *(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)),
            *(nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)),
            nn.Conv2d(4 * width, 1, 4),
        )

    def forward(self, image: Tensor, query: Tensor) -> Tensor:
        logits: Tensor = self.layers(torch.cat([image, query], dim=1))
        return logits

    def frozen(self, image: Tensor, query: Tensor) -> Tensor:
        """The same, with gradients for the image but none for the discriminator: one optimiser serves both players."""
        fixed = {name: value.detach() for name, value in self.named_parameters()}
        logits: Tensor = torch.func.functional_call(self, fixed, (image, query))
        return logits

    def game(self, output: Tensor, target: Tensor, query: Tensor) -> dict[str, Tensor]:
        """The losses of the two players: `deceit` of what made `output`, `discrimination` of this network."""
        fooled = self.frozen(output, query)
        true_logits, false_logits = self(torch.cat([target, output.detach()]), torch.cat([query, query])).chunk(2)
        return {
            "deceit": F.binary_cross_entropy_with_logits(fooled, torch.ones_like(fooled)),
            "discrimination": (
                F.binary_cross_entropy_with_logits(true_logits, torch.ones_like(true_logits))
                + F.binary_cross_entropy_with_logits(false_logits, torch.zeros_like(false_logits))
            )
            / 2,
        }
