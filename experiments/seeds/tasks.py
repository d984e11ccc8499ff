"""Training tasks with labels in the queries' place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from fewshot_sep.experiments.seeds.labels import Labels
from fewshot_sep.loops.tasks.mixing import TaskMixer, TasksWithSources

Asks = Literal["one", "all", "either"]
"""Ask for one label and want its sound; for all that sound and want each; or, in turn, for all and for one alone."""


class LabelTasks(NamedTuple):
    """A batch of tasks, as `fewshot_sep.training` takes it.

    Shape:
        mixture: `(batch, channels, samples)`.
        queries: `(batch, labels)`: 1 for what is asked for, else 0.
        target: all that has the label, silence if nothing has: `(batch, channels, samples)` for one label; for several
            `(batch, labels, samples)`, of mono mixtures, silent where the label was not asked for.
    """

    mixture: Tensor
    queries: Tensor
    target: Tensor


class LabelStream:
    """Tasks of a mixer, in its order, asked by label; batch number `i` depends on the mixer and `i` alone.

    Two sources that share a label are one target. What has no label (an invented instrument) sounds but is never asked
    for: another source of its mixture is, or, if none has a label, one that does not sound.
    """

    def __init__(self, mixer: TaskMixer, labels: Labels, asks: Asks) -> None:
        self.mixer, self.labels, self.asks = mixer, labels, asks
        families = {row.instrument: row.family for row in mixer.pool.rows}
        self._label = {name: labels.number(name, family) for name, family in families.items()}

    def __iter__(self) -> Iterator[LabelTasks]:
        index = self.mixer.first
        while True:
            yield self.draw(index)
            index += 1

    def draw(self, index: int) -> LabelTasks:
        """Batch number `index`."""
        apart = self.mixer.draw_apart(index)
        sounding = [[self._label[name] for name in names] for names in apart.instruments]
        asked = self._asked(apart, sounding, index)
        mixture, sources = apart.tasks.mixture, apart.sources
        queries = torch.zeros(len(mixture), len(self.labels.names), device=mixture.device)
        for task, label in enumerate(asked):
            everything = self.asks == "all" or (self.asks == "either" and task % 2 == 0)
            queries[task, [one for one in (sounding[task] if everything else [label]) if one is not None]] = 1
        outputs = 1 if self.asks == "one" else len(self.labels.names)
        target = torch.zeros(len(mixture), outputs, *mixture.shape[1:], device=mixture.device)
        for task, places in enumerate(sounding):
            for place, found in enumerate(places):
                if found is not None and queries[task, found]:
                    target[task, 0 if outputs == 1 else found] += sources[task, place]
        return LabelTasks(mixture, queries, target[:, 0] if outputs == 1 else target[:, :, 0])

    def _asked(self, apart: TasksWithSources, sounding: list[list[int | None]], index: int) -> list[int]:
        """One label for each task."""
        asked = []
        for task, (name, others) in enumerate(zip(apart.asked, sounding, strict=True)):
            known = [label for label in (self._label[name], *others) if label is not None]
            asked.append(known[0] if known else (index + task) % len(self.labels.names))
        return asked
