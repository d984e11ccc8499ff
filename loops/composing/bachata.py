"""A bachata set: requinto, segunda, bajo, bongo and guira in verse, chorus and mambo, cut into bars and half bars.

Verses are played derecho (bongo martillo), choruses majao, mambos with syncopated riffs and the bongo's mambo. No free
recording of a guira was found: the scraper is made from guiro, cabasa, maracas and shaker samples.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fewshot_sep.loops.composing.bachata_parts import MODES, score, sketch
from fewshot_sep.loops.composing.ensemble import Part, Song, is_faint, room_of, store
from fewshot_sep.loops.instruments.guira import LONG, SHORT, GuiraVoice
from fewshot_sep.loops.instruments.loudness import level
from fewshot_sep.loops.instruments.sound_files import slug
from fewshot_sep.loops.instruments.voice import Sound, Voice
from fewshot_sep.loops.library import SAMPLE_RATE, Row, is_held_out

INSTRUMENTS = ("requinto", "segunda", "bajo", "bongo", "guira")
STYLES = {"verse": "derecho", "chorus": "majao", "mambo": "mambo"}
"""Section to the way it is played."""

BPM = (110.0, 150.0)
HALF_BARS = 0.3
"""Share of the sections that are cut into half bars."""
MIN_RANGE = 19
"""Semitones that a voice must have of an instrument's range."""
VALID, VALID_SONGS = 0.15, 0.12
"""Share of each instrument's voices that only songs of the valid split use, and share of such songs."""


class _Kind(NamedTuple):
    """Which voices can be an instrument, its family, and the range that it plays in."""

    names: frozenset[str]
    family: str
    low: int
    high: int


_GUITARS = frozenset({"nylon guitar", "steel guitar", "twelve-string guitar", "clean guitar", "jazz guitar"})
_BASSES = frozenset({"acoustic bass", "fingered bass", "picked bass", "fretless bass", "double bass pizzicato"})
_KINDS = {
    "requinto": _Kind(_GUITARS, "guitar", 57, 86),
    "segunda": _Kind(_GUITARS, "guitar", 43, 69),
    "bajo": _Kind(_BASSES, "bass", 28, 52),
    "bongo": _Kind(frozenset({"bongo"}), "percussion", 0, 127),
    "guira": _Kind(frozenset({"guiro", "cabasa", "maracas", "shaker"}), "percussion", 0, 127),
}


@dataclass(frozen=True)
class Bachata(Song):
    """A song of the set; `half` names the sections that are cut into half bars.

    All rows of one bar have the same `song`, `NAME-SECTION-BAR`; bars count from 0, `-2.5` is the second half of 2.
    """

    half: frozenset[str] = frozenset()
    bars: int = 4

    def plan(self) -> tuple[object, ...]:
        return *super().plan(), sorted(self.half), self.bars

    def render(self, folder: Path, seed: int) -> list[Row]:
        shared = self.generator(seed)
        tonic, mode = int(shared.integers(12)), str(shared.choice(MODES))
        bpm = round(float(shared.uniform(*BPM)), 1)
        rows = []
        for section, style in STYLES.items():
            song = sketch(shared, tonic, mode, bpm, self.bars)
            frames = round(song.seconds * SAMPLE_RATE)
            for number, part in enumerate(self.parts):
                rng = self.generator(seed, number, zlib.crc32(section.encode()))
                notes = score(part.role, style, part.voice, song, rng)
                sound = level(self.play(part, notes, frames, rng))
                rows += self._cut(folder, section, part, sound, bpm)
        return rows

    def _cut(self, folder: Path, section: str, part: Part, sound: Sound, bpm: float) -> list[Row]:
        """A section into bars or half bars, all as long, without the silent ones."""
        step = 0.5 if section in self.half else 1.0
        size = round(step * 4 * 60 / bpm * SAMPLE_RATE)
        rows = []
        for index in range(round(self.bars / step)):
            start = round(index * step * 4 * 60 / bpm * SAMPLE_RATE)
            piece = faded(np.pad(sound[start : start + size], (0, max(0, start + size - len(sound)))))
            if is_faint(piece):
                continue
            song = f"{self.name}-{section}-{index * step:g}"
            row = self.row(part, f"{part.role}/{song}.flac", bpm, step * 4, song, section)
            rows.append(store(folder, row, piece))
        return rows


def faded(piece: Sound, seconds: float = 0.002) -> Sound:
    """A copy whose first and last moments rise from and fall to silence, so that a cut does not click."""
    piece, count = piece.copy(), round(seconds * SAMPLE_RATE)
    ramp = np.linspace(0, 1, count, dtype=np.float32)
    piece[:count] *= ramp
    piece[len(piece) - count :] *= ramp[::-1]
    return piece


def cast(voices: Sequence[Voice]) -> dict[str, list[Voice]]:
    """The voices that can be each instrument of the set, under that instrument's name; none of held-out sources."""
    found: dict[str, list[Voice]] = {instrument: [] for instrument in _KINDS}
    for instrument, (names, family, lowest, highest) in _KINDS.items():
        for voice in voices:
            chords_only = voice.roles == ("strum",)
            if voice.instrument not in names or chords_only or is_held_out("", voice.source):
                continue
            source = f"{voice.source}/{slug(voice.instrument)}"
            low, high = max(voice.low, lowest), min(voice.high, highest)
            if instrument == "guira":
                edge = 700 + zlib.crc32(source.encode()) % 900
                about = (instrument, source, family, voice.licence, (instrument,), 0.0, 127.0, (LONG, SHORT))
                found[instrument].append(GuiraVoice(*about, voice, float(edge)))
            elif high - low >= MIN_RANGE:
                own = replace(voice, instrument=instrument, source=source, family=family, low=low, high=high)
                found[instrument].append(own)
    return found


def plan(voices: Sequence[Voice], songs: int, seed: int, room: float) -> list[Song]:
    """`songs` songs with all instruments of the set that these voices allow, `room` of them in a room.

    Songs of the valid split have voices that no other song has; an instrument with a single voice is missing in them.
    """
    rng = np.random.default_rng((seed, 2))
    pools = {
        split: {name: _share(found, split) for name, found in cast(voices).items()} for split in ("train", "valid")
    }
    few = round(songs * VALID_SONGS)
    planned: list[Song] = []
    for number in range(songs):
        split = "valid" if number >= songs - few else "train"
        parts: list[Part] = []
        for instrument, pool in pools[split].items():
            taken = {part.voice.source for part in parts}
            free = [voice for voice in pool if voice.source not in taken]
            if free:
                parts.append(Part(free[int(rng.integers(len(free)))], instrument))
        half = frozenset(section for section in STYLES if rng.random() < HALF_BARS)
        name = f"bachata-{number:05d}"
        planned.append(Bachata(name, split, tuple(parts), room_of(name, seed, room), half))
    return planned


def _share(voices: Sequence[Voice], split: str) -> list[Voice]:
    """The voices of a split, told apart by source; of two or more, one is kept for validation, of four or more, two."""
    sources = sorted({voice.source for voice in voices}, key=lambda source: zlib.crc32(source.encode()))
    count = max(min(2, len(sources) // 2), round(VALID * len(sources)))
    kept = set(sources[:count])
    return [voice for voice in voices if (voice.source in kept) == (split == "valid")]
