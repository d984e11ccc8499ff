"""The seed systems by name: how each is built, what it minimises, how it is trained, and how it lies on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import torch.nn.functional as F

from fewshot_sep import weights
from fewshot_sep.errors import FewshotSepError, WeightsError
from fewshot_sep.experiments.kit import variants
from fewshot_sep.experiments.seeds.exp_wave_u_net import WaveUNet
from fewshot_sep.experiments.seeds.label_twin import LabelTwin
from fewshot_sep.experiments.seeds.labels import Labels
from fewshot_sep.experiments.seeds.waveform import WaveformObjective, WaveformSystem
from fewshot_sep.experiments.seeds.wavenet import WaveNet
from fewshot_sep.objectives import MaskObjective, Objective

LabelSystem: TypeAlias = WaveformSystem | LabelTwin


class Recipe(NamedTuple):
    """How a system is built for so many labels, and trained: what it minimises, tasks in a step, samples of each."""

    build: Callable[[int], LabelSystem]
    objective: Objective[Any]
    batch: int
    samples: int


SQUARED = WaveformObjective(F.mse_loss)
RECIPES = {
    "exp-wave-u-net": Recipe(lambda n: WaveformSystem(WaveUNet(n, False), "all"), SQUARED, 16, 2**14),
    "cexp-wave-u-net": Recipe(lambda n: WaveformSystem(WaveUNet(n, True), "alternating"), SQUARED, 16, 2**14),
    "wavenet": Recipe(lambda n: WaveformSystem(WaveNet(n), "one"), WaveformObjective(F.l1_loss), 4, 2**13),
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


def load(name: str, path: Path) -> tuple[LabelSystem, Labels]:
    """The trained system whose weights lie at `path`, and its labels.

    Raises:
        FewshotSepError: there is none of that name.
        WeightsError: missing, damaged, or of another system.
    """
    card = weights.card(path)
    labels = Labels(tuple(card.get("labels", ())))
    if card.get("system") != name or not labels.names:
        raise WeightsError(f"{path}: its card says '{card.get('system')}', not '{name}'; train it again")
    return variants.load(path.parent, build(name, labels)), labels
