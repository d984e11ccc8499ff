"""Networks that pick a digit out of an overlay, given a query; all are trained by `fewshot_sep.training`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fewshot_sep import losses
from fewshot_sep.experiments.kit.adversarial import Discriminator
from fewshot_sep.experiments.mnist.tasks import SIZE
from fewshot_sep.systems import Trainable
from fewshot_sep.unet import ConcatUNet, QueryConditioning, QueryEncoder, QueryUNet

MODELS = ("concat", "residual", "film")
ADVERSARIAL_WEIGHT = 0.01


class DigitSystem(Trainable):
    """Mixture and query to the target.

    `concat` is the thesis's U-Net, mixture and query its two input channels; `residual` the same with residual blocks;
    `film` is the query encoder and steered U-Net of the audio separator, whose mask is laid on the mixture.

    Args:
        width: channels of the first level, 64 in the thesis.
        adversarial: add the loss of a discriminator that sees query and output.

    Shape: mixture `(batch, 1, 32, 32)`, queries `(batch, clips, 32, 32)` -> `(batch, 1, 32, 32)` in [0, 1].
    """

    def __init__(self, model: str = "concat", width: int = 64, adversarial: bool = False) -> None:
        super().__init__()
        self.model, self.width = model, width
        if model == "film":
            widths = (width, 2 * width, 4 * width, 8 * width)
            self.network: nn.Module = QueryUNet(1, SIZE, widths, 128)
            self.query_encoder = QueryEncoder(SIZE, 128)
        else:
            self.network = ConcatUNet(width, residual=model == "residual")
        self.judge = Discriminator() if adversarial else None

    def forward(self, mixture: Tensor, queries: Tensor) -> Tensor:
        if self.model != "film":
            return self.network(mixture, queries.mean(1, keepdim=True))
        clips = queries.flatten(0, 1)[:, None]
        embedding = self.query_encoder(clips).view(*queries.shape[:2], -1).mean(1)
        profile = torch.stack([queries.mean((1, 3)), queries.amax(3).mean(1)], dim=1)
        return mixture * torch.sigmoid(self.network(mixture, QueryConditioning(embedding, profile)))

    def loss(self, mixture: Tensor, queries: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        output = self(mixture, queries).float()
        error = losses.mean_squared_error(output, target)
        parts = {"psnr_db": -10 * torch.log10(error)}
        if self.judge is None:
            return error, parts
        game = self.judge.game(output, target, queries.mean(1, keepdim=True))
        return error + ADVERSARIAL_WEIGHT * game["deceit"] + game["discrimination"], parts | game
