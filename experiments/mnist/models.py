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
from fewshot_sep.unet import ConcatUNet, QueryConditioning, QueryEncoder, QueryUNet, fine_layer, sharpener

FEATURES = 128
HEADS, FINE = 4, 8


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


def convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1, padding: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, size, stride, padding, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


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
        self.join = convolution(2 * channels, channels)

    def forward(self, mixture: Tensor, examples: Tensor) -> Tensor:
        batch, channels, side, _ = mixture.shape
        keys, values = self.looked_at((examples + self.role + self.place).flatten(0, 1)).chunk(2, dim=1)
        look, keys, values = (
            part.reshape(-1, batch, HEADS, channels // HEADS, side**2).permute(1, 2, 0, 4, 3).flatten(2, 3)
            for part in (self.look(mixture + self.place), keys, values)
        )
        found = F.scaled_dot_product_attention(look, keys, values).transpose(2, 3).reshape_as(mixture)
        return mixture + self.join(torch.cat([mixture, found], dim=1))


class MatchingUNet(nn.Module):
    """One encoder for the mixture and both examples; at 8 x 8 the mixture attends to them, twice.

    As in `QueryUNet` the body works on patches of 2 x 2, and a light layer of all three images sharpens the mask.

    Shape: three times `(batch, 1, 32, 32)` -> logits of a mask, `(batch, 1, 32, 32)`.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        middle, deep, fine = 2 * width, 4 * width, FINE
        self.fine = fine_layer(3, fine)
        self.encoder = nn.Sequential(convolution(1, middle, 4, 2), convolution(middle, middle))
        self.down = nn.Sequential(convolution(middle, deep, 2, 2, 0), convolution(deep, deep))
        self.match = nn.ModuleList(Match(deep, SIZE // 4) for _ in range(2))
        self.up = nn.ConvTranspose2d(deep, middle, 2, stride=2)
        self.decoder = nn.Sequential(convolution(4 * middle, middle, 1, padding=0), convolution(middle, middle))
        self.unpatch = nn.ConvTranspose2d(middle, fine, 2, stride=2)
        self.sharpen = sharpener(fine, 1)

    def forward(self, mixture: Tensor, queries: Tensor, refused: Tensor) -> Tensor:
        images = mixture, queries, refused
        fine, middle = self.fine(torch.cat(images, dim=1)), self.encoder(torch.cat(images))
        h, *examples = self.down(middle).chunk(3)
        for match in self.match:
            h = match(h, torch.stack(examples))
        h = self.decoder(torch.cat([*middle.chunk(3), self.up(h)], dim=1))
        logits: Tensor = self.sharpen(torch.cat([self.unpatch(h), fine], dim=1))
        return logits


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
