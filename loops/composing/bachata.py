"""A bachata set: requinto, segunda, bajo, bongo and guira in verse, chorus and mambo, cut into bars and half bars.

Verses are played derecho (bongo martillo), choruses majao, mambos with syncopated riffs and the bongo's mambo. No free
recording of a guira was found: the scraper is made from guiro, cabasa, maracas and shaker samples.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fewshot_sep.loops import tables
from fewshot_sep.loops.composing.bachata_parts import MODES, score, sketch
from fewshot_sep.loops.composing.ensemble import Part, Song, draw, room_of
from fewshot_sep.loops.instruments.loudness import is_faint, level
from fewshot_sep.loops.instruments.sampler import LONG, SHORT, GuiraVoice
from fewshot_sep.loops.instruments.sound_files import slug
from fewshot_sep.loops.instruments.voice import Playable, Sound, Voice, fade_ends
from fewshot_sep.loops.library import SAMPLE_RATE, Row, is_held_out

STYLES = {"verse": "derecho", "chorus": "majao", "mambo": "mambo"}
"""Section to the way it is played."""

BPM = (110.0, 150.0)
HALF_BARS = 0.3
"""Share of the sections that are cut into half bars."""
FADE = round(0.002 * SAMPLE_RATE)
"""Samples at both ends of a piece, so that a cut does not click."""
MIN_RANGE = 19
"""Semitones that a voice must have of an instrument's range."""
VALID, VALID_SONGS = 0.15, 0.12
"""Share of each instrument's voices that only songs of the valid split use, and share of such songs."""

_TABLE = tables.beside(__file__, "bachata_voices.csv")
INSTRUMENTS = tuple(row["instrument"] for row in _TABLE)


@dataclass(frozen=True)
class Bachata(Song):
    """A song of the set; `half` names the sections that are cut into half bars.

    All rows of one bar have the same `song`, `NAME-SECTION-BAR`; bars count from 0, `-2.5` is the second half of 2.
    """

    half: frozenset[str] = frozenset()
    bars: int = 4

    def plan(self) -> tuple[object, ...]:
        return *super().plan(), sorted(self.half), self.bars

    def render(self, seed: int) -> Iterator[tuple[Row, Sound]]:
        shared = self.generator(seed)
        tonic, mode = int(shared.integers(12)), str(shared.choice(MODES))
        bpm = round(float(shared.uniform(*BPM)), 1)
        for section, style in STYLES.items():
            song = sketch(shared, tonic, mode, bpm, self.bars)
            frames = round(song.seconds * SAMPLE_RATE)
            for number, part in enumerate(self.parts):
                rng = self.generator(seed, number, zlib.crc32(section.encode()))
                notes = score(part.role, style, part.voice, song, rng)
                yield from self.cut(section, part, level(self.play(part, notes, frames, rng)), bpm)

    def cut(self, section: str, part: Part, sound: Sound, bpm: float) -> Iterator[tuple[Row, Sound]]:
        """A section into bars or half bars, all as long, without the silent ones."""
        step = 0.5 if section in self.half else 1.0
        size = round(step * 4 * 60 / bpm * SAMPLE_RATE)
        for index in range(round(self.bars / step)):
            start = round(index * step * 4 * 60 / bpm * SAMPLE_RATE)
            piece = np.pad(sound[start : start + size], (0, max(0, start + size - len(sound))))
            fade_ends(piece, FADE, FADE)
            if not is_faint(piece):
                song = f"{self.name}-{section}-{index * step:g}"
                yield self.row(part, song, bpm, step * 4, song, section), piece


def cast(voices: Sequence[Voice]) -> dict[str, list[Voice]]:
    """The voices that can be each instrument of the set, under that instrument's name; none of held-out sources."""
    found: dict[str, list[Voice]] = {instrument: [] for instrument in INSTRUMENTS}
    usable = [v for v in voices if v.roles != ("strum",) and not is_held_out("", v.source)]
    for row in _TABLE:
        instrument, names = row["instrument"], row["voices"].split(", ")
        for voice in (voice for voice in usable if voice.instrument in names):
            source = f"{voice.source}/{slug(voice.instrument)}"
            low, high = max(voice.low, int(row["low"])), min(voice.high, int(row["high"]))
            if instrument == "guira":
                played = Playable(instrument, row["family"], (instrument,), keys=(LONG, SHORT))
                edge = 700.0 + zlib.crc32(source.encode()) % 900
                found[instrument].append(GuiraVoice(*played, source, voice.licence, voice, edge))
            elif high - low >= MIN_RANGE:
                own = replace(voice, instrument=instrument, source=source, family=row["family"], low=low, high=high)
                found[instrument].append(own)
    return found


def plan(voices: Sequence[Voice], songs: int, seed: int, room: float) -> list[Song]:
    """`songs` songs with all instruments of the set that these voices allow, `room` of them in a room.

    Songs of the valid split have voices that no other song has; an instrument with a single voice is missing in them.
    """
    rng = np.random.default_rng((seed, 2))
    found = cast(voices)
    planned: list[Song] = []
    for number in range(songs):
        split = "valid" if number >= songs - round(songs * VALID_SONGS) else "train"
        parts: list[Part] = []
        for instrument in INSTRUMENTS:
            taken = {part.voice.source for part in parts}
            if free := [voice for voice in _share(found[instrument], split) if voice.source not in taken]:
                parts.append(Part(draw(free, rng), instrument))
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
