"""Medians and means with intervals, and paired comparisons, that respect that items of one song are alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

REPEATS = 2000
LEVEL = 0.95


class Interval(NamedTuple):
    value: float
    low: float
    high: float


class Summary(NamedTuple):
    """Median and mean, each with its 95 % interval; `n` items of `songs` songs."""

    median: Interval
    mean: Interval
    n: int
    songs: int


class Difference(NamedTuple):
    """Paired differences of two methods, first minus second.

    `p_items` is Wilcoxon's signed-rank test over items, too sure of itself where a song has several; `p_songs` the same
    over the songs' mean differences. `wins`: the share of items in which the first is greater.
    """

    median: Interval
    mean: Interval
    n: int
    songs: int
    wins: float
    p_items: float
    p_songs: float


def summarise(values: ArrayLike, songs: Sequence[str]) -> Summary:
    """Median and mean of values, one per item; intervals by resampling whole songs (cluster bootstrap, percentiles).

    >>> summarise([1.0, 2.0, 6.0], ["a", "a", "b"]).median.value
    2.0

    Raises:
        ValueError: no values, or not one song for each.
    """
    x = np.asarray(values, dtype=np.float64)
    if not len(x) or len(x) != len(songs):
        raise ValueError(f"{len(x)} values of {len(songs)} songs")
    names, which = np.unique(np.asarray(songs), return_inverse=True)
    order = np.argsort(x)
    x, which = x[order], which[order]
    draws = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), size=REPEATS)
    weights = draws[:, which]  # how often each item, in order of value, is in each sample
    counts = weights.cumsum(axis=1)
    size = counts[:, -1]
    middle = [x[(counts >= place[:, None]).argmax(axis=1)] for place in ((size + 1) // 2, size // 2 + 1)]
    medians, means = (middle[0] + middle[1]) / 2, weights @ x / size
    return Summary(_interval(np.median(x), medians), _interval(np.mean(x), means), len(x), len(names))


def of_seeds(values: Sequence[float]) -> Interval:
    """Mean of several trainings and its 95 % interval (Student's t).

    >>> [round(float(x), 2) for x in of_seeds([1.0, 2.0, 3.0])]
    [2.0, -0.48, 4.48]
    """
    from scipy.stats import t

    low, high = t.interval(LEVEL, len(values) - 1, np.mean(values), np.std(values, ddof=1) / len(values) ** 0.5)
    return Interval(float(np.mean(values)), float(low), float(high))


def compare(first: ArrayLike, second: ArrayLike, songs: Sequence[str]) -> Difference:
    """Two methods on the same items, in the same order. Raises ValueError as `summarise`."""
    difference = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    summary = summarise(difference, songs)
    by_song = [difference[np.asarray(songs) == song].mean() for song in sorted(set(songs))]
    wins = float(np.mean(difference > 0))
    return Difference(*summary, wins, _wilcoxon(difference), _wilcoxon(np.array(by_song)))


def _interval(value: np.floating, samples: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(value), float(low), float(high))


def _wilcoxon(differences: NDArray[np.float64]) -> float:
    """Two-sided p; 1 where there is no difference at all."""
    from scipy.stats import wilcoxon

    return float(wilcoxon(differences).pvalue) if np.any(differences) else 1.0
