"""Training tasks with labels in the queries' place."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import torch

from fewshot_sep.evidence import Evidence
from fewshot_sep.experiments.seeds.labels import Labels
from fewshot_sep.loops.tasks.mixing import TaskMixer, Tasks


class LabelStream:
    """Tasks of a mixer, in its order, queried by label; batch number `i` depends on the mixer and `i` alone.

    In the place of clips a task has `(batch, labels)`: 1 for the queried label, else 0. Two sources that share a label
    are one target. What has no label (an invented instrument) sounds but is never queried: another source of its
    mixture is, or, if none has a label, one that does not sound.
    """

    def __init__(self, mixer: TaskMixer, labels: Labels) -> None:
        self.mixer, self.labels = mixer, labels
        families = {row.instrument: row.family for row in mixer.pool.rows}
        self._label = {name: labels.number(name, family) for name, family in families.items()}

    def __iter__(self) -> Iterator[Tasks]:
        return map(self.draw, count(self.mixer.first))

    def draw(self, index: int) -> Tasks:
        """Batch number `index`."""
        batch = self.mixer.draw_with_sources(index)
        mixture = batch.tasks.mixture
        queries = torch.zeros(len(mixture), len(self.labels.names), device=mixture.device)
        target = torch.zeros_like(mixture)
        for task, (queried, names) in enumerate(zip(batch.queried, batch.instruments, strict=True)):
            sounding = [self._label[name] for name in names]
            known = [label for label in (self._label[queried], *sounding) if label is not None]
            chosen = known[0] if known else (index + task) % len(self.labels.names)
            queries[task, chosen] = 1
            for place, label in enumerate(sounding):
                if label == chosen:
                    target[task] += batch.sources[task, place]
        return Tasks(mixture, Evidence.of_alone(queries), target)
