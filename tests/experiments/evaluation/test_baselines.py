from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import NMF

from fewshot_sep import metrics
from fewshot_sep.experiments.evaluation import baselines
from fewshot_sep.experiments.evaluation.case import Case
from fewshot_sep.experiments.evaluation.settings import BASELINES

RATE = 8000


@pytest.fixture(scope="module")
def stems() -> dict[str, np.ndarray]:
    """Three seconds: a drone of low tones, a scale of high ones, clicks; stereo, not the same on both sides."""
    time = np.arange(3 * RATE) / RATE
    scale = 1000 * 2 ** ((np.cumsum(np.r_[0, np.diff((time * 4).astype(int))]) * 5 % 12) / 12)
    clicks = np.random.default_rng(0).standard_normal(len(time)) * np.exp(-200 * (time % 0.5))
    sounds = {
        "drone": 0.2 * (np.sin(2 * np.pi * 110 * time) + np.sin(2 * np.pi * 165 * time)),
        "scale": 0.2 * np.sin(2 * np.pi * np.cumsum(scale) / RATE),
        "clicks": 0.3 * clicks,
    }
    return {name: np.stack([x, 0.7 * x]).astype(np.float32) for name, x in sounds.items()}


def case(stems: dict[str, np.ndarray], target: str, *others: str) -> Case:
    rest = [stems[name] for name in others]
    return Case(stems[target] + np.sum(rest, axis=0), [(stems[target], RATE)], RATE, target, stems[target], rest)


def gain(name: str, asked: Case) -> float:
    found = baselines.METHODS[name](asked)
    assert found.shape == asked.mixture.shape and found.dtype == np.float32
    return metrics.si_sdr(asked.reference, found) - metrics.si_sdr(asked.reference, asked.mixture)


def test_every_name_has_its_function() -> None:
    assert set(baselines.METHODS) == set(BASELINES)


def test_doing_nothing_and_giving_nothing(stems: dict[str, np.ndarray]) -> None:
    asked = case(stems, "scale", "drone")
    assert gain("mixture", asked) == 0
    assert not baselines.silence(asked).any()


@pytest.mark.parametrize("name", ["irm", "mixphase", "nmf"])
@pytest.mark.parametrize("target", ["scale", "drone"])
def test_what_does_not_meet_in_frequency_is_parted(stems: dict[str, np.ndarray], name: str, target: str) -> None:
    asked = case(stems, target, "drone" if target == "scale" else "scale")
    assert gain(name, asked) > 12


@pytest.mark.parametrize("name", ["irm", "mixphase"])
def test_upper_bounds_need_the_answer(stems: dict[str, np.ndarray], name: str) -> None:
    with pytest.raises(ValueError, match="true stem"):
        baselines.METHODS[name](case(stems, "scale", "drone")._replace(reference=None))


@pytest.mark.parametrize(("target", "other"), [("clicks", "drone"), ("drone", "clicks")])
def test_hpss_gives_the_half_that_the_query_is_like(stems: dict[str, np.ndarray], target: str, other: str) -> None:
    assert gain("hpss", case(stems, target, other)) > 4


def test_repet_sim_gives_what_repeats_or_what_does_not_by_the_query() -> None:
    """A drum-like loop repeats every half second; a slow sweep comes by each frequency once."""
    time = np.arange(10 * RATE) / RATE
    loop = 0.3 * np.tile(np.random.default_rng(1).standard_normal(RATE // 2) * np.exp(-np.arange(RATE // 2) / 800), 20)
    sweep = 0.2 * np.sin(2 * np.pi * (300 * time + 80 * time**2))
    stems = {"loop": loop[None].astype(np.float32), "sweep": sweep[None].astype(np.float32)}
    assert gain("repet-sim", case(stems, "loop", "sweep")) > 3
    assert gain("repet-sim", case(stems, "sweep", "loop")) > 3


def test_factorisation_is_as_near_as_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    image = (rng.random((40, 6)) @ rng.random((6, 60)) + 0.01).astype(np.float32)
    start, gains = rng.random((40, 6)).astype(np.float32) + 0.1, rng.random((6, 60)).astype(np.float32) + 0.1
    found = np.matmul(*baselines.factorise(image, start, gains, fixed=0))
    theirs = NMF(6, init="custom", solver="mu", beta_loss="kullback-leibler", max_iter=baselines.ITERATIONS, tol=0).fit(
        image, W=start.copy(), H=gains.copy()
    )
    divergence = float(np.sum(image * np.log(image / found) - image + found))
    assert divergence == pytest.approx(theirs.reconstruction_err_**2 / 2, rel=0.2)
    kept, _ = baselines.factorise(image, start, gains, fixed=4)
    assert np.array_equal(kept[:, :4], start[:, :4]) and not np.allclose(kept[:, 4:], start[:, 4:])
