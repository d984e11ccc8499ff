"""Draws tasks from digits: an overlay of several, one of them the target, another image of its class the query."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_sep.evidence import Evidence
from fewshot_sep.experiments.mnist.digits import Digits

SIZE = 32  # the five-level U-Net halves an image four times


class Overlays(NamedTuple):
    """A batch of tasks.

    Shape:
        mixture, target: `(batch, 1, 32, 32)` in [0, 1]; queries: `(batch, clips, 32, 32)`.
        labels: `(batch, digits)`, the classes in the mixture, the target's first.
    """

    mixture: Tensor
    queries: Tensor
    target: Tensor
    labels: Tensor

    @property
    def evidence(self) -> Evidence:
        """The queries, as `fewshot_sep.training` takes them."""
        return Evidence.of_alone(self.queries)


class Drawer:
    """An endless stream of batches; batch `i` depends on the seed and `i` alone.

    Args:
        digits: where mixtures and queries are taken from.
        count: digits in a mixture, each of another class.
        queried: classes of targets; every other class of `present` only covers them.
        present: classes in mixtures.
        wrong: query with another class of the mixture than the target's, as a control.
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
    ) -> None:
        if not 2 <= count <= len({*queried, *present}):
            raise ValueError(f"{count} digits of distinct classes cannot be drawn from {sorted({*queried, *present})}")
        self.batch, self.count, self.seed, self.wrong = batch, count, seed, wrong
        self.queried, self.present = tuple(queried), tuple(present)
        whole = torch.from_numpy(digits.images.astype(np.float32) / 255)[:, None]
        self.images = F.interpolate(whole, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
        self.by_class = [np.flatnonzero(digits.labels == label) for label in range(10)]

    def stream(self, first: int = 0) -> Iterator[Overlays]:
        """Batches number `first` and on."""
        while True:
            yield self.draw(first)
            first += 1

    def draw(self, index: int) -> Overlays:
        """Batch number `index`."""
        random = np.random.default_rng([self.seed, index])
        labels, chosen, queries = [], [], []
        for _ in range(self.batch):
            target = int(random.choice(self.queried))
            others = random.choice([c for c in self.present if c != target], self.count - 1, replace=False)
            classes = [target, *(int(other) for other in others)]
            rows = [int(random.choice(self.by_class[label])) for label in classes]
            wanted = classes[1] if self.wrong else target
            query = rows[0]
            while query in rows:
                query = int(random.choice(self.by_class[wanted]))
            labels.append(classes)
            chosen.append(rows)
            queries.append(query)
        parts = self.images[torch.tensor(chosen)]
        return Overlays(parts.amax(1), self.images[torch.tensor(queries)], parts[:, 0], torch.tensor(labels))
