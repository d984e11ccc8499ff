from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.random import Generator

from fewshot_sep.loops.instruments import production
from fewshot_sep.loops.instruments.voice import Sound
from fewshot_sep.loops.library import SAMPLE_RATE
from fewshot_sep.loops.score import Note

NOTES = [Note(0.5, 0.4, 60, 0.8), Note(1.5, 0.4, 64, 0.8), Note(2.0, 0.4, 67, 0.8)]


def sing(notes: Sequence[Note], frames: int, rng: Generator) -> Sound:
    out = np.zeros(frames, np.float32)
    for note in notes:
        first, time = round(note.start * SAMPLE_RATE), np.arange(round(note.duration * SAMPLE_RATE)) / SAMPLE_RATE
        tone = 0.1 * np.sin(2 * np.pi * 440 * 2 ** ((note.pitch - 69) / 12) * time)
        out[first : first + len(time)] += tone[: frames - first].astype(np.float32)
    return out


def test_a_part_keeps_its_length_and_every_treatment_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("DOUBLED", "HARMONY", "BREATHS", "ECHO", "REVERB")
    frames = 3 * SAMPLE_RATE
    for name in names:
        monkeypatch.setattr(production, name, 0.0)
    dry = production.produced(sing, NOTES, frames, np.random.default_rng(0))
    np.testing.assert_array_equal(dry, sing(NOTES, frames, np.random.default_rng(0)))
    for name in names:
        monkeypatch.setattr(production, name, 1.0)
        wet = production.produced(sing, NOTES, frames, np.random.default_rng(0))
        assert wet.shape == dry.shape and wet.dtype == np.float32 and np.isfinite(wet).all()
        assert np.abs(wet - dry).max() > 1e-3, name
        monkeypatch.setattr(production, name, 0.0)


def test_breaths_are_taken_before_notes_that_follow_a_rest() -> None:
    out = np.zeros(3 * SAMPLE_RATE, np.float32)
    production.breathe(out, NOTES, 0.1, np.random.default_rng(0))
    heard = [
        np.abs(out[round(a * SAMPLE_RATE) : round(b * SAMPLE_RATE)]).max()
        for a, b in ((0.3, 0.5), (1.3, 1.5), (1.9, 3))
    ]
    assert heard[0] > 0 and heard[1] > 0 and heard[2] == 0
