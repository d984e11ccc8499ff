"""General MIDI: which instrument a program number is, what it can play, and which keys are which drum."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from fewshot_sep.loops import tables


class Program(NamedTuple):
    """A General MIDI melody program: instrument and family names, MIDI range, and the parts that suit it.

    `defines_timbre` is false where the name leaves the sound open (`synth lead 2`), so that two soundfonts' versions
    are two instruments.
    """

    instrument: str
    family: str
    low: int
    high: int
    roles: tuple[str, ...]
    defines_timbre: bool


_PROGRAMS = tables.beside(__file__, "programs.csv")

PROGRAMS = {
    (int(row["bank"]), int(row["program"])): Program(
        row["instrument"],
        row["family"],
        int(row["low"]),
        int(row["high"]),
        tuple(row["roles"].split()),
        row["named"] == "yes",
    )
    for row in _PROGRAMS
}
"""(bank, program) to what it plays. Banks 8 and 16 are the variations common to most General MIDI soundfonts."""

COMMON = frozenset(row["instrument"] for row in _PROGRAMS if row["common"] == "yes")
"""Instruments that real songs have most often; a library holds more of them."""

_DRUMS = tables.beside(__file__, "drums.csv")


def _keys(family: str) -> dict[str, tuple[int, ...]]:
    return {row["instrument"]: tuple(map(int, row["keys"].split())) for row in _DRUMS if row["family"] == family}


DRUM_PARTS = _keys("drums")
"""The parts of a drum kit that are learnt on their own too, and their keys."""

PERCUSSION = _keys("percussion")
"""Hand percussion and its keys; those above 87 are this project's own, for drum kits that have such sounds."""


class Drum(NamedTuple):
    """A drum kit ("drums"), a part of one, or a percussion instrument; `keys` is empty for the whole kit."""

    instrument: str
    family: str
    roles: tuple[str, ...]
    keys: tuple[int, ...]


def percussion_family(instrument: str) -> str:
    """`drums` for a kit and its parts, `percussion` for all else that is struck."""
    return "drums" if instrument == "drums" or instrument in DRUM_PARTS else "percussion"


def drums_among(keys: Collection[int]) -> list[Drum]:
    """What these keys allow: the whole kit, its parts, hand percussion, each with those of its keys that are there.

    >>> [(drum.instrument, drum.keys) for drum in drums_among({36, 60})]
    [('drums', ()), ('kick', (36,)), ('bongo', (60,))]
    """
    found = [Drum("drums", "drums", ("groove",), ())] if keys else []
    for instrument, wanted in {**DRUM_PARTS, **PERCUSSION}.items():
        family = percussion_family(instrument)
        if present := tuple(key for key in wanted if key in keys):
            found.append(Drum(instrument, family, ("part",) if family == "drums" else ("beat",), present))
    return found
