"""What a run is made of: the instruments, the networks to train, the methods compared on songs, and its size."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

OUTPUT = Path("out/bachata")
INSTRUMENTS = ("bongo", "guira", "bass", "guitar")
SECTIONS = ("verse", "chorus", "mambo")

THESIS = "thesis"
THESIS_MASK = "thesis, mask carried back"
THESIS_DOWNBEATS = "thesis, downbeats known"
BARS_THESIS = "songs, thesis's network"
BARS_SHIPPED = "songs, shipped model"
NO_BARS_SHIPPED = "no bars, shipped model"
SONG_METHODS = (THESIS, THESIS_MASK, THESIS_DOWNBEATS, BARS_THESIS, BARS_SHIPPED, NO_BARS_SHIPPED)


class Variant(NamedTuple):
    """A network to train: the thesis's, or one that differs in something.

    Attributes:
        clip: clamp the output image to [0, 1].
        normalise: divide the images by the mixture's maximum.
        residual: blocks with shortcuts.
        only: the only instrument that is queried. without: an instrument that training leaves out. section: the only
            section that training uses. Empty: no such limit.
        short: half the epochs, of fewer iterations, as in the thesis's trainings for single instruments.
    """

    clip: bool = True
    normalise: bool = True
    residual: bool = False
    only: str = ""
    without: str = ""
    section: str = ""
    short: bool = False


VARIANTS = {
    "thesis": Variant(),
    "plain": Variant(clip=False, normalise=False),
    "clipped": Variant(normalise=False),
    "residual": Variant(residual=True),
    "without-guira": Variant(without="guira"),
    "any-instrument": Variant(short=True),
    **{f"only-{name}": Variant(only=name, short=True) for name in INSTRUMENTS},
    **{f"only-{name}": Variant(section=name, short=True) for name in SECTIONS},
}


class Settings(NamedTuple):
    """All that decides what a run finds.

    Attributes:
        width: channels of the first level. batch: tasks per iteration.
        epochs, iterations: of every variant, iterations per epoch. short_iterations: of the short ones, per epoch.
        songs: of the training set. mixtures: test mixtures, each with every instrument queried once.
        queries: clips tried for each instrument of the first mixtures, to see what the choice of the query matters.
        tunes: whole songs, each with an intro of 0, 1, 2 and 3 beats. bars: of each of a tune's sections.
    """

    width: int = 8
    batch: int = 4
    epochs: int = 100
    iterations: int = 6
    short_iterations: int = 3
    songs: int = 40
    mixtures: int = 32
    queries: int = 12
    tunes: int = 2
    bars: int = 4
    seed: int = 0

    def length(self, variant: Variant) -> tuple[int, int]:
        """Epochs and iterations per epoch of a variant."""
        return (self.epochs // 2, self.short_iterations) if variant.short else (self.epochs, self.iterations)


FULL = Settings(
    width=64, batch=32, iterations=100, short_iterations=20, songs=150, mixtures=100, queries=30, tunes=6, bars=8
)
