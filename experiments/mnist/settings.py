"""What a run is made of: the networks to train and their size."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

OUTPUT = Path("out/mnist")
UNSEEN = (3, 8)

Model = Literal["concat", "film"]


class Variant(NamedTuple):
    """A model to train: its network, and the classes that training never sees."""

    model: Model
    unseen: tuple[int, ...] = ()


VARIANTS = {
    "concat": Variant("concat"),
    "film": Variant("film"),
    "concat-unseen": Variant("concat", UNSEEN),
    "film-unseen": Variant("film", UNSEEN),
}


class Settings(NamedTuple):
    """What all variants of a run share: channels of the first level, iterations, tasks per iteration, digits in a
    mixture."""

    width: int = 16
    steps: int = 800
    batch: int = 64
    digits: int = 4
    seed: int = 0
    device: str = "auto"


FULL = Settings(width=64, steps=10_000)
