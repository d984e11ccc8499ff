"""What a run is made of: the instruments, the networks to train, and its size."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from fewshot_sep import presets

OUTPUT = Path("out/bachata")
PRESET = presets.get("illes2020")
INSTRUMENTS = ("bongo", "guira", "bass", "guitar")


class Variant(NamedTuple):
    """A network to train: the thesis's, or one that differs in something.

    Attributes:
        clip: clamp the output image to [0, 1].
        normalise: divide the images by the mixture's maximum.
        only: the only instrument that is queried, if any. without: one that training leaves out, if any.
        short: half the epochs, of fewer iterations, as in the thesis's trainings for single instruments.
    """

    clip: bool = True
    normalise: bool = True
    only: str = ""
    without: str = ""
    short: bool = False


VARIANTS = {
    "thesis": Variant(),
    "plain": Variant(clip=False, normalise=False),
    "clipped": Variant(normalise=False),
    "without-guira": Variant(without="guira"),
    "any-instrument": Variant(short=True),
    **{f"only-{name}": Variant(only=name, short=True) for name in INSTRUMENTS},
}


class Settings(NamedTuple):
    """All that decides what a run finds.

    Attributes:
        width: channels of the first level. batch: tasks per iteration.
        epochs, iterations: of every variant, iterations per epoch. short_iterations: of the short ones, per epoch.
        songs: of the training set. mixtures: test mixtures, each with every instrument queried once.
    """

    width: int = 8
    batch: int = 4
    epochs: int = 100
    iterations: int = 6
    short_iterations: int = 3
    songs: int = 40
    mixtures: int = 32
    seed: int = 0

    def length(self, variant: Variant) -> tuple[int, int]:
        """Epochs and iterations per epoch of a variant."""
        return (self.epochs // 2, self.short_iterations) if variant.short else (self.epochs, self.iterations)


FULL = Settings(width=64, batch=32, iterations=100, short_iterations=20, songs=150, mixtures=100)
