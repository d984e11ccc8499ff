"""Draws tasks: an overlay of several glyphs, one of them the target, another writing of its class the query."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_sep.evidence import ABSENT, Evidence
from fewshot_sep.experiments.mnist.digits import Digits
from fewshot_sep.experiments.mnist.glyphs import FIRST, warp

SIZE = 32  # the five-level U-Net halves an image four times

DIGITS = 0.6  # of the glyphs, the others are invented


class Overlays(NamedTuple):
    """A batch of tasks.

    Shape:
        queries, refused: `(batch, 1, 32, 32)` in [0, 1]; `refused` is a glyph that lies in the mixture and is not
        wanted, in another writing, or black.
        parts: `(batch, glyphs, 1, 32, 32)`, what lies over each other, the target first, black if its class is absent.
        labels: `(batch, glyphs)`, their classes, the query's first.
    """

    queries: Tensor
    refused: Tensor
    parts: Tensor
    labels: Tensor

    @property
    def mixture(self) -> Tensor:
        """`(batch, 1, 32, 32)`, as the target."""
        return self.parts.amax(1)

    @property
    def target(self) -> Tensor:
        return self.parts[:, 0]

    @property
    def truth(self) -> Tensor:
        """`(batch, 2 * glyphs, 32, 32)`: the parts, and for each an image filled with its label."""
        return torch.cat([self.parts[:, :, 0], self.labels[..., None, None].expand(-1, -1, SIZE, SIZE)], dim=1)

    @property
    def told(self) -> tuple[Tensor, Tensor, Tensor]:
        """What a system is given: mixture, queries, refused."""
        return self.mixture, self.queries, self.refused

    @property
    def evidence(self) -> Evidence:
        """The queries and what is refused, as `fewshot_sep.training` takes them."""
        alone = Evidence.of_alone(self.queries)
        task = self.refused.flatten(1).any(1).nonzero()[:, 0]
        return Evidence(
            torch.cat([self.queries, self.refused[task]]),
            torch.cat([alone.task, task]),
            torch.cat([alone.role, torch.full_like(task, ABSENT)]),
        )


class Drawer:
    """An endless stream of batches; batch `i` depends on the seed and `i` alone.

    Args:
        digits: where mixtures and queries are taken from; invented glyphs too, which `DIGITS` leaves the rest to.
        count: glyphs in a mixture, each of another class.
        queried: classes of targets; every other class of `present` only covers them.
        present: classes in mixtures.
        wrong: query with another class of the mixture than the target's, as a control.
        absent: share of tasks whose query's class is not in the mixture: their target is black.
        refused: share of tasks that are also given a glyph which is there and not wanted.
        warped: every glyph in another hand, `glyphs.warp`.
        fewer: mixtures of two to `count` glyphs, not all of `count`.
    """

    def __init__(
        self,
        digits: Digits,
        batch: int = 64,
        count: int = 4,
        queried: Sequence[int] = range(10),
        present: Sequence[int] = range(10),
        seed: int = 0,
        wrong: bool = False,
        absent: float = 0.0,
        refused: float = 0.0,
        warped: bool = False,
        fewer: bool = False,
    ) -> None:
        self.drawn = count + (absent > 0)  # where the query's class is absent, one more stands in for it
        if count < 2 or self.drawn > len({*queried, *present}):
            raise ValueError(f"{count} glyphs of distinct classes cannot be drawn from {len({*queried, *present})}")
        self.batch, self.seed, self.wrong = batch, seed, wrong
        self.absent, self.refused, self.warped, self.fewer = absent, refused, warped, fewer
        self.count = count
        order = np.argsort(digits.labels, kind="stable")
        self.labels = digits.labels[order]
        whole = torch.from_numpy(digits.images[order].astype(np.float32) / 255)[:, None]
        self.images = F.interpolate(whole, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
        classes = np.arange(digits.labels.max() + 1)
        self.first, last = (np.searchsorted(self.labels, classes, side) for side in ("left", "right"))
        self.writings = last - self.first
        digit, invented = len({c for c in present if c < FIRST}), max(1, len(classes) - FIRST)
        self.logits = np.log(np.where(classes < FIRST, DIGITS / digit, (1 - DIGITS) / invented))
        self.queried, self.present = (np.isin(classes, some) for some in (queried, present))

    def stream(self, first: int = 0) -> Iterator[Overlays]:
        """Batches number `first` and on."""
        while True:
            yield self.draw(first)
            first += 1

    def draw(self, index: int) -> Overlays:
        """Batch number `index`."""
        random = np.random.default_rng([self.seed, index])
        labels = self._classes(random)
        place = random.integers(self.writings[labels])
        wanted, refused = (1, 0) if self.wrong else (0, 1)
        rows = np.concatenate(
            [
                self.first[labels] + place,
                *(self._another(labels, place, column, random)[:, None] for column in (wanted, refused)),
            ],
            axis=1,
        )
        images = self.images[torch.from_numpy(rows)]
        hand = torch.Generator().manual_seed(int(random.integers(2**62)))
        if self.warped:
            images = warp(images.flatten(0, 1), hand).view_as(images)
        parts, queries, given = images.tensor_split([self.drawn, self.drawn + 1], dim=1)
        if self.fewer:
            last = random.integers(2, self.count + 1, (self.batch, 1))
            parts[:, : self.count] *= torch.from_numpy(np.arange(self.count) < last)[..., None, None, None]
        if self.absent:
            left_out = np.where(np.arange(self.batch) < round(self.absent * self.batch), 0, self.drawn - 1)
            parts[torch.arange(self.batch), torch.from_numpy(left_out)] = 0
        given = given[:, 0] * torch.from_numpy(random.random(self.batch) < self.refused)[:, None, None, None]
        return Overlays(queries[:, 0], given, parts, torch.from_numpy(labels))

    def _classes(self, random: np.random.Generator) -> np.ndarray:
        """Of each task, distinct, by weight (Gumbel top-k), the target's first; `(batch, drawn)`."""
        scores = self.logits + random.gumbel(size=(self.batch, len(self.logits)))
        target = np.where(self.queried, scores, -np.inf).argmax(1)
        scores = np.where(self.present, scores, -np.inf)
        scores[np.arange(self.batch), target] = np.inf
        return np.argsort(-scores, axis=1)[:, : self.drawn]

    def _another(self, labels: np.ndarray, place: np.ndarray, column: int, random: np.random.Generator) -> np.ndarray:
        """Another writing of the class in a column; `(batch,)`."""
        label, writings = labels[:, column], self.writings[labels[:, column]]
        another: np.ndarray = self.first[label] + (place[:, column] + random.integers(1, writings)) % writings
        return another
