"""The seed systems by name: how each is built and trained, and each as a method of the evaluation.

They are conditioned on the case's instrument, not on its queries.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch

from fewshot_sep import weights
from fewshot_sep.errors import FewshotSepError, WeightsError
from fewshot_sep.experiments.evaluation.case import Array, Case
from fewshot_sep.experiments.kit import variants
from fewshot_sep.experiments.seeds.label_twin import LabelTwin
from fewshot_sep.experiments.seeds.labels import Labels
from fewshot_sep.experiments.seeds.wavenet import WaveNet, WaveNetObjective, WaveNetSystem
from fewshot_sep.loops.tasks.train import computing_device
from fewshot_sep.objectives import MaskObjective, Objective

LabelSystem: TypeAlias = WaveNetSystem | LabelTwin


class Recipe(NamedTuple):
    """How a system is built for so many labels, and trained: what it minimises, tasks in a step, samples of each."""

    build: Callable[[int], LabelSystem]
    objective: Objective[Any]
    batch: int
    samples: int


RECIPES = {
    "wavenet": Recipe(lambda n: WaveNetSystem(WaveNet(n)), WaveNetObjective(), 4, 2**13),
    "label-twin": Recipe(LabelTwin, MaskObjective(contrastive_weight=0, multi_source_weight=0), 8, 127 * 1024),
}


def build(name: str, labels: Labels) -> LabelSystem:
    """An untrained system.

    Raises:
        FewshotSepError: there is none of that name.
    """
    if name not in RECIPES:
        raise FewshotSepError(f"no seed system '{name}'; there are: {', '.join(RECIPES)}")
    return RECIPES[name].build(len(labels.names))


class LabelSeparator:
    """Finds what bears the label of the case's instrument; silence for an instrument without label."""

    def __init__(self, system: LabelSystem, labels: Labels, device: str = "auto") -> None:
        self.labels = labels
        self.system = system.to(computing_device(device)).eval()

    def __call__(self, case: Case) -> Array:
        number = self.labels.number(case.instrument)
        if number is None:
            return np.zeros_like(case.mixture)
        labels = torch.zeros(1, len(self.labels.names), device=self.system.device)
        labels[0, number] = 1
        return self.system.estimate(case.mixture, labels, case.sample_rate)


def load(name: str, path: Path, device: str = "auto") -> LabelSeparator:
    """The system `name`, whose weights `fewshot_sep.experiments.seeds.train` left in `RUNS/name/weights.safetensors`.

    Raises:
        FewshotSepError: there is none of that name.
        WeightsError: missing, damaged, or of another system.
    """
    card = weights.card(path)
    labels = Labels(tuple(card.get("labels", ())))
    if card.get("system") != name or not labels.names:
        raise WeightsError(f"{path}: its card says '{card.get('system')}', not '{name}'; train it again")
    return LabelSeparator(variants.load(path.parent, build(name, labels)), labels, device)
