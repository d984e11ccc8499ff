"""Figures on test mixtures of clips: every method and bound, and the choice of the query."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from fewshot_sep import metrics
from fewshot_sep.experiments.bachata.examples import Array, Example, clip, separate
from fewshot_sep.experiments.bachata.settings import INSTRUMENTS
from fewshot_sep.loops.tasks.pool import AudioPool
from fewshot_sep.systems import ImageSystem

Method = Callable[[Example], Array]
"""Estimates all stems of an example, `(instruments, samples)`."""
Figures = dict[str, float]


def si_sdrs(references: Iterable[Array], estimates: Iterable[Array]) -> NDArray[np.float64]:
    """SI-SDR in dB of each estimate."""
    return np.array([metrics.si_sdr(r, e) for r, e in zip(references, estimates, strict=True)])


def si_sdri(example: Example, estimates: Array) -> NDArray[np.float64]:
    """Improvement in SI-SDR over the mixture in dB, for each instrument."""
    return si_sdrs(example.stems, estimates) - si_sdrs(example.stems, [example.mixture] * len(example.stems))


def table(examples: Sequence[Example], method: Method) -> dict[str, Figures]:
    """Medians over the examples in dB, by instrument: SI-SDR and its improvement, SDR, SIR and SAR."""
    rows = defaultdict(list)
    for example in examples:
        estimates = method(example)
        rows["si_sdr"].append(si_sdrs(example.stems, estimates))
        rows["si_sdri"].append(si_sdri(example, estimates))
        for name, values in metrics.bss_eval(example.stems, estimates)._asdict().items():
            rows[name].append(values)
    medians = {name: np.nanmedian(values, axis=0) for name, values in rows.items()}
    return {
        instrument: {name: float(values[place]) for name, values in medians.items()}
        for place, instrument in enumerate(INSTRUMENTS)
    }


def median_si_sdri(examples: Sequence[Example], method: Method) -> Figures:
    """Median improvement in SI-SDR in dB, by instrument."""
    medians = np.median([si_sdri(example, method(example)) for example in examples], axis=0)
    return dict(zip(INSTRUMENTS, map(float, medians), strict=True))


def choice_of_query(
    system: ImageSystem, examples: Sequence[Example], pool: AudioPool, count: int
) -> dict[str, float | Figures]:
    """How much it matters which clip is the query: `count` of them for every stem.

    Returns:
        In dB. By instrument: `spread`, the mean standard deviation of SI-SDR over queries of one stem, and `range`, the
        mean distance between best and worst. Means over all stems: `voice` and `section`, by how much queries of the
        stem's own voice or section are better than others; `right` and `wrong`, the improvement in SI-SDR for queries
        of the stem's instrument, and for queries of another one in the mixture, both measured by the stem.
    """
    samples = examples[0].stems.shape[1]
    spreads: dict[str, list[float]] = {name: [] for name in INSTRUMENTS}
    ranges: dict[str, list[float]] = {name: [] for name in INSTRUMENTS}
    means: dict[str, list[float]] = {"voice": [], "section": [], "right": [], "wrong": []}
    for number, example in enumerate(examples):
        random = np.random.default_rng(number)
        for place, instrument in enumerate(INSTRUMENTS):
            row, stem = example.stem_rows[place], example.stems[place]
            others = [other for other in pool.by_instrument[instrument] if other != row]
            same = random.choice(others, min(count, len(others)), replace=False).tolist()
            other = [query for k, query in enumerate(example.query_rows) if k != place]
            queries = np.stack([clip(pool, query, samples) for query in (*same, *other)])
            estimates = separate(system, example.mixture, queries)
            improved = si_sdrs([stem] * len(queries), estimates) - metrics.si_sdr(stem, example.mixture)
            right, wrong = np.split(improved, [len(same)])
            spreads[instrument].append(float(right.std()))
            ranges[instrument].append(float(np.ptp(right)))
            means["right"].append(float(right.mean()))
            means["wrong"].append(float(wrong.mean()))
            own, theirs = pool.rows[row], [pool.rows[query] for query in same]
            for key, alike in (
                ("voice", np.array([own.source == other.source for other in theirs])),
                ("section", np.array([own.section == other.section for other in theirs])),
            ):
                if alike.any() and not alike.all():
                    means[key].append(float(right[alike].mean() - right[~alike].mean()))
    return {
        "spread": {name: float(np.mean(values)) for name, values in spreads.items()},
        "range": {name: float(np.mean(values)) for name, values in ranges.items()},
        **{key: float(np.mean(values)) if values else 0.0 for key, values in means.items()},
    }
