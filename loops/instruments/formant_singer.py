"""Invented singers: a glottal source through the formants of changing vowels, after Fant (1960)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from fewshot_sep.loops import tables
from fewshot_sep.loops.instruments.oscillators import HOP, Curve, frequency, saw, shape, sine, smooth
from fewshot_sep.loops.instruments.voice import Sound
from fewshot_sep.loops.library import SAMPLE_RATE
from fewshot_sep.loops.score import Note


def _vowels(column: str) -> NDArray[np.float32]:
    return np.array([row[column].split() for row in tables.beside(__file__, "vowels.csv")], np.float32)


_FORMANTS_HZ, _LEVELS_DB = _vowels("hz"), _vowels("level_db")
"""Five formants of a tenor's a, e, i, o, u, `(5, 5)` (Csound manual, appendix D)."""
_VOWELS = len(_FORMANTS_HZ)


class FormantSinger:
    """A voice: glottal pulses with vibrato, drift and glides, breath and consonants, through changing vowels.

    The pitch is one line through all notes, so that it slides as a voice does.
    """

    def __init__(self, patch: Generator) -> None:
        self.rate, self.depth = patch.uniform(4.3, 6.8), patch.uniform(0.12, 0.7) * (patch.random() < 0.85)
        self.delay, self.glide = patch.uniform(0.05, 0.45), patch.uniform(0.02, 0.09)
        self.scoop = patch.uniform(0, 1.5) * (patch.random() < 0.5)
        self.tract = 2 ** patch.uniform(-0.3, 0.45)
        self.width = patch.uniform(0.06, 0.14)
        self.tilt, self.breath = patch.uniform(0.35, 1.15), 10 ** patch.uniform(-2.2, -0.7)
        self.rough, self.growl = 10 ** patch.uniform(-2.5, -1.2), patch.uniform(0.1, 0.5) * (patch.random() < 0.15)
        self.people = int(patch.choice((1, 1, 1, 1, 2, 4)))
        self.consonants = patch.uniform(0, 0.9)
        self.twang = patch.uniform(0, 8) * (patch.random() < 0.5)
        odd = patch.normal(0, 0.12, _FORMANTS_HZ.shape).astype(np.float32) if patch.random() < 0.4 else np.float32(0)
        self.formants = _FORMANTS_HZ * (1 + odd) * self.tract

    def sing(self, notes: Sequence[Note], frames: int, rng: Generator) -> Sound:
        """The notes, `frames` long, by all the people of this choir."""
        if not notes:
            return np.zeros(frames, np.float32)
        people = [self._one(notes, frames, rng, person) for person in range(self.people)]
        return np.asarray(np.sum(people, axis=0), np.float32)

    def _one(self, notes: Sequence[Note], frames: int, rng: Generator, person: int) -> Sound:
        at, pitch, level, noise, vowel = self._curves(notes, frames, rng, person)
        samples = np.arange(frames)

        def stretched(curve: Curve) -> Curve:
            return np.interp(samples, at * SAMPLE_RATE, curve)

        hz = frequency(stretched(pitch)).astype(np.float64)
        jitter = rng.standard_normal(len(samples[:: HOP // 2]))
        hz *= 1 + self.rough * np.interp(samples, samples[:: HOP // 2], jitter) * 0.3
        step = hz / SAMPLE_RATE
        cycles = np.cumsum(step)
        source = saw(cycles, step)
        if self.growl:
            source *= 1 + np.float32(self.growl) * sine(cycles * 0.5)
        loud = stretched(level).astype(np.float32)
        breath = rng.standard_normal(frames).astype(np.float32) * np.float32(self.breath)
        breath *= (0.5 + 0.5 * (cycles % 1)).astype(np.float32)
        levels = 10 ** (_LEVELS_DB / 20)

        def response(f: Sound, frame: NDArray[np.int64]) -> NDArray[np.floating]:
            mix = vowel[np.minimum(frame[:, 0], len(at) - 1)]
            gain = np.full((len(mix), f.shape[1]), 0.004)
            for formant in range(self.formants.shape[1]):
                centre, height = mix @ self.formants[:, formant], mix @ levels[:, formant]
                peak = height * (1 + self.twang * (formant in (2, 3)))
                band = np.maximum(70.0, self.width * centre)
                gain += peak[:, None] / np.sqrt(1 + ((f - centre[:, None]) / band[:, None]) ** 2)
            return gain * (np.maximum(f, 80) / 200) ** (1 - self.tilt - 0.8)

        voiced: Sound = shape((source + breath) * loud, response)
        if not noise.any():
            return voiced
        hiss = stretched(smooth(noise, 0.006)) * rng.standard_normal(frames)
        sos = butter(2, (2500, 9000), "bandpass", fs=SAMPLE_RATE, output="sos")
        consonants = np.asarray(sosfilt(sos, hiss), np.float32)
        return voiced + consonants * np.float32(0.5 * np.abs(voiced).max())

    def _curves(
        self, notes: Sequence[Note], frames: int, rng: Generator, person: int
    ) -> tuple[Curve, Curve, Curve, Curve, Curve]:
        """Control curves: time in seconds, MIDI pitch, level, level of consonants' noise, and shares of the vowels."""
        count = -(-frames // HOP) + 4
        t = np.arange(count) * HOP / SAMPLE_RATE
        pitch, level, noise = np.full(count, np.nan), np.zeros(count), np.zeros(count)
        vowel = np.zeros((count, _VOWELS))
        late = rng.normal(0, 0.02) if person else 0.0
        for index, note in enumerate(notes):
            start, stop = max(0.0, note.start + late), note.start + note.duration + late
            if index + 1 < len(notes):
                stop = min(stop, notes[index + 1].start + late)
            here = (t >= start) & (t < stop)
            if not here.any():
                continue
            x = t[here] - start
            swell = np.clip((x - self.delay) / 0.25, 0, 1)
            pitch[here] = note.pitch + (note.bend - self.scoop * rng.random()) * np.exp(-x / 0.06)
            pitch[here] += self.depth * swell * np.sin(2 * np.pi * self.rate * x * (1 + 0.03 * rng.standard_normal()))
            level[here] = note.velocity * np.minimum(1, x / 0.03) * np.minimum(1, (stop - t[here]) / 0.05)
            one, two = rng.integers(_VOWELS, size=2)
            move = np.zeros_like(x)
            if rng.random() < 0.5:
                move = np.clip(x / max(stop - start, 0.1) * rng.uniform(0.5, 2), 0, 1)
            vowel[here, one] += 1 - move
            vowel[here, two] += move
            if rng.random() < self.consonants:
                opening = x < rng.uniform(0.04, 0.12)
                kind = str(rng.choice(("hiss", "stop", "hum")))
                at = np.flatnonzero(here)[opening]
                level[at] *= {"hiss": 0.1, "stop": 0.0, "hum": 0.5}[kind]
                if kind == "hum":
                    vowel[at] = np.eye(_VOWELS)[4]
                else:
                    noise[at if kind == "hiss" else at[-2:]] = note.velocity * rng.uniform(0.2, 0.7)
        known = ~np.isnan(pitch)
        pitch = np.interp(t, t[known], pitch[known]) if known.any() else np.full(count, 60.0)
        pitch = smooth(pitch, self.glide) + np.cumsum(rng.normal(0, 0.006, count)) * 0.3
        pitch += rng.normal(0, 0.05 + 0.08 * (person > 0))
        vowel, level = smooth(vowel, 0.03), smooth(level, 0.008)
        return t, pitch, level, noise, vowel / (vowel.sum(1, keepdims=True) + 1e-6)
