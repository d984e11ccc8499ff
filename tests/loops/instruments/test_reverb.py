from __future__ import annotations

import numpy as np
import pytest

from fewshot_sep.loops.instruments import reverb

RATE = 44100


@pytest.mark.parametrize("decay", [0.2, 0.5, 1.0])
def test_the_tail_falls_by_60_db_in_its_decay_under_the_direct_sound(decay: float) -> None:
    tails = [reverb.response(np.random.default_rng(seed), decay, 2 * RATE, RATE) for seed in range(30)]
    power = np.mean([tail**2 for tail in tails], axis=0)
    early, late = (power[round(part * decay * RATE) :][: RATE // 100].mean() for part in (0.25, 0.75))
    assert 10 * np.log10(early / late) == pytest.approx(30, abs=2)
    for tail in tails:
        assert tail[0] == 1 and not tail[1:80].any() and -20.1 < 10 * np.log10((tail[1:] ** 2).sum()) < -5.9


def test_a_sound_in_a_room_rings_on_and_keeps_its_length() -> None:
    click = np.zeros(RATE, np.float32)
    click[1000] = 0.5
    wet = reverb.place(click, 0.6, RATE, np.random.default_rng(0))
    assert wet.shape == click.shape and wet.dtype == np.float32
    assert wet[1000] == pytest.approx(0.5, abs=1e-4) and np.abs(wet[:990]).max() < 1e-5
    assert np.abs(wet[1200:20000]).max() > 1e-4
    assert reverb.place(click, 0.0, RATE, np.random.default_rng(0)) is click
