"""Chamber music: two to five winds and strings that play lines, at times with an accompaniment, and no beat.

The songs of `arrange` all have a beat or a bass. In an ensemble without, tones last, the voices cross, and the
players shape every tone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter

import numpy as np
from numpy.random import Generator

from fewshot_sep.loops.composing import patterns
from fewshot_sep.loops.composing.arrange import by_split
from fewshot_sep.loops.composing.ensemble import Part, Song, draw, grouped, room_of
from fewshot_sep.loops.instruments.expression import express
from fewshot_sep.loops.instruments.loudness import is_played, level
from fewshot_sep.loops.instruments.voice import Sound, Voice
from fewshot_sep.loops.library import SAMPLE_RATE, Row
from fewshot_sep.loops.score import Note

SHARE, VALID, ROOMS = 0.6, 0.05, 1.75
"""Chamber songs for each other song; the share of the valid split; how much more often than others in a room."""
SAMPLED, ACCOMPANIED = 0.5, 0.3
"""Chance that recorded notes play where there are some, and that one part is an accompaniment."""
BPM, MIN_ACTIVE, LINE = (50.0, 120.0), 0.3, "line"

LINES = frozenset({"strings", "brass", "reed", "pipe"})
"""Families that play lines."""
LINE_ROLES = frozenset({"melody", "counter", "bass"})
COMPANY = frozenset({"piano", "organ", "nylon guitar", "harp"})
"""Families and instruments that accompany."""


class Chamber(Song):
    """Four bars to a sketch of its own."""

    def render(self, seed: int) -> Iterator[tuple[Row, Sound]]:
        """The parts; one that comes out too empty is left out."""
        sketch = patterns.sketch(self.generator(seed), bpm=BPM)
        frames = round(sketch.seconds * SAMPLE_RATE)
        for number, part in enumerate(self.parts):
            rng = self.generator(seed, number)
            notes = patterns.pitched(part.role, sketch, rng, part.voice.low, part.voice.high)
            sound = self.play(part, notes, frames, rng)
            if is_played(sound, MIN_ACTIVE):
                yield self.row(part, f"{self.name}-{number}", sketch.bpm, sketch.beats, self.name), level(sound)

    def dry(self, part: Part, notes: Sequence[Note], frames: int, rng: Generator) -> Sound:
        """A line is shaped by its player, an accompaniment is not."""
        sound = super().dry(part, notes, frames, rng)
        return express(sound, notes, rng) if part.role == LINE else sound


def plan(voices: Sequence[Voice], songs: int, seed: int, room: float = 0.0) -> list[Song]:
    """`songs` songs; those of the valid split are played by voices that training leaves to it. `room` as in `arrange`.

    Held-out instruments and sources play in none. Without two instruments that can play a line there are no songs.
    """
    planned: list[Song] = []
    by_name = attrgetter("plain_name")
    for split, mine in by_split([v for v in voices if v.kind in ("soundfont", "sampled")]).items():
        able = [voice for voice in mine if set(voice.roles) & LINE_ROLES and not voice.instrument.startswith("synth")]
        lines = grouped((voice for voice in able if voice.family in LINES), by_name)
        company = grouped((voice for voice in mine if {voice.family, voice.instrument} & COMPANY), by_name)
        if len(lines) < 2:
            continue
        rng = np.random.default_rng((seed, 5, len(planned)))
        for number in range(round(songs * (VALID if split == "valid" else 1 - VALID))):
            name = f"chamber-{split}-{number:04d}"
            count = int(rng.choice((2, 3, 4, 5), p=(0.2, 0.3, 0.35, 0.15)))
            chosen = rng.choice(sorted(lines), min(count, len(lines)), replace=False)
            parts = [Part(_draw(lines[instrument], rng), LINE) for instrument in chosen]
            others = sorted(set(company) - set(chosen))
            if others and rng.random() < ACCOMPANIED:
                voice = _draw(company[str(rng.choice(others))], rng)
                parts[-1] = Part(voice, str(rng.choice([role for role in voice.roles if role != "melody"])))
            planned.append(Chamber(name, split, tuple(parts), room_of(name, seed, ROOMS * room)))
    return planned


def _draw(voices: Sequence[Voice], rng: Generator) -> Voice:
    """One of these, recorded notes as likely as all soundfonts together."""
    sampled = [voice for voice in voices if voice.kind == "sampled"]
    return draw(sampled if sampled and rng.random() < SAMPLED else voices, rng)
