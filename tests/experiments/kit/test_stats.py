from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap, wilcoxon

from fewshot_sep.experiments.kit import stats

RNG = np.random.default_rng(0)
VALUES = RNG.normal(3, 2, 40)


@pytest.mark.parametrize("name", ["mean", "median"])
def test_with_one_item_a_song_it_is_scipys_bootstrap(name: str) -> None:
    ours = getattr(stats.summarise(VALUES, [f"song {n}" for n in range(40)]), name)
    theirs = bootstrap(
        (VALUES,), getattr(np, name), method="percentile", n_resamples=4000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert ours.value == pytest.approx(getattr(np, name)(VALUES))
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.15)


def test_intervals_are_of_samples_of_whole_songs() -> None:
    songs = [f"song {n**2 % 7}" for n in range(40)]
    names = sorted(set(songs))
    rng = np.random.default_rng(5)
    samples = []
    for _ in range(4000):
        drawn = rng.choice(names, len(names))
        samples.append(
            np.median([value for name in drawn for value, song in zip(VALUES, songs, strict=True) if song == name])
        )
    found = stats.summarise(VALUES, songs).median
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(samples, [0.025, 0.975])), abs=0.15)


def test_repeating_every_item_of_a_song_makes_nothing_surer() -> None:
    songs = [f"song {n}" for n in range(8)]
    once = stats.summarise(VALUES[:8], songs).mean
    often = stats.summarise(np.repeat(VALUES[:8], 5), np.repeat(songs, 5)).mean
    assert often == pytest.approx(once)


def test_one_song_tells_nothing_of_others() -> None:
    found = stats.summarise(VALUES, ["one"] * 40)
    assert found.mean.low == found.mean.high == found.mean.value
    assert (found.n, found.songs) == (40, 1)


def test_paired_difference() -> None:
    noise = RNG.normal(0, 0.3, 40)
    other = VALUES - 1 + noise - noise.mean()
    songs = [f"song {n // 4}" for n in range(40)]
    found = stats.compare(VALUES, other, songs)
    assert found.mean.value == pytest.approx(1)
    assert 0.8 < found.mean.low < 1 < found.mean.high < 1.2
    assert found.wins == np.mean(other < VALUES)
    assert found.p_items == pytest.approx(wilcoxon(VALUES, other).pvalue)
    assert found.p_songs > found.p_items  # ten songs are fewer than forty items
    back = stats.compare(other, VALUES, songs)
    assert back.median.value == pytest.approx(-found.median.value) and back.p_items == pytest.approx(found.p_items)


def test_equal_methods_do_not_differ() -> None:
    found = stats.compare(VALUES, VALUES, ["a", "b"] * 20)
    assert (found.p_items, found.p_songs, found.wins, found.median.high) == (1, 1, 0, 0)


def test_no_values_are_refused() -> None:
    with pytest.raises(ValueError, match="0 values"):
        stats.summarise([], [])
