"""Networks that pick a glyph out of an overlay, given an example, and what they are trained to do."""

from __future__ import annotations

from collections.abc import Callable

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
HEADS, FINE, MAPS = 4, 8, 64
WARP, LIKENESS, TEMPERATURE, PRESENCE = 0.5, 0.3, 0.1, 0.1  # of the objective


def convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1, padding: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, size, stride, padding, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


def glyph_encoder() -> nn.Sequential:
    """Glyphs `(batch, 1, 32, 32)` to embeddings; without running statistics, as it is shown outputs too."""
    halving = (
        nn.Sequential(nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.GroupNorm(4, b), nn.ReLU())
        for a, b in ((1, 16), (16, 32), (32, 64))
    )
    return nn.Sequential(*halving, nn.Flatten(), nn.Linear(64 * (SIZE // 8) ** 2, FEATURES // 2))


class Presence(nn.Module):
    """Whether a query's class is in a mixture: their embeddings tell, and whether the query, bent to it, lies on ink.

    Embeddings learn from all pairs of a batch, as a classifier of overlays with as many labels would.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        halving = (nn.Sequential(convolution(a, b, 4, 2), convolution(b, b)) for a, b in ((1, 32), (32, MAPS)))
        self.maps = nn.Sequential(*halving)
        size = MAPS * (SIZE // 8) ** 2
        self.embed = nn.Sequential(convolution(MAPS, MAPS, 4, 2), nn.Flatten(), nn.Linear(size, FEATURES))
        self.alike = nn.Sequential(nn.Dropout(0.2), nn.Linear(FEATURES, 1))
        closer = [convolution(5, 24, 4, 2), convolution(24, 24), convolution(24, 48, 4, 2), convolution(48, 48)]
        self.look = nn.Sequential(*closer, convolution(48, MAPS, 4, 2), nn.Flatten())
        self.judge = nn.Sequential(nn.Linear(size + features, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 1))

    def pairs(self, mixture: Tensor, queries: Tensor) -> Tensor:
        """Logits of every mixture with every query, from embeddings alone; `(mixtures, queries)`."""
        whole, asked = self.embed(self.maps(torch.cat([mixture, queries]))).split([len(mixture), len(queries)])
        logits: Tensor = self.alike(whole[:, None] * asked)
        return logits[..., 0]

    def closer(self, mixture: Tensor, queries: Tensor, bent: Tensor, output: Tensor, alike: Tensor) -> Tensor:
        """What the output adds to a task's own pair, `(batch,)`; `alike` has embeddings of query and output."""
        seen = self.look(torch.cat([mixture, queries, bent, output, bent * (1 - mixture)], dim=1))
        logits: Tensor = self.judge(torch.cat([seen, alike], dim=1))
        return logits[:, 0]


class DigitSystem(Trainable):
    """Mixture, query and what is refused to the target; black where the query's class is thought to be absent.

    Shape: three times `(batch, 1, 32, 32)` -> `(batch, 1, 32, 32)` in [0, 1]; `refused` is black where nothing is.
    """

    threshold: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.encoder, self.presence = network, glyph_encoder(), Presence(FEATURES // 2)
        self.register_buffer("threshold", torch.tensor(0.0))

    def separate(self, mixture: Tensor, queries: Tensor, refused: Tensor) -> tuple[Tensor, Tensor]:
        """What is most like the query, there or not; and the query, bent to it where a network can do that."""
        raise NotImplementedError

    def there(self, mixture: Tensor, queries: Tensor, output: Tensor, bent: Tensor) -> tuple[Tensor, Tensor]:
        """Logits that the query's class is in the mixture, `(batch,)`, and of all pairs; only `presence` learns."""
        output, bent = output.detach(), bent.detach()
        with torch.no_grad():
            asked, found = F.normalize(self.encoder(torch.cat([queries, output])), dim=1).chunk(2)
        pairs = self.presence.pairs(mixture, queries)
        return pairs.diagonal() + self.presence.closer(mixture, queries, bent, output, asked * found), pairs

    def answer(self, mixture: Tensor, queries: Tensor, refused: Tensor) -> tuple[Tensor, Tensor]:
        """What is most like the query, and the logit that its class is there; `(batch, 1, 32, 32)` and `(batch,)`."""
        output, bent = self.separate(mixture, queries, refused)
        return output, self.there(mixture, queries, output, bent)[0]

    def forward(self, mixture: Tensor, queries: Tensor, refused: Tensor) -> Tensor:
        output, there = self.answer(mixture, queries, refused)
        return output * (there > self.threshold)[:, None, None, None]


class ConcatSystem(DigitSystem):
    """The thesis's U-Net: mixture and examples are its input channels. It has a width of 64 in the thesis."""

    def __init__(self, width: int) -> None:
        super().__init__(ConcatUNet(width, queries=2))

    def separate(self, mixture: Tensor, queries: Tensor, refused: Tensor) -> tuple[Tensor, Tensor]:
        return self.network(mixture, torch.cat([queries, refused], dim=1)), queries


class FilmSystem(DigitSystem):
    """The query encoder and steered U-Net of the audio separator; its mask is laid on the mixture."""

    def __init__(self, width: int) -> None:
        super().__init__(QueryUNet(1, SIZE, (width, 2 * width, 4 * width, 8 * width), 2 * FEATURES))
        self.query_encoder = QueryEncoder(SIZE, FEATURES)

    def separate(self, mixture: Tensor, queries: Tensor, refused: Tensor) -> tuple[Tensor, Tensor]:
        embeddings = self.query_encoder(torch.cat([queries, refused]))
        profile = torch.stack([queries.mean((1, 3)), queries.amax((1, 3))], dim=1)
        no_templates, no_extra = queries.new_zeros(len(queries), SIZE, 0), mixture[:, :0]
        embedding = torch.cat(embeddings.chunk(2), dim=1)
        logits = self.network(mixture, QueryConditioning(embedding, profile, no_templates), no_extra)
        return mixture * torch.sigmoid(logits), queries


class Match(nn.Module):
    """Cross-attention: every place of the mixture takes what an example has where it looks alike, and how far off.

    At first it looks nearby: the bias of each head starts as a Gaussian of the distance.

    Shape: mixture and example `(batch, channels, side, side)` -> the same.
    """

    offset: Tensor
    places: Tensor

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.look = nn.Conv2d(channels, channels, 1)
        self.looked_at = nn.Conv2d(channels, 2 * channels, 1)
        self.join = convolution(2 * (channels + HEADS), channels, 1, padding=0)
        steps = torch.arange(side)
        places = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1).view(-1, 2)
        down, right = (places[:, None] - places + side - 1).unbind(2)
        offsets = torch.arange(1 - side, side)
        squared = (offsets[:, None].square() + offsets.square()).flatten()
        self.bias = nn.Parameter(-squared / 8 * torch.ones(HEADS, 1))
        self.register_buffer("offset", down * (2 * side - 1) + right, persistent=False)
        self.register_buffer("places", (2 * places.flip(1) + 1) / side - 1, persistent=False)  # as in `grid_sample`

    def forward(self, mixture: Tensor, example: Tensor) -> Tensor:
        look, keys, values = (
            part.reshape(len(part), HEADS, -1, self.places.shape[0]).transpose(2, 3)
            for part in (self.look(mixture), *self.looked_at(example).chunk(2, dim=1))
        )
        scores = look @ keys.transpose(2, 3) / keys.shape[3] ** 0.5 + self.bias[:, self.offset]
        weights = scores.softmax(3)
        found = torch.cat([weights @ values, weights @ self.places - self.places], dim=3)
        found = found.transpose(2, 3).reshape(len(mixture), -1, *mixture.shape[2:])
        matched: Tensor = mixture + self.join(torch.cat([mixture, found], dim=1))
        return matched


class MatchingUNet(nn.Module):
    """Bends the examples to the mixture, as VoxelMorph does (Balakrishnan et al. 2019), then masks it beside them.

    One encoder for all images. At 8 x 8 the mixture attends to each example, twice; that gives a field by which the
    example is resampled. The mask's logits start as the bent query: whatever is learnt improves on a copy of it.

    Shape: three times `(batch, 1, 32, 32)`, and `(batch, 2 * MAPS, 8, 8)`, what `Presence` sees in mixture and query ->
    logits of a mask, and the bent query, each `(batch, 1, 32, 32)`.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        middle, deep, deepest = 2 * width, 4 * width, 6 * width
        self.encoder = nn.Sequential(convolution(1, middle, 4, 2), convolution(middle, middle))
        self.down = nn.Sequential(convolution(middle, deep, 2, 2, 0), convolution(deep, deep))
        self.match = nn.ModuleList(Match(deep, SIZE // 4) for _ in range(2))
        straight = nn.Conv2d(deep // 2, 2, 3, padding=1)
        for parameter in straight.parameters():
            nn.init.zeros_(parameter)
        self.field = nn.Sequential(convolution(deep, deep // 2), straight)
        self.join = nn.Sequential(convolution(2 * middle, middle, 1, padding=0), convolution(middle, middle))
        self.halve = convolution(middle, middle, 2, 2, 0)
        self.body = nn.Sequential(
            convolution(3 * deep + middle + 2 * MAPS, deep, 1, padding=0), convolution(deep, deep)
        )
        self.latent = nn.Sequential(
            convolution(deep, deepest, 2, 2, 0), convolution(deepest, deepest), convolution(deepest, deepest)
        )
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in ((deepest, deep), (deep, middle), (middle, FINE))
        )
        self.decoder = nn.ModuleList(
            nn.Sequential(convolution(2 * some, some, 1, padding=0), convolution(some, some)) for some in (deep, middle)
        )
        self.fine = fine_layer(5, FINE)
        self.sharpen = sharpener(FINE, 1)
        self.copy = nn.Parameter(torch.tensor(6.0))

    def forward(self, mixture: Tensor, queries: Tensor, refused: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        examples = torch.cat([queries, refused])
        middle = self.encoder(torch.cat([mixture, examples]))
        own, *others = self.down(middle).chunk(3)
        matched = own.repeat(2, 1, 1, 1)
        for match in self.match:
            matched = match(matched, torch.cat(others))
        bent, bent_refused = bend(examples, self.field(matched)).chunk(2)
        middle = self.join(torch.cat([middle[: len(mixture)], self.encoder(bent)], dim=1))
        deep = self.body(torch.cat([own, *matched.chunk(2), self.halve(middle), maps], dim=1))
        h = self.latent(deep)
        for up, skip, block in zip(self.up, (deep, middle), self.decoder, strict=False):
            h = block(torch.cat([skip, up(h)], dim=1))
        fine = self.fine(torch.cat([mixture, queries, bent, torch.minimum(bent, mixture), bent_refused], dim=1))
        logits = self.sharpen(torch.cat([self.up[-1](h), fine], dim=1)) + self.copy * (bent - 0.5)
        return logits, bent


def bend(images: Tensor, field: Tensor) -> Tensor:
    """Images `(batch, 1, height, width)` resampled where a coarse field `(batch, 2, ...)` says; half a side is 1."""
    fitted = F.interpolate(field, images.shape[2:], mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
    straight = F.affine_grid(torch.eye(2, 3, device=images.device)[None], [1, *images.shape[1:]], align_corners=False)
    return F.grid_sample(images, straight + fitted, align_corners=False)


class AttentionSystem(DigitSystem):
    """A `MatchingUNet`, whose mask is laid on the mixture; it sees the maps of `presence`, but does not teach them."""

    def __init__(self, width: int) -> None:
        super().__init__(MatchingUNet(width))

    def separate(self, mixture: Tensor, queries: Tensor, refused: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            maps = torch.cat(self.presence.maps(torch.cat([mixture, queries])).chunk(2), dim=1)
        logits, bent = self.network(mixture, queries, refused, maps)
        return mixture * torch.sigmoid(logits), bent


def build(model: Model, width: int) -> DigitSystem:
    """An untrained system."""
    systems: dict[Model, Callable[[int], DigitSystem]] = {
        "concat": ConcatSystem,
        "film": FilmSystem,
        "attention": AttentionSystem,
    }
    system = systems[model](width)
    system.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a tenth to a third faster on a CPU
    return system


class DigitObjective(Objective[DigitSystem]):
    """The thesis's mean squared error (its equation 1), and what makes an output decided: to look like the target.

    Beside the system its glyph encoder learns, from clean glyphs of the training's classes alone, to tell a query's
    class from the others of its mixture and of the batch. An output's embedding must be told likewise (the encoder
    holds still for that). The bent query must lie on the target. Where the class is absent, only that is to be said.

    Shape: target `(batch, 2 * glyphs, 32, 32)`, see `fewshot_sep.experiments.mnist.tasks.Overlays.truth`.
    """

    def forward(self, system: DigitSystem, mixture: Tensor, evidence: Evidence, target: Tensor) -> Loss:
        queries, absent = evidence.alone, evidence.clips[len(mixture) :]
        refused = torch.zeros_like(queries).index_copy(0, evidence.task[len(mixture) :], absent)
        there = target[:, 0].flatten(1).any(1)
        order = torch.argsort(~there, stable=True)  # those whose class is there come first
        mixture, queries, refused, target = (part[order] for part in (mixture, queries, refused, target))
        parts, labels = target.chunk(2, dim=1)
        labels, count = labels[..., 0, 0], int(there.sum())
        made = output, bent = system.separate(mixture[:count], queries[:count], refused[:count])
        if count < len(labels):
            with torch.no_grad():
                idle = system.separate(mixture[count:], queries[count:], refused[count:])
            made = torch.cat([output, idle[0]]), torch.cat([bent, idle[1]])
        logits, pairs = system.there(mixture, queries, *made)
        lies_there = labels.masked_fill(~parts.flatten(2).any(2), -1)
        presence = balanced(logits, there[order]) + balanced(pairs, (lies_there[:, :, None] == labels[:, 0]).any(1))
        parts, labels = parts[:count], labels[:count, 0]
        error = F.mse_loss(output, parts[:, :1])
        apart = F.mse_loss(F.avg_pool2d(bent, 3, 1, 1), F.avg_pool2d(parts[:, :1], 3, 1, 1))
        likeness = likenesses(system.encoder, output, queries[:count], parts, labels)
        total = error + WARP * apart + LIKENESS * likeness.sum() + PRESENCE * presence
        parts_of_loss = {"likeness": likeness[0], "encoder": likeness[1], "presence": presence}
        return Loss(total, {"psnr_db": -10 * torch.log10(error), **parts_of_loss})


def balanced(logits: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy in which what is true counts as much as what is not."""
    sides = F.softplus(-logits[truth]), F.softplus(logits[~truth])
    return torch.stack([side.mean() for side in sides if len(side)]).mean()


def likenesses(encoder: nn.Module, output: Tensor, queries: Tensor, parts: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of telling the target's class, for outputs and for queries; `(2,)`."""
    still = {name: value.detach() for name, value in encoder.named_parameters()}
    told = torch.stack([torch.func.functional_call(encoder, still, (output,)), encoder(queries)])
    told = F.normalize(told, dim=2)
    glyphs = F.normalize(encoder(parts.flatten(0, 1)[:, None]), dim=1).view(*parts.shape[:2], -1)
    kept = torch.stack([glyphs.detach(), glyphs])
    own = torch.einsum("nbf,nbgf->nbg", told, kept[:, :, 1:]) / TEMPERATURE
    own = own.masked_fill(~parts[:, 1:].flatten(2).any(2), -torch.inf)
    targets = told @ kept[:, :, 0].transpose(1, 2) / TEMPERATURE
    right = targets.masked_fill(labels[:, None] != labels, -torch.inf).logsumexp(2)
    return (torch.cat([targets, own], dim=2).logsumexp(2) - right).mean(1)
