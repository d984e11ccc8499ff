"""A singer made from recorded speech: its syllables are given the pitches and lengths of a melody.

Speech is easy to come by under free licences, songs' vocals are not. Each clip is taken apart by the WORLD vocoder
(Morise, Yokomori, Ozawa 2016) into pitch, spectral envelope and aperiodicity; the envelope of a syllable is stretched
to a note, its pitch replaced by the note's, with glides and vibrato.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fewshot_sep import extras
from fewshot_sep.loops.instruments import sound_files
from fewshot_sep.loops.instruments.oscillators import Curve
from fewshot_sep.loops.instruments.production import produced
from fewshot_sep.loops.instruments.sound_files import read_mono, source_of
from fewshot_sep.loops.instruments.voice import Playable, Sound, Voice
from fewshot_sep.loops.library import SAMPLE_RATE
from fewshot_sep.loops.score import Note

FRAME = 0.005  # seconds between WORLD's frames
_BINS = 1025
_QUIET = 1e-12
_HABITS = (0.02, 0.07), (0, 0.5), (4.8, 6.2), (0.1, 0.5)
"""Ranges of a singer's seconds to glide into a tone; vibrato in semitones, in Hz, and seconds until it sets in."""
_ONSET, _MAX_FRAMES, _MIN_FRAMES = round(0.12 / FRAME), round(0.6 / FRAME), round(0.06 / FRAME)
MIN_CLIPS = 10
_MAX_CLIPS, _WORDS = 16, 24


def _world() -> Any:
    extras.require("render", "pyworld")
    import pyworld

    return pyworld


class Syllable(NamedTuple):
    """A voiced stretch of speech and the consonant before it.

    Shape:
        envelope (power), aperiodicity: `(frames, 1025)` float32; the first `onset` frames are the consonant.
    """

    envelope: NDArray[np.float32]
    aperiodicity: NDArray[np.float32]
    onset: int
    pitch: float


@lru_cache(maxsize=64)
def syllables(path: str) -> tuple[Syllable, ...]:
    """The syllables of a clip, of its first 3 s; none where nothing is voiced. Loudness of each brought to the same."""
    world, sound = _world(), read_mono(path)[: 3 * SAMPLE_RATE].astype(np.float64)
    peak = float(np.abs(sound).max(initial=0.0))
    if len(sound) < SAMPLE_RATE // 10 or peak < 1e-4:
        return ()
    sound = sound / peak + np.random.default_rng(len(sound)).normal(0, 1e-5, len(sound))
    pitch, times = world.dio(sound, SAMPLE_RATE, f0_floor=70.0, f0_ceil=600.0, frame_period=1000 * FRAME)
    pitch = world.stonemask(sound, pitch, times, SAMPLE_RATE)
    envelope = world.cheaptrick(sound, pitch, times, SAMPLE_RATE, fft_size=2 * (_BINS - 1))
    aperiodicity = world.d4c(sound, pitch, times, SAMPLE_RATE, fft_size=2 * (_BINS - 1))
    power = envelope.sum(1)
    voiced = np.concatenate([[False], pitch > 0, [False]])
    starts, ends = np.flatnonzero(voiced[1:] & ~voiced[:-1]), np.flatnonzero(voiced[:-1] & ~voiced[1:])
    found, previous = [], 0
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        end = min(end, start + _MAX_FRAMES)
        if end - start < _MIN_FRAMES or power[start:end].max() < 1e-3 * power.max():
            continue
        first = max(previous, start - _ONSET)
        loud = np.flatnonzero(power[first:start] > 3e-4 * power.max())
        first = first + int(loud[0]) if len(loud) else start
        scale = 1 / np.quantile(power[start:end], 0.9)
        middle = float(np.median(pitch[start:end]))
        parts = (envelope[first:end] * scale).astype(np.float32), aperiodicity[first:end].astype(np.float32)
        found.append(Syllable(*parts, start - first, 69 + 12 * float(np.log2(middle / 440))))
        previous = end
    return tuple(found)


