"""A voice: an instrument that can play a score, whatever it is made of.

Every voice is a small frozen description that can be sent to another process; what it needs is loaded on first use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fewshot_sep.loops.library import SAMPLE_RATE
from fewshot_sep.loops.score import Note

Sound = NDArray[np.float32]
"""Mono, `(frames,)` at `SAMPLE_RATE`."""


class Playable(NamedTuple):
    """An instrument, its family, the parts that suit it (repeated ones are likelier) and its range of MIDI pitches.

    `keys` are the drum keys of what is struck; they are empty for whole drum kits and pitched instruments.
    """

    instrument: str
    family: str
    roles: tuple[str, ...]
    low: float = 0
    high: float = 127
    keys: tuple[int, ...] = ()


@dataclass(frozen=True)
class Voice:
    """Something that plays: the fields of a `Playable`, then where it is from and under which licence."""

    instrument: str
    family: str
    roles: tuple[str, ...]
    low: float
    high: float
    keys: tuple[int, ...]
    source: str
    licence: str

    @property
    def plain_name(self) -> str:
        """The instrument, less the soundfont that its name may give."""
        return self.instrument.split(" (")[0]

    @property
    def kind(self) -> str:
        """The share of a library that this voice counts towards (see `fewshot_sep.loops.composing.arrange.SHARES`)."""
        raise NotImplementedError

    def play(self, notes: Sequence[Note], frames: int, rng: Generator) -> Sound:
        """The notes, `frames` long, at any level; `rng` is the player, not the instrument."""
        raise NotImplementedError


def add(out: Sound, sound: Sound, seconds: float, gain: float = 1.0) -> None:
    """Add `sound` to `out` from `seconds` on; what lies beyond its end is left out."""
    start = round(seconds * SAMPLE_RATE)
    sound = sound[: max(0, len(out) - start)]
    out[start : start + len(sound)] += sound * np.float32(gain)


def rms(sound: Sound) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(sound**2)))


def fade_ends(sound: NDArray[np.float32], rise: int, fall: int) -> None:
    """Fade in over the first `rise` samples and out over the last `fall`, in place; any channels, samples last."""
    frames = sound.shape[-1]
    rise, fall = min(rise, frames), min(fall, frames)
    sound[..., :rise] *= np.linspace(0, 1, rise, dtype=np.float32)
    sound[..., frames - fall :] *= np.linspace(1, 0, fall, dtype=np.float32)
