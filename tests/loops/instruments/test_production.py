from __future__ import annotations

import numpy as np
import pytest

from fewshot_sep.loops.instruments import production
from fewshot_sep.loops.instruments.synth import InventedVoice
from fewshot_sep.loops.instruments.voice import Playable
from fewshot_sep.loops.library import SAMPLE_RATE
from fewshot_sep.loops.score import Note

NOTES = [Note(0.5, 0.4, 60, 0.8), Note(1.5, 0.4, 64, 0.8), Note(2.0, 0.4, 67, 0.8)]
sing = InventedVoice(*Playable("singer", "voice", ("vocal",)), "x", "CC0", 0).play


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


SPANS = (0.3, 0.5), (1.3, 1.5), (1.9, 3)


def test_breaths_are_taken_before_notes_that_follow_a_rest() -> None:
    out = np.zeros(3 * SAMPLE_RATE, np.float32)
    production.breathe(out, NOTES, 0.1, np.random.default_rng(0))
    first, second, none = (out[round(a * SAMPLE_RATE) : round(b * SAMPLE_RATE)] for a, b in SPANS)
    assert first.any() and second.any() and not none.any()
