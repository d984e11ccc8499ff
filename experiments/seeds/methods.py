"""The seed systems as methods of the evaluation: conditioned on the case's instrument, not on its queries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from fewshot_sep.experiments.evaluation.case import Array, Case
from fewshot_sep.experiments.seeds import systems
from fewshot_sep.experiments.seeds.labels import Labels
from fewshot_sep.loops.tasks.train import computing_device


class LabelSeparator:
    """Finds what bears the label of the case's instrument; silence for an instrument without label."""

    def __init__(self, system: systems.LabelSystem, labels: Labels, device: str = "auto") -> None:
        self.labels = labels
        self._system = system.to(computing_device(device)).eval()

    def __call__(self, case: Case) -> Array:
        number = self.labels.number(case.instrument)
        if number is None:
            return np.zeros_like(case.mixture)
        labels = torch.zeros(1, len(self.labels.names), device=self._system.device)
        labels[0, number] = 1
        return self._system.estimate(case.mixture, labels, case.sample_rate)


def load(name: str, weights: Path, device: str = "auto") -> LabelSeparator:
    """The system `name`, whose weights `fewshot_sep.experiments.seeds.train` left in `RUNS/name/weights.safetensors`.

    Raises:
        FewshotSepError: no such system, or no sound weights of it there.
    """
    return LabelSeparator(*systems.load(name, weights), device)
