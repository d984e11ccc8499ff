from __future__ import annotations

import numpy as np
from scipy.signal import hilbert

from fewshot_sep.loops.instruments import expression
from fewshot_sep.loops.instruments.expression import bends, express, swells
from fewshot_sep.loops.instruments.voice import Sound
from fewshot_sep.loops.library import SAMPLE_RATE
from fewshot_sep.loops.score import Note

HERTZ = 440.0
NOTES = [Note(0.0, 1.9, 69, 0.8), Note(2.0, 1.9, 69, 0.8)]
MOMENTS = np.arange(402) / 100  # as `express` has them for four seconds


def tone() -> Sound:
    return np.sin(2 * np.pi * HERTZ * np.arange(4 * SAMPLE_RATE) / SAMPLE_RATE).astype(np.float32)


def test_a_tone_bends_in_pitch_and_level_as_drawn() -> None:
    for seed in range(8):
        shaped = express(tone(), NOTES, np.random.default_rng(seed))
        assert shaped.shape == tone().shape and shaped.dtype == np.float32
        analytic = hilbert(shaped)[2000:-2000]
        cents = 1200 * np.log2(np.diff(np.unwrap(np.angle(analytic))) * SAMPLE_RATE / (2 * np.pi * HERTZ))
        db = 20 * np.log10(np.abs(analytic))
        at = np.arange(2000, 4 * SAMPLE_RATE - 2000) / SAMPLE_RATE
        same = np.random.default_rng(seed)
        level, pitch = swells(MOMENTS, NOTES, same), bends(MOMENTS, NOTES, same)
        assert np.median(np.abs(db - np.interp(at, MOMENTS, level))) < 0.1
        smooth = np.ones(882) / 882  # 20 ms
        found, wanted = (np.convolve(x, smooth, "valid") for x in (cents, np.interp(at[1:], MOMENTS, pitch)))
        assert np.median(np.abs(found - wanted)) < 0.1 * np.abs(pitch).max() + 0.1


def test_some_play_with_vibrato_and_it_begins_late() -> None:
    every = [bends(MOMENTS, NOTES, np.random.default_rng(seed)) for seed in range(60)]
    depths = [np.abs(np.diff(pitch[80:180])).max() for pitch in every]
    assert 0.35 < np.mean(np.array(depths) > 1.2) < 0.85
    assert max(np.abs(pitch).max() for pitch in every) < expression.VIBRATO_CENTS + 5 * expression.DRIFT_CENTS
    deepest = every[int(np.argmax(depths))]
    assert np.abs(np.diff(deepest[:14])).max() < 0.3 * np.abs(np.diff(deepest[80:180])).max()


def test_short_notes_are_left_without_hump_and_vibrato() -> None:
    short = [Note(start / 4, 0.2, 69, 0.8) for start in range(16)]
    for seed in range(20):
        level, pitch = (shape(MOMENTS, short, np.random.default_rng(seed)) for shape in (swells, bends))
        assert np.abs(np.diff(level)).max() < expression.SWELL_DB * 8 * 0.01 / 1.2
        assert np.abs(np.diff(pitch)).max() < expression.DRIFT_CENTS * 8 * 0.01 / 0.5
    assert (
        max(np.ptp(swells(MOMENTS, NOTES, np.random.default_rng(seed))) for seed in range(20)) > expression.HUMP_DB / 2
    )