@dataclass(frozen=True)
class SungVoice(Voice):
    """A speaker who sings: `files` are clips of speech. Notes are moved by octaves to where the speaker's voice is."""

    files: tuple[str, ...]

    kind = "sung"

    def play(self, notes: Sequence[Note], frames: int, rng: Generator) -> Sound:
        words: list[Syllable] = []
        for index in rng.permutation(len(self.files))[:_MAX_CLIPS]:
            words += syllables(self.files[index])
            if len(words) >= _WORDS:
                break
        if not words or not notes:
            return np.zeros(frames, np.float32)
        text, at = [], int(rng.integers(len(words)))
        for _ in notes:
            text.append(words[at % len(words)])
            at += 1 if rng.random() < 0.9 else int(rng.integers(len(words)))
        return produced(partial(self.sing, text), notes, frames, rng)

    def sing(self, words: Sequence[Syllable], notes: Sequence[Note], frames: int, rng: Generator) -> Sound:
        """A syllable a note, by one voice, without effects."""
        middle = np.median([note.pitch for note in notes])
        home = float(np.median([word.pitch for word in words])) + rng.uniform(1, 8)
        octaves = 12 * round((home - middle) / 12)
        count = int(np.ceil(frames / SAMPLE_RATE / FRAME)) + 1
        envelope, aperiodicity = np.full((count, _BINS), _QUIET), np.ones((count, _BINS))
        pitch = np.zeros(count)
        warp = rng.uniform(0.9, 1.12)  # length of the vocal tract, so that one speaker is several singers
        glide, depth, rate, delay = (rng.uniform(*ends) for ends in _HABITS)
        before = 0.0
        ordered = sorted(notes, key=lambda note: note.start)
        ends = [note.start for note in ordered[1:]] + [frames / SAMPLE_RATE]
        for note, end, word in zip(ordered, ends, words, strict=True):
            first = round(note.start / FRAME)
            length = min(round(min(note.duration, end - note.start) / FRAME), count - first)
            if length < 4:
                continue
            place = _stretch(word, length)
            fade = np.minimum(1, np.minimum(np.arange(length) + 1, length - np.arange(length)) / 4) ** 2
            gain = float(note.velocity) ** 2 * fade[:, None]
            envelope[first : first + length] = _interpolate(word.envelope, place, warp) * gain + _QUIET
            aperiodicity[first : first + length] = _interpolate(word.aperiodicity, place, warp)
            tone = note.pitch + octaves
            time = np.arange(length) * FRAME
            knots = np.arange(0, time[-1] + 0.2, 0.1)
            curve = tone + ((before or tone) - tone) * np.exp(-time / glide)
            curve += depth * (1 - np.exp(-time / delay)) * np.sin(2 * np.pi * (rate * time + rng.random()))
            curve += np.interp(time, knots, rng.normal(0, 0.12, len(knots)))
            voiced = place >= word.onset
            pitch[first : first + length] = np.where(voiced, 440 * 2 ** ((curve - 69) / 12), 0.0)
            before = tone
        sound = _world().synthesize(pitch, envelope, aperiodicity, SAMPLE_RATE, 1000 * FRAME)
        return np.pad(sound, (0, max(0, frames - len(sound))))[:frames].astype(np.float32)


def _stretch(word: Syllable, length: int) -> Curve:
    """Which frame of the syllable sounds when: the consonant at its own speed, the vowel over the rest of the note."""
    onset = min(word.onset, length // 3)
    vowel = np.linspace(word.onset, len(word.envelope) - 1, length - onset)
    return np.concatenate([np.arange(word.onset - onset, word.onset), vowel])


def _interpolate(values: NDArray[np.float32], place: Curve, warp: float) -> Curve:
    """`values` at fractional frames, its frequency axis stretched by `warp`: `(len(place), 1025)`."""
    low = np.clip(place.astype(int), 0, len(values) - 1)
    high, share = np.minimum(low + 1, len(values) - 1), (place - low)[:, None]
    bins = np.minimum(np.arange(_BINS) / warp, _BINS - 1).astype(int)
    return np.asarray(((1 - share) * values[low] + share * values[high])[:, bins], np.float64)


def speech_voices(folder: Path) -> list[Voice]:
    """A singer for each folder in `folder` that holds 10 clips or more of one speaker, at any depth."""
    singer, source = Playable("vocals", "voice", ("vocal",), 45, 74), source_of(folder)
    voices: list[Voice] = []
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        clips = tuple(str(path) for path in sound_files.among(place.rglob("*")))
        if len(clips) >= MIN_CLIPS:
            voices.append(SungVoice(*singer, *source.part(place.name), clips))
    return voices
