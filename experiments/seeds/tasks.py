"""Training tasks with labels in the queries' place."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

import torch
from torch import Tensor

from fewshot_sep.evidence import Evidence
from fewshot_sep.experiments.seeds.labels import Labels
from fewshot_sep.experiments.seeds.settings import Labelling
from fewshot_sep.loops.tasks.mixing import TaskMixer, TasksWithSources


class LabelTasks(NamedTuple):
    """A batch of tasks, as `fewshot_sep.training` takes it.

    Shape:
        mixture: `(batch, channels, samples)`.
        queries: `(batch, labels)`: 1 for the queried labels, else 0.
        target: all that has the label, silence if nothing has: `(batch, channels, samples)` for one label; for several
            `(batch, labels, samples)`, of mono mixtures, silent where the label is not queried.
    """

    mixture: Tensor
    queries: Tensor
    target: Tensor

    @property
    def evidence(self) -> Evidence:
        """The queries, in the place of clips."""
        return Evidence.of_alone(self.queries)


class LabelStream:
    """Tasks of a mixer, in its order, queried by label; batch number `i` depends on the mixer and `i` alone.

    Two sources that share a label are one target. What has no label (an invented instrument) sounds but is never
    queried: another source of its mixture is, or, if none has a label, one that does not sound.
    """

    def __init__(self, mixer: TaskMixer, labels: Labels, labelling: Labelling) -> None:
        self.mixer, self.labels, self.labelling = mixer, labels, labelling
        families = {row.instrument: row.family for row in mixer.pool.rows}
        self._label = {name: labels.number(name, family) for name, family in families.items()}

    def __iter__(self) -> Iterator[LabelTasks]:
        return map(self.draw, count(self.mixer.first))

    def draw(self, index: int) -> LabelTasks:
        """Batch number `index`."""
        batch = self.mixer.draw_with_sources(index)
        mixture = batch.tasks.mixture
        sounding = [[self._label[name] for name in names] for names in batch.instruments]
        queries = torch.zeros(len(mixture), len(self.labels.names), device=mixture.device)
        for task, label in enumerate(self._queried(batch, sounding, index)):
            every = self.labelling == "all" or (self.labelling == "alternating" and task % 2 == 0)
            queries[task, [one for one in (sounding[task] if every else [label]) if one is not None]] = 1
        single = self.labelling == "one"
        outputs = 1 if single else len(self.labels.names)
        target = torch.zeros(len(mixture), outputs, *mixture.shape[1:], device=mixture.device)
        for task, labels in enumerate(sounding):
            for place, found in enumerate(labels):
                if found is not None and queries[task, found]:
                    target[task, 0 if single else found] += batch.sources[task, place]
        return LabelTasks(mixture, queries, target[:, 0] if single else target[:, :, 0])

    def _queried(self, batch: TasksWithSources, sounding: list[list[int | None]], index: int) -> Iterator[int]:
        """One label for each task."""
        for task, (name, others) in enumerate(zip(batch.queried, sounding, strict=True)):
            known = [label for label in (self._label[name], *others) if label is not None]
            yield known[0] if known else (index + task) % len(self.labels.names)
