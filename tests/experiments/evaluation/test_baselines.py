from __future__ import annotations

import numpy as np
import pytest

from fewshot_sep import metrics
from fewshot_sep.experiments.evaluation import baselines
from fewshot_sep.experiments.evaluation.case import Case

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
    residual = [stems[name] for name in others]
    return Case(
        stems[target] + np.sum(residual, axis=0), [(stems[target], RATE)], RATE, target, stems[target], residual
    )


def si_sdri(name: str, query_case: Case) -> float:
    found = getattr(baselines, name)(query_case)
    assert found.shape == query_case.mixture.shape and found.dtype == np.float32
    return metrics.si_sdr(query_case.reference, found) - metrics.si_sdr(query_case.reference, query_case.mixture)


def test_doing_nothing_and_giving_nothing(stems: dict[str, np.ndarray]) -> None:
    query_case = case(stems, "scale", "drone")
    assert si_sdri("mixture", query_case) == 0
    assert not baselines.silence(query_case).any()


@pytest.mark.parametrize("name", ["irm", "mixphase", "nmf"])
@pytest.mark.parametrize("target", ["scale", "drone"])
def test_what_does_not_meet_in_frequency_is_parted(stems: dict[str, np.ndarray], name: str, target: str) -> None:
    query_case = case(stems, target, "drone" if target == "scale" else "scale")
    assert si_sdri(name, query_case) > 12


def test_what_the_song_is_without_it_tells_what_to_leave_out(stems: dict[str, np.ndarray]) -> None:
    """The query is not quite alone: the drone plays in it, softly. Clips without the scale say that it is not meant."""
    query_case = case(stems, "scale", "drone", "clicks")
    half = 3 * RATE // 2
    alone = stems["scale"] + 0.5 * stems["drone"]
    without = (stems["drone"] + stems["clicks"])[:, :half]
    told = query_case._replace(queries=[(alone, RATE)], absent=[(without, RATE)])
    marks_only = query_case._replace(queries=[], among=[(query_case.mixture, RATE)], absent=[(without, RATE)])
    untold, gain, marked = (si_sdri("nmf", one) for one in (told._replace(absent=()), told, marks_only))
    assert gain > untold + 3
    assert marked > 10


@pytest.mark.parametrize("name", ["irm", "mixphase"])
def test_upper_bounds_need_the_answer(stems: dict[str, np.ndarray], name: str) -> None:
    with pytest.raises(ValueError, match="true stem"):
        getattr(baselines, name)(case(stems, "scale", "drone")._replace(reference=None))
