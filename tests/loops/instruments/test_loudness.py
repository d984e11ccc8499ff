from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_sep.loops.instruments.loudness import activity, level
from fewshot_sep.loops.library import SAMPLE_RATE
from tests.loops.instruments import tones


@settings(deadline=None)
@given(st.integers(0, 1000), st.floats(-60, 20), st.integers(20000, 60000))
def test_level_sets_the_active_rms_and_never_clips(seed: int, gain_db: float, frames: int) -> None:
    rng = np.random.default_rng(seed)
    sound = (rng.standard_normal(frames) * 10 ** (gain_db / 20)).astype(np.float32)
    sound[rng.integers(1000, frames - 1000)] *= float(rng.choice((1, 100)))
    out = level(sound)
    peak, rms = float(np.abs(out).max()), activity(out)[1]
    assert out.dtype == np.float32 and out.shape == sound.shape
    assert peak <= 0.951
    assert 20 * np.log10(rms) < -19.5
    assert peak > 0.94 or 20 * np.log10(rms) == pytest.approx(-20, abs=0.5)
    assert out[0] == 0 and out[-1] == 0


@pytest.mark.parametrize("gain_db", [0, -70])
def test_only_what_sounds_is_measured_at_any_level(gain_db: float) -> None:
    sound = np.zeros(4 * SAMPLE_RATE, np.float32)
    sound[:SAMPLE_RATE] = tones.make(60, 1.0) * 10 ** (gain_db / 20)
    share, rms = activity(sound)
    assert share == 0.25 and rms == pytest.approx(0.5 / 2**0.5 * 10 ** (gain_db / 20), rel=0.01)
    assert np.sqrt(np.mean(level(sound)[1000:40000] ** 2)) == pytest.approx(0.1, rel=0.03)


def test_silence_stays_silent() -> None:
    assert activity(np.zeros(1000, np.float32)) == (0.0, 0.0)
    assert not level(np.zeros(1000, np.float32)).any()
