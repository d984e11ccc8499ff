"""Networks that pick a glyph out of an overlay, given an example, and what they are trained to do."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_sep.evidence import Evidence
from fewshot_sep.experiments.mnist.settings import Model
from fewshot_sep.experiments.mnist.tasks import SIZE
from fewshot_sep.objectives import Loss, Objective
from fewshot_sep.systems import Trainable
from fewshot_sep.unet import ConcatUNet, QueryConditioning, QueryEncoder, QueryUNet

FEATURES = 128
HEADS = 4


class DigitSystem(Trainable):
    """Mixture, query and what is refused to the target.

    Shape: three times `(batch, 1, 32, 32)` -> `(batch, 1, 32, 32)` in [0, 1]; `refused` is black where nothing is.
    """

    def forward(self, mixture: Tensor, queries: Tensor, refused: Tensor) -> Tensor:
        raise NotImplementedError


class ConcatSystem(DigitSystem):
    """The thesis's U-Net: mixture and examples are its input channels. It has a width of 64 in the thesis."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.network = ConcatUNet(width, queries=2)

    def forward(self, mixture: Tensor, queries: Tensor, refused: Tensor) -> Tensor:
        return self.network(mixture, torch.cat([queries, refused], dim=1))


class FilmSystem(DigitSystem):
    """The query encoder and steered U-Net of the audio separator; its mask is laid on the mixture."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.network = QueryUNet(1, SIZE, (width, 2 * width, 4 * width, 8 * width), 2 * FEATURES)
        self.query_encoder = QueryEncoder(SIZE, FEATURES)

    def forward(self, mixture: Tensor, queries: Tensor, refused: Tensor) -> Tensor:
        embeddings = self.query_encoder(torch.cat([queries, refused]))
        profile = torch.stack([queries.mean((1, 3)), queries.amax((1, 3))], dim=1)
        no_templates, no_extra = queries.new_zeros(len(queries), SIZE, 0), mixture[:, :0]
        embedding = torch.cat(embeddings.chunk(2), dim=1)
        logits = self.network(mixture, QueryConditioning(embedding, profile, no_templates), no_extra)
        return mixture * torch.sigmoid(logits)


class Match(nn.Module):
    """Cross-attention: every place of the mixture takes what the examples have at the places that look alike.

    Shape: mixture `(batch, channels, side, side)`, examples `(2, batch, channels, side, side)` -> as the mixture.
    """

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.place = nn.Parameter(0.5 * torch.randn(channels, side, side))
        self.role = nn.Parameter(0.5 * torch.randn(2, 1, channels, 1, 1))
        self.look = nn.Conv2d(channels, channels, 1)
        self.looked_at = nn.Conv2d(channels, 2 * channels, 1)
        self.join = nn.Sequential(*block(2 * channels, channels))

    def forward(self, mixture: Tensor, examples: Tensor) -> Tensor:
        batch, channels, side = len(mixture), mixture.shape[1], mixture.shape[-1]
        keys, values = self.looked_at((examples + self.role + self.place).flatten(0, 1)).chunk(2, dim=1)
        look, keys, values = (
            part.reshape(-1, batch, HEADS, channels // HEADS, side**2).permute(1, 2, 0, 4, 3).flatten(2, 3)
            for part in (self.look(mixture + self.place), keys, values)
        )
        found = F.scaled_dot_product_attention(look, keys, values)
        return mixture + self.join(torch.cat([mixture, found.transpose(2, 3).reshape_as(mixture)], dim=1))


def block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()),
        *(nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()),
    )


class MatchingUNet(nn.Module):
    """One encoder for the mixture and both examples; the mixture attends to them at 16 x 16 and 8 x 8."""

    def __init__(self, width: int, rounds: tuple[int, int] = (1, 2)) -> None:
        super().__init__()
        widths = (width, 2 * width, 4 * width)
        self.encoder = nn.ModuleList(block(a, b) for a, b in zip((1, *widths), widths, strict=False))
        self.middle = nn.ModuleList(Match(2 * width, SIZE // 2) for _ in range(rounds[0]))
        self.deep = nn.ModuleList(Match(4 * width, SIZE // 4) for _ in range(rounds[1]))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in widths[:2])
        self.decoder = nn.ModuleList([block(4 * width, width), block(4 * width, 2 * width)])
        self.output = nn.Conv2d(width, 1, 1)

    def forward(self, mixture: Tensor, queries: Tensor, refused: Tensor) -> Tensor:
        images, levels = torch.cat([mixture, queries, refused]), []
        for stage in self.encoder:
            images = stage(F.max_pool2d(images, 2) if levels else images)
            levels.append(images.unflatten(0, (3, -1)))
        fine, middle, deep = levels
        m, d = middle[0], deep[0]
        for match in self.deep:
            d = match(d, deep[1:])
        for match in self.middle:
            m = match(m, middle[1:])
        h = self.decoder[1](torch.cat([m, self.up[1](d)], dim=1))
        h = self.decoder[0](torch.cat([*fine, self.up[0](h)], dim=1))
        return self.output(h)


class AttentionSystem(DigitSystem):
    """A `MatchingUNet`, whose mask is laid on the mixture."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.network = MatchingUNet(width)

    def forward(self, mixture: Tensor, queries: Tensor, refused: Tensor) -> Tensor:
        return mixture * torch.sigmoid(self.network(mixture, queries, refused))


SYSTEMS: dict[Model, type[DigitSystem]] = {"concat": ConcatSystem, "film": FilmSystem, "attention": AttentionSystem}


def build(model: Model, width: int) -> DigitSystem:
    """An untrained system."""
    return SYSTEMS[model](width)


class DigitObjective(Objective[DigitSystem]):
    """The thesis's mean squared error, its equation 1."""

    def forward(self, system: DigitSystem, mixture: Tensor, evidence: Evidence, target: Tensor) -> Loss:
        queries, absent = evidence.alone, evidence.clips[len(mixture) :]
        refused = torch.zeros_like(queries).index_copy(0, evidence.task[len(mixture) :], absent)
        error = F.mse_loss(system(mixture, queries, refused).float(), target)
        return Loss(error, {"psnr_db": -10 * torch.log10(error)})
