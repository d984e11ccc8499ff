"""Whole songs of the same patterns, on voices kept for the test, with every stem known and an intro of 0 to 3 beats."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewshot_sep.experiments.bachata.clips import THESIS_NAMES
from fewshot_sep.experiments.bachata.examples import Array
from fewshot_sep.experiments.bachata.settings import INSTRUMENTS
from fewshot_sep.loops.composing import bachata, bachata_parts
from fewshot_sep.loops.composing.ensemble import Part, Song
from fewshot_sep.loops.instruments.loudness import level
from fewshot_sep.loops.instruments.material import Material
from fewshot_sep.loops.instruments.voice import Voice, fade_ends
from fewshot_sep.loops.library import SAMPLE_RATE
from fewshot_sep.loops.score import Note

INTROS = (0, 1, 2, 3)
PEAK = 0.5
TUNE_SEED = 8_000_000  # the training set is rendered with other seeds


class Tune(NamedTuple):
    """A song at 44.1 kHz.

    stems: `(1, samples)` by instrument. bpm: its tempo; the first beat is at 0. intro: beats before the first bar, in
    which a guitar plays alone.
    """

    name: str
    stems: dict[str, Array]
    bpm: float
    intro: int

    @property
    def mixture(self) -> Array:
        return np.sum([*self.stems.values()], axis=0)

    @property
    def beats(self) -> NDArray[np.float64]:
        """Times of all beats in seconds."""
        step = 60 / self.bpm
        return np.arange(0, self.mixture.shape[1] / SAMPLE_RATE - step / 2, step)

    @property
    def downbeats(self) -> NDArray[np.float64]:
        """Times of the first beats of the bars."""
        return self.beats[self.intro :: 4]


def render(material: Material, count: int, bars: int, seed: int) -> list[Tune]:
    """`count` songs of three sections, each with every intro of `INTROS`; otherwise the same to the sample."""
    return [
        _with_intro(song, stems, intro, bpm, number, lead)
        for number, song in enumerate(_songs(material.voices(), count, seed))
        for stems, lead, bpm in [_body(song, bars, seed)]
        for intro in INTROS
    ]


def _songs(voices: list[Voice], count: int, seed: int) -> list[Song]:
    """Songs on voices that only validation has; an instrument with a single voice is played by that one."""
    planned = bachata.plan(voices, round(count / bachata.VALID_SONGS) + 1, TUNE_SEED + seed, 0.0)
    cast = {part.role: part for song in planned for part in song.parts}
    held_back = [song for song in planned if song.split == "valid"][:count]
    return [replace(song, parts=tuple({**cast, **{p.role: p for p in song.parts}}.values())) for song in held_back]


def _body(song: Song, bars: int, seed: int) -> tuple[dict[str, Array], Array, float]:
    """The stems of the three sections, one bar of the lead guitar to begin with, and the tempo."""
    shared = song.generator(seed)
    tonic, mode = int(shared.integers(12)), str(shared.choice(("minor", "major", "harmonic minor")))
    bpm = round(float(shared.uniform(*bachata.BPM)), 1)
    sketches = [(style, bachata_parts.sketch(shared, tonic, mode, bpm, bars)) for style in bachata.STYLES.values()]
    seconds = sketches[0][1].seconds
    stems: dict[str, Array] = {}
    lead = np.zeros(0, np.float32)
    for part in song.parts:
        rng = song.generator(seed, len(stems))
        notes: list[Note] = []
        for number, (style, sketch) in enumerate(sketches):
            score = bachata_parts.score(part.role, style, part.voice, sketch, rng)
            notes += [note._replace(start=note.start + number * seconds) for note in score]
        sound = _play(song, part, notes, seconds * len(sketches), rng)
        name = THESIS_NAMES.get(part.role, part.role)
        stems[name] = stems[name] + sound if name in stems else sound
        if part.role == "requinto":
            alone = bachata_parts.sketch(shared, tonic, mode, bpm, 1)
            score = bachata_parts.score("requinto", "derecho", part.voice, alone, rng)
            lead = _play(song, part, score, alone.seconds, rng)
    return stems, lead, bpm


def _play(song: Song, part: Part, notes: list[Note], seconds: float, rng: np.random.Generator) -> Array:
    return level(song.play(part, notes, round(seconds * SAMPLE_RATE), rng))[None]


def _with_intro(song: Song, stems: dict[str, Array], intro: int, bpm: float, number: int, lead: Array) -> Tune:
    frames = round(intro * 60 / bpm * SAMPLE_RATE)
    before = {name: np.zeros((1, frames), np.float32) for name in INSTRUMENTS}
    if frames:
        guitar = lead[0, -frames:].copy()
        fade_ends(guitar, bachata.FADE, bachata.FADE)
        before["guitar"] = guitar[None]
    whole = {name: np.concatenate([before[name], stems[name]], axis=1) for name in INSTRUMENTS}
    scale = PEAK / np.abs(np.sum([*whole.values()], axis=0)).max()
    return Tune(f"song {number + 1}", {name: stem * scale for name, stem in whole.items()}, bpm, intro)
