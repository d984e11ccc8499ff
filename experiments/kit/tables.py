"""How reports write figures: one form for a number, a share, an interval, a paired comparison."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from fewshot_sep.experiments.kit.document import Table
from fewshot_sep.experiments.kit.stats import Difference, Interval

MIN_DIFFERENCES = 6
SI_SDR = (
    "SI-SDR is scale-invariant SDR of the channels' mean (`metrics.si_sdr`, not the channel-wise one), SI-SDRi its "
    "improvement over the mixture."
)
"""Which of them reports have."""


class Comparison(NamedTuple):
    """What two methods, or runs, differ in over the items of a kind that both have, by a figure."""

    first: str
    second: str
    kind: str
    figure: str
    found: Difference


def number(value: float | None, digits: int = 1) -> str:
    """Empty where there is no value.

    >>> number(-4.84), number(0.0123, 3), number(None)
    ('-4.8', '0.012', '')
    """
    return "" if value is None else f"{value:.{digits}f}"


def percent(share: float, digits: int = 0) -> str:
    """
    >>> percent(0.705)
    '70 %'
    """
    return f"{100 * share:.{digits}f} %"


def interval(found: Interval | None, digits: int = 1) -> str:
    """
    >>> interval(Interval(4.84, 3.1, 6.0))
    '4.8 [3.1, 6.0]'
    """
    if found is None:
        return ""
    return f"{number(found.value, digits)} [{number(found.low, digits)}, {number(found.high, digits)}]"


def median(values: Sequence[float], digits: int = 1) -> str:
    return number(float(np.median(values)), digits) if len(values) else ""


def median_mean(values: Sequence[float]) -> str:
    """Both with a slash between them.

    >>> median_mean([1.0, 2.0, 6.0])
    '2.0 / 3.0'
    """
    return f"{median(values)} / {number(float(np.mean(values)))}" if len(values) else ""


def p_value(p: float, count: int) -> str:
    """Of a signed-rank test over `count` differences: of fewer than six none can be under 0.05.

    >>> p_value(0.5, 2), p_value(0.031, 6)
    ('0.5 (2 are too few to tell)', '0.031')
    """
    return f"{p:.2g}" + (f" ({count} are too few to tell)" if count < MIN_DIFFERENCES else "")


def paired(comparisons: Iterable[Comparison]) -> Table:
    """A line for each comparison."""
    head = ["first", "second", "kind", "figure", "items (songs)", "median difference (dB)", "mean difference (dB)"]
    lines = [
        [
            *(first, second, kind, figure, f"{found.n} ({found.songs})", interval(found.median), interval(found.mean)),
            *(percent(found.wins), p_value(found.p_items, found.n), p_value(found.p_songs, found.songs)),
        ]
        for first, second, kind, figure, found in comparisons
    ]
    return Table([*head, "first greater", "p, items", "p, songs"], lines)
