"""What a run is made of: the networks to train and their size."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

OUTPUT = Path("out/mnist")
HELD_OUT = (3, 8)
"""Classes that no training sees, in no rotation."""

Model = Literal["concat", "film", "attention"]


class Variant(NamedTuple):
    """A model to train: its network, and whether it sees invented classes beside the digits."""

    model: Model
    invented: bool = True


MODELS: tuple[Model, ...] = ("concat", "attention", "film")
VARIANTS = {model: Variant(model) for model in MODELS} | {f"{model}-digits": Variant(model, False) for model in MODELS}

DEFAULT = "concat"


class Settings(NamedTuple):
    """What all variants of a run share: channels of the first level, iterations, tasks per iteration, glyphs in a
    mixture, invented classes."""

    width: int = 12
    steps: int = 1000
    batch: int = 48
    digits: int = 4
    classes: int = 1000
    seed: int = 0
    device: str = "auto"


FULL = Settings(width=64, steps=10_000)
