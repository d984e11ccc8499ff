from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_sep.loops.score import Note
from fewshot_sep.loops.tasks import live
from fewshot_sep.loops.tasks.live import PARTIALS, Patches

RATE = 8000


def plain(count: int = 1) -> Patches:
    """Organ-like patches of one partial and a flat body, so that what sounds is known."""
    patches = live.invent(np.random.default_rng(0), count)
    return patches._replace(
        ratio=np.tile(np.arange(1.0, PARTIALS + 1), (count, 1)),
        gain=np.tile(np.eye(PARTIALS)[0], (count, 1)),
        decay=np.zeros((count, PARTIALS)),
        attack=np.full(count, 0.001),
        release=np.full(count, 0.01),
        vibrato=np.tile([0.0, 5.0], (count, 1)),
        modulation=np.zeros((count, 3)),
        noise=np.zeros((count, 2)),
    )


@pytest.fixture(autouse=True)
def flat_bodies(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "body" not in request.node.name:
        monkeypatch.setattr(
            live, "equalisers", lambda count, samples, rate, seed, depth_db: torch.ones(count, samples // 2 + 1)
        )


def test_a_note_sounds_where_it_stands_at_its_pitch() -> None:
    sound = live.play(plain(), [[Note(0.25, 0.5, 69, 1.0)]], RATE, RATE, seed=0)[0]
    loud = np.flatnonzero(sound.abs().numpy() > 1e-3)
    assert 0.25 <= loud[0] / RATE < 0.252
    assert 0.745 < loud[-1] / RATE <= 0.761
    assert np.abs(np.fft.rfft(sound.numpy())).argmax() == pytest.approx(440, abs=1)


def test_partials_above_half_the_rate_are_left_out() -> None:
    patches = plain()._replace(gain=np.ones((1, PARTIALS)))
    sound = live.play(patches, [[Note(0, 1, 81, 1.0)]], RATE, RATE, seed=0)[0]
    spectrum = np.abs(np.fft.rfft(sound.numpy()))
    peaks = np.flatnonzero(spectrum > 0.1 * spectrum.max())
    assert {round(peak / 880) for peak in peaks} == {1, 2, 3, 4}  # of 880 Hz, under 3600
    assert all(abs(peak / 880 - round(peak / 880)) < 0.02 for peak in peaks)


def test_patches_do_not_depend_on_each_other() -> None:
    patches, random = live.invent(np.random.default_rng(1), 4), np.random.default_rng(2)
    patches = patches._replace(noise=np.zeros((4, 2)))
    parts = live.scores(random, patches, 1.0)
    together = live.play(patches, parts, RATE, RATE, seed=0)
    for number in range(4):
        one = Patches(*(field[number : number + 1] for field in patches))
        alone = live.play(one, parts[number : number + 1], RATE, RATE, seed=0)
        torch.testing.assert_close(alone[0], together[number], atol=2e-3, rtol=0)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000))
def test_any_instrument_plays_any_of_its_parts(seed: int) -> None:
    random = np.random.default_rng(seed)
    patches = live.invent(random, 3)
    parts = live.scores(random, patches, 1.5)
    assert all(parts)
    assert all(0 <= note.start < 1.5 for part in parts for note in part)
    sound = live.play(patches, parts, 3 * RATE // 2, RATE, seed)
    assert sound.shape == (3, 3 * RATE // 2)
    assert bool(sound.isfinite().all())
    torch.testing.assert_close(sound.square().mean(1), torch.ones(3), atol=0.01, rtol=0)


def test_a_body_colours_whatever_is_played_on_it() -> None:
    patches = plain(2)._replace(gain=np.ones((2, PARTIALS)) / PARTIALS, body=[1, 2])
    part = [Note(0, 1, 45, 1.0)]
    one, other = (np.abs(np.fft.rfft(wave)) for wave in live.play(patches, [part, part], RATE, RATE, seed=0).numpy())
    ratio = one[110:2600:110] / other[110:2600:110]
    assert ratio.max() > 2 * ratio.min()


def test_same_seed_same_instruments() -> None:
    def sound(seed: int) -> torch.Tensor:
        random = np.random.default_rng(seed)
        patches = live.invent(random, 2)
        return live.play(patches, live.scores(random, patches, 1.0), RATE, RATE, seed)

    assert sound(5).equal(sound(5))
    assert not sound(5).equal(sound(6))
