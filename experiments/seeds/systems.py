"""The seed systems by name: how each is built, how it is trained, and how it lies on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast

from fewshot_sep import weights
from fewshot_sep.errors import WeightsError
from fewshot_sep.experiments.seeds.about import about
from fewshot_sep.experiments.seeds.demucs import Demucs
from fewshot_sep.experiments.seeds.exp_wave_u_net import WaveUNet
from fewshot_sep.experiments.seeds.label_twin import LabelTwin
from fewshot_sep.experiments.seeds.labels import Labels
from fewshot_sep.experiments.seeds.mrcae import MultiResolutionAutoencoder
from fewshot_sep.experiments.seeds.waveform import WaveformSystem
from fewshot_sep.experiments.seeds.wavenet import WaveNet
from fewshot_sep.systems import System

LabelSystem = WaveformSystem | LabelTwin
FILE = "weights.safetensors"


class Recipe(NamedTuple):
    """How to build a system for so many labels, and what a training step eats: tasks, and samples wanted of each."""

    build: Callable[[int], LabelSystem]
    batch: int
    samples: int


RECIPES = {
    "exp-wave-u-net": Recipe(lambda n: WaveformSystem("exp-wave-u-net", WaveUNet(n, False), "all", True), 16, 2**14),
    "cexp-wave-u-net": Recipe(
        lambda n: WaveformSystem("cexp-wave-u-net", WaveUNet(n, True), "either", True), 16, 2**14
    ),
    "wavenet": Recipe(lambda n: WaveformSystem("wavenet", WaveNet(n), "one", False), 4, 2**13),
    "demucs": Recipe(lambda n: WaveformSystem("demucs", Demucs(n), "one", False), 16, 2**15),
    "mrcae": Recipe(lambda n: WaveformSystem("mrcae", MultiResolutionAutoencoder(n), "one", True), 16, 2**14),
    "label-twin": Recipe(LabelTwin, 8, 127 * 1024),
}


def build(name: str, labels: Labels) -> LabelSystem:
    """An untrained system.

    Raises:
        FewshotSepError: there is none of that name.
    """
    about(name)
    return RECIPES[name].build(len(labels.names))


def example_samples(name: str, system: LabelSystem) -> int:
    """Length of a training example, with the context that the network eats."""
    wanted = RECIPES[name].samples
    return system.network.lengths(wanted).input if isinstance(system, WaveformSystem) else wanted


def load(name: str, folder: Path) -> tuple[LabelSystem, Labels]:
    """The trained system whose weights lie in `folder / name`, and its labels.

    Raises:
        FewshotSepError: there is none of that name.
        WeightsError: missing, damaged, or of another system.
    """
    about(name)
    path = folder / name / FILE
    weights.verify(path)
    card = weights.card(path)
    labels = Labels(tuple(card.get("labels", ())))
    if card.get("system") != name or not labels.names:
        raise WeightsError(f"{path}: its card says '{card.get('system')}', not '{name}'; train it again")
    system = build(name, labels)
    weights.restore(cast(System, system), path)
    return system.eval(), labels
