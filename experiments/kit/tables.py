"""How reports write figures: one form for a number, a share, an interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fewshot_sep.experiments.kit.stats import Interval

SI_SDR = (
    "SI-SDR is scale-invariant SDR of the channels' mean (`metrics.si_sdr`, not the channel-wise one), SI-SDRi its "
    "improvement over the mixture."
)
"""Which of them reports have."""


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
