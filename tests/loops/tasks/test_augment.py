from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_sep.loops.tasks.augment import equalisers, levels, pan, rooms

RATE = 8000


@pytest.mark.parametrize("samples", [20_000, 20_001])
def test_equalisers_are_smooth_and_moderate(samples: int) -> None:
    gains_db = 20 * np.log10(equalisers(200, samples, 44_100, seed=0).numpy())
    hertz = np.fft.rfftfreq(samples, 1 / 44_100)
    nodes = np.stack([gains_db[:, np.abs(hertz - 40 * 2**octave).argmin()] for octave in range(10)], 1)
    assert nodes.std() == pytest.approx(3, abs=0.3)
    assert abs(nodes.mean()) < 0.3
    assert np.abs(gains_db[:, hertz <= 40] - gains_db[:, :1]).max() < 1e-4
    # From bin to bin a gain moves at most as fast as over its steepest octave.
    slopes = np.diff(gains_db, axis=1)[:, hertz[:-1] > 40] / np.diff(np.log2(hertz[hertz > 40]))
    assert np.abs(slopes).max() < 1.5 * np.abs(np.diff(nodes, axis=1)).max()


@pytest.mark.parametrize("make", [equalisers, rooms])
def test_effects_differ_and_repeat(make: Callable[..., torch.Tensor]) -> None:
    one = make(3, 1000, 44_100, seed=1)
    assert torch.equal(one, make(3, 1000, 44_100, seed=1))
    assert not torch.equal(one[0], one[1])
    assert not torch.equal(one, make(3, 1000, 44_100, seed=2))
    assert make(0, 1000, 44_100, seed=1).shape == (0, 501)


@pytest.mark.parametrize("samples", [16_000, 15_999, 400])
def test_rooms_are_direct_sound_and_a_tail_of_at_most_a_second(samples: int) -> None:
    responses = np.fft.irfft(rooms(50, samples, RATE, seed=0).numpy(), samples)
    np.testing.assert_allclose(responses[:, 0], 1, atol=1e-4)
    level_db = 10 * np.log10((responses[:, 1:] ** 2).sum(1))
    assert -20.1 < level_db.min() < -15
    assert -10 < level_db.max() < -5.9
    assert np.abs(responses[:, RATE:]).max(initial=0) < 1e-6


def test_pan_has_constant_power() -> None:
    random = np.random.default_rng(0)
    gains = pan(random, 1000, 2)
    np.testing.assert_allclose((gains**2).sum(1), 2)
    assert gains.min() >= 0
    middle = np.isclose(gains[:, 0], gains[:, 1])
    assert 0.28 < middle.mean() < 0.4
    assert ((gains > 1.2).sum(0) > 50).all()
    assert (pan(random, 5, 1) == 1).all()


@settings(deadline=None)
@given(st.integers(0, 1000), st.floats(0, 10))
def test_levels_scatter_around_a_tenth_in_both_polarities(seed: int, gain_db: float) -> None:
    gains = levels(np.random.default_rng(seed), 2000, gain_db)
    decibels = 20 * np.log10(np.abs(gains) / 0.1)
    assert abs(decibels.mean()) < 0.2 * gain_db + 1e-9
    assert decibels.std() == pytest.approx(gain_db, rel=0.12, abs=1e-9)
    assert 0.4 < (gains > 0).mean() < 0.6
