"""Samplers: voices made of recorded notes, of one-shots on drum keys, of recorded strums, and of other scrapers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import soxr
from numpy.random import Generator
from scipy.signal import butter, sosfilt

from fewshot_sep import audio
from fewshot_sep.loops.instruments.sound_files import read_mono
from fewshot_sep.loops.instruments.voice import Sound, Voice, add, fade_ends
from fewshot_sep.loops.library import SAMPLE_RATE
from fewshot_sep.loops.score import Note

_STRUM_S = 0.1
LONG, SHORT = 0, 1
"""Keys of the guira."""


class RecordedNote(NamedTuple):
    """A file with one note: MIDI pitch, loudness in [0, 1]."""

    pitch: int
    loudness: float
    path: str


@dataclass(frozen=True)
class SampledVoice(Voice):
    """An instrument of recorded single notes."""

    files: tuple[RecordedNote, ...]

    kind = "sampled"

    def play(self, notes: Sequence[Note], frames: int, rng: Generator) -> Sound:
        out = np.zeros(frames, np.float32)
        loudness = rng.uniform(0.2, 1.0)
        for note in notes:
            if chosen := self._choose(note, loudness, rng):
                sound = slide(transpose(load_hit(chosen.path), note.pitch - chosen.pitch), note.bend)
                _add_faded(out, sound, note.start, note.velocity, note.duration + 0.08, 0.07)
        return out

    def _choose(self, note: Note, loudness: float, rng: Generator) -> RecordedNote | None:
        """One of the files nearest in pitch (at most four semitones away), near in loudness, long enough if any is."""
        nearest = min(abs(file.pitch - note.pitch) for file in self.files)
        if nearest > 4:
            return None
        near = [file for file in self.files if abs(file.pitch - note.pitch) <= max(nearest, 1.0)]
        cost = [
            abs(file.pitch - note.pitch)
            + 1.5 * abs(file.loudness - loudness)
            + 1.5 * (hit_seconds(file.path) < note.duration)
            + 0.4 * rng.random()
            for file in near
        ]
        return near[int(np.argmin(cost))]


class Hit(NamedTuple):
    """A one-shot on a drum key, used up to `max_velocity`."""

    key: int
    max_velocity: float
    path: str


@dataclass(frozen=True)
class KitVoice(Voice):
    """One-shots on drum keys; a hit sounds for at most `ring` seconds."""

    hits: tuple[Hit, ...]
    ring: float = 8.0

    kind = "kit"

    def play(self, notes: Sequence[Note], frames: int, rng: Generator) -> Sound:
        out = np.zeros(frames, np.float32)
        by_key: dict[int, list[Hit]] = defaultdict(list)
        for hit in self.hits:
            by_key[hit.key].append(hit)
        for note in notes:
            hits = by_key[int(note.pitch)]
            if not hits or round(note.start * SAMPLE_RATE) >= frames:
                continue
            tops = {hit.max_velocity for hit in hits}
            top = min((top for top in tops if top >= note.velocity), default=max(tops))
            layer = [hit for hit in hits if hit.max_velocity == top]
            sound = load_hit(layer[rng.integers(len(layer))].path, self.ring)
            add(out, sound, note.start, note.velocity ** (0.6 if len(hits) > 2 else 1.3))
        return out


@dataclass(frozen=True)
class StrumVoice(Voice):
    """Recorded strums of whole chords: `strums` holds (pitch classes, root first; path).

    The notes that start within a tenth of a second of one another are one strum, played by a recording of the chord
    that shares most tones with them, the lowest note being the root if it can.
    """

    strums: tuple[tuple[tuple[int, ...], str], ...]

    kind = "sampled"

    def play(self, notes: Sequence[Note], frames: int, rng: Generator) -> Sound:
        out = np.zeros(frames, np.float32)
        groups: list[list[Note]] = []
        for note in sorted(notes):
            if groups and note.start - groups[-1][0].start < _STRUM_S:
                groups[-1].append(note)
            else:
                groups.append([note])
        ends = [group[0].start for group in groups[1:]] + [frames / SAMPLE_RATE]
        for group, end in zip(groups, ends, strict=True):
            start = group[0].start
            if round(start * SAMPLE_RATE) < frames:
                held = min(max(note.duration for note in group), end - start)
                loud = max(note.velocity for note in group)
                _add_faded(out, load_hit(self.nearest(group, rng)), start, loud, held + 0.06, 0.06)
        return out

    def nearest(self, notes: Sequence[Note], rng: Generator) -> str:
        """A recording of the chord that these notes are nearest to."""
        tones = {int(note.pitch) % 12 for note in notes}
        low = int(min(note.pitch for note in notes)) % 12
        shared = [len(tones & set(chord)) / len(tones | set(chord)) for chord, _ in self.strums]
        score = np.array(shared) + [0.2 * (chord[0] == low) for chord, _ in self.strums]
        return self.strums[int(rng.choice(np.flatnonzero(score > score.max() - 1e-9)))][1]


@dataclass(frozen=True)
class GuiraVoice(Voice):
    """A guira, of which no free recording was found, made from another scraper or a shaker.

    It plays that one's strokes without what lies under `edge` Hz, long ones as many grains. Its keys are `LONG` and
    `SHORT`.
    """

    inner: Voice
    edge: float

    @property
    def kind(self) -> str:
        return self.inner.kind

    def play(self, notes: Sequence[Note], frames: int, rng: Generator) -> Sound:
        short, scraped = self.inner.keys[0], self.inner.keys[-1]
        strokes: list[Note] = []
        for note in notes:
            if note.pitch == SHORT or self.inner.instrument == "guiro":
                strokes.append(note._replace(pitch=scraped if note.pitch == LONG else short))
                continue
            count, step = int(rng.integers(3, 6)), rng.uniform(0.016, 0.024)
            for grain in range(count):
                loud = note.velocity * (0.45 + 0.55 * grain / (count - 1))
                strokes.append(note._replace(start=note.start + grain * step, pitch=short, velocity=loud))
        sound = self.inner.play(strokes, frames, rng)
        return np.asarray(sosfilt(butter(2, self.edge, "highpass", fs=SAMPLE_RATE, output="sos"), sound), np.float32)


def _add_faded(out: Sound, sound: Sound, start: float, gain: float, seconds: float, fade_s: float) -> None:
    """Add at most `seconds` of `sound` to `out`; it fades out over the last `fade_s`, at the end of `out` too."""
    length = min(len(sound), round(seconds * SAMPLE_RATE), max(0, len(out) - round(start * SAMPLE_RATE)))
    sound = sound[:length] * np.float32(gain)
    fade = min(length, round(fade_s * SAMPLE_RATE))
    sound[length - fade :] *= np.cos(np.linspace(0, np.pi / 2, fade, dtype=np.float32))
    add(out, sound, start)


@lru_cache(maxsize=4000)
def load_hit(path: str, seconds: float = 8.0) -> Sound:
    """A recorded note from just before its onset, at most `seconds` long, peak at 1, end faded. Read-only."""
    sound = read_mono(path)
    peak = float(np.abs(sound).max(initial=0.0))
    if peak < 1e-5:
        return np.zeros(64, np.float32)
    onset = max(0, int(np.argmax(np.abs(sound) > 0.04 * peak)) - round(0.004 * SAMPLE_RATE))
    sound = sound[onset : onset + round(seconds * SAMPLE_RATE)] / peak
    fade_ends(sound, 64, round(0.03 * SAMPLE_RATE))
    sound.setflags(write=False)
    return sound


@lru_cache(maxsize=16000)
def hit_seconds(path: str) -> float:
    """Length of a sound file."""
    with audio.open_audio(path) as file:
        return file.frames / file.sample_rate


def transpose(sound: Sound, semitones: float) -> Sound:
    """Shift by resampling (the length changes too); a copy."""
    if abs(semitones) < 0.01:
        return sound.copy()
    rate = SAMPLE_RATE * 2 ** (semitones / 12)
    return np.asarray(soxr.resample(sound, rate, SAMPLE_RATE, quality="MQ"), np.float32)


def slide(sound: Sound, semitones: float, seconds: float = 0.15) -> Sound:
    """`sound` from `semitones` off its pitch to it within `seconds`, as a string is bent; its length changes."""
    if not semitones:
        return sound
    at = np.arange(len(sound)) / (seconds * SAMPLE_RATE)
    rate = 2 ** (semitones * (1 - np.sin(np.clip(at, 0, 1) * np.pi / 2)) / 12)
    place = np.concatenate([[0.0], np.cumsum(rate)[:-1]])
    return np.asarray(np.interp(place, np.arange(len(sound)), sound, right=0.0), np.float32)
