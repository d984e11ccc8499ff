"""A guira, of which no free recording was found: a scraper made from guiro, cabasa, maracas and shaker samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy.signal import butter, sosfilt

from fewshot_sep.loops.instruments.voice import Sound, Voice
from fewshot_sep.loops.library import SAMPLE_RATE
from fewshot_sep.loops.score import Note

LONG, SHORT = 0, 1
"""Keys of the guira."""


@dataclass(frozen=True)
class GuiraVoice(Voice):
    """A metal scraper made from another one: its strokes without what lies under `edge` Hz, long ones as many grains.

    Its keys are `LONG` and `SHORT` strokes.
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
                key = scraped if note.pitch == LONG else short
                strokes.append(note._replace(pitch=key))
                continue
            count, step = int(rng.integers(3, 6)), rng.uniform(0.016, 0.024)
            for grain in range(count):
                loud = note.velocity * (0.45 + 0.55 * grain / (count - 1))
                strokes.append(note._replace(start=note.start + grain * step, pitch=short, velocity=loud))
        sound = self.inner.play(strokes, frames, rng)
        return np.asarray(sosfilt(butter(2, self.edge, "highpass", fs=SAMPLE_RATE, output="sos"), sound), np.float32)
