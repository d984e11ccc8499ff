"""General MIDI: which instrument a program number is, what it can play, and which keys are which drum."""

from __future__ import annotations

from collections.abc import Collection

from fewshot_sep.loops import tables
from fewshot_sep.loops.instruments.voice import Playable

_ROWS = {(int(row["bank"]), int(row["program"])): row for row in tables.beside(__file__, "programs.csv")}

PROGRAMS = {
    key: Playable(row["instrument"], row["family"], tuple(row["roles"].split()), int(row["low"]), int(row["high"]))
    for key, row in _ROWS.items()
}
"""(bank, program) to what it plays. Banks 8 and 16 are the variations common to most General MIDI soundfonts."""

OPEN_NAMES = frozenset(key for key, row in _ROWS.items() if row["named"] == "no")
"""Programs whose name leaves the sound open (`synth lead 2`): two soundfonts' versions are two instruments."""

COMMON = frozenset(row["instrument"] for row in _ROWS.values() if row["common"] == "yes")
"""Instruments that real songs have most often; a library holds more of them."""


def _keys(family: str) -> dict[str, tuple[int, ...]]:
    rows = tables.beside(__file__, "drums.csv")
    return {row["instrument"]: tuple(map(int, row["keys"].split())) for row in rows if row["family"] == family}


DRUM_PARTS = _keys("drums")
"""The parts of a drum kit that are learnt on their own too, and their keys."""

PERCUSSION = _keys("percussion")
"""Hand percussion and its keys; those above 87 are this project's own, for drum kits that have such sounds."""


def percussion_family(instrument: str) -> str:
    """`drums` for a kit and its parts, `percussion` for all else that is struck."""
    return "drums" if instrument == "drums" or instrument in DRUM_PARTS else "percussion"


def drums_among(keys: Collection[int]) -> list[Playable]:
    """What these keys allow: the whole kit, its parts, hand percussion, each with those of its keys that are there.

    >>> [(drum.instrument, drum.keys) for drum in drums_among({36, 60})]
    [('drums', ()), ('kick', (36,)), ('bongo', (60,))]
    """
    found = [Playable("drums", "drums", ("groove",))] if keys else []
    for instrument, wanted in {**DRUM_PARTS, **PERCUSSION}.items():
        family = percussion_family(instrument)
        if present := tuple(key for key in wanted if key in keys):
            found.append(Playable(instrument, family, ("part" if family == "drums" else "beat",), keys=present))
    return found
