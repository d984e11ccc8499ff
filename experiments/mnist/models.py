"""Networks that pick a digit out of an overlay, given a query, and what they are trained to do."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_sep.evidence import Evidence
from fewshot_sep.experiments.mnist.settings import Model
from fewshot_sep.experiments.mnist.tasks import SIZE
from fewshot_sep.objectives import Loss, Objective
from fewshot_sep.systems import Trainable
from fewshot_sep.unet import ConcatUNet, QueryConditioning, QueryEncoder, QueryUNet

FEATURES = 128


class DigitSystem(Trainable):
    """Mixture and query to the target.

    Shape: mixture `(batch, 1, 32, 32)`, queries `(batch, clips, 32, 32)` -> `(batch, 1, 32, 32)` in [0, 1].
    """

    def forward(self, mixture: Tensor, queries: Tensor) -> Tensor:
        raise NotImplementedError


class ConcatSystem(DigitSystem):
    """The thesis's U-Net: mixture and query are its two input channels. It has a width of 64 in the thesis."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.network = ConcatUNet(width)

    def forward(self, mixture: Tensor, queries: Tensor) -> Tensor:
        return self.network(mixture, queries.mean(1, keepdim=True))


class FilmSystem(DigitSystem):
    """The query encoder and steered U-Net of the audio separator; its mask is laid on the mixture."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.network = QueryUNet(1, SIZE, (width, 2 * width, 4 * width, 8 * width), FEATURES)
        self.query_encoder = QueryEncoder(SIZE, FEATURES)

    def forward(self, mixture: Tensor, queries: Tensor) -> Tensor:
        embedding = self.query_encoder(queries.flatten(0, 1)[:, None]).view(*queries.shape[:2], -1).mean(1)
        profile = torch.stack([queries.mean((1, 3)), queries.amax(3).mean(1)], dim=1)
        no_templates, no_extra = queries.new_zeros(len(queries), SIZE, 0), mixture[:, :0]
        logits = self.network(mixture, QueryConditioning(embedding, profile, no_templates), no_extra)
        return mixture * torch.sigmoid(logits)


def build(model: Model, width: int) -> DigitSystem:
    """An untrained system."""
    return ConcatSystem(width) if model == "concat" else FilmSystem(width)


class DigitObjective(Objective[DigitSystem]):
    """The thesis's mean squared error, its equation 1."""

    def forward(self, system: DigitSystem, mixture: Tensor, evidence: Evidence, target: Tensor) -> Loss:
        error = F.mse_loss(system(mixture, evidence.alone).float(), target)
        return Loss(error, {"psnr_db": -10 * torch.log10(error)})
