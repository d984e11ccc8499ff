"""Power and activity of frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewshot_sep import levels
from tests.sounds import noise


@given(samples=st.integers(0, 500), frame=st.integers(1, 100), channels=st.integers(1, 2))
def test_frames_hold_all_energy_of_the_channels_mean(samples: int, frame: int, channels: int) -> None:
    sound = noise(channels, samples, samples)
    power = levels.frame_power(sound, frame)
    assert len(power) == -(-samples // frame)
    assert power.sum() * frame == pytest.approx(np.sum(sound.mean(0, dtype=np.float64) ** 2), rel=1e-9)
    np.testing.assert_array_equal(levels.frame_power(sound[0], frame), levels.frame_power(sound[:1], frame))


@pytest.mark.parametrize(("range_db", "floor_dbfs"), [(40.0, -90.0), (20.0, -90.0), (60.0, -30.0), (np.inf, -60.0)])
def test_active_frames_are_near_the_loudest_and_above_the_floor(range_db: float, floor_dbfs: float) -> None:
    level_db = np.arange(-100.0, -3.0, 1.7)
    expected = (level_db > level_db.max() - range_db) & (level_db > floor_dbfs)
    np.testing.assert_array_equal(levels.active(10 ** (level_db / 10), range_db, floor_dbfs), expected)


def test_silence_is_not_active() -> None:
    assert not levels.active(np.zeros(5)).any()
    assert levels.active(np.zeros(0)).shape == (0,)
    assert not levels.active(levels.frame_power(np.full(100, 1e-5), 10)).any()
