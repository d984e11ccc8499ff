"""Figures on test mixtures of clips: every model and bound, better phases, and the choice of the query."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from fewshot_sep import metrics
from fewshot_sep.experiments.bachata.examples import Array, Example, clip, predict, separate, tensor
from fewshot_sep.experiments.bachata.phase import refine
from fewshot_sep.experiments.bachata.run import INSTRUMENTS
from fewshot_sep.loops.tasks.mixing import AudioPool
from fewshot_sep.systems import ImageSystem

PHASE_ITERATIONS = 30
MIXTURE_PHASE = "the mixture's phase"

Way = Callable[[Example], Array]


def gains(example: Example, estimates: Array) -> list[float]:
    """Improvement in SI-SDR over the mixture in dB, for each instrument."""
    before = [metrics.si_sdr(stem, example.mixture) for stem in example.stems]
    after = [metrics.si_sdr(stem, found) for stem, found in zip(example.stems, estimates, strict=True)]
    return [b - a for a, b in zip(before, after, strict=True)]


def table(examples: Sequence[Example], way: Way) -> dict[str, dict[str, float]]:
    """Medians over the examples in dB: SI-SDR and its improvement, SDR, SIR and SAR, by instrument."""
    rows: dict[str, list[Any]] = defaultdict(list)
    for example in examples:
        found = way(example)
        rows["si_sdr"].append([metrics.si_sdr(s, e) for s, e in zip(example.stems, found, strict=True)])
        rows["si_sdri"].append(gains(example, found))
        for name, values in metrics.bss_eval(example.stems, found)._asdict().items():
            rows[name].append(values)
    medians = {name: np.nanmedian(np.array(values), axis=0) for name, values in rows.items()}
    return {
        instrument: {name: float(values[place]) for name, values in medians.items()}
        for place, instrument in enumerate(INSTRUMENTS)
    }


def gain_table(examples: Sequence[Example], way: Way) -> dict[str, float]:
    """Median improvement in SI-SDR in dB, by instrument."""
    found = np.median([gains(example, way(example)) for example in examples], axis=0)
    return dict(zip(INSTRUMENTS, map(float, found), strict=True))


def by_section(system: ImageSystem, examples: Sequence[Example], pool: AudioPool) -> dict[str, float]:
    """Median improvement in SI-SDR in dB, by the section of the stem asked for."""
    found: dict[str, list[float]] = defaultdict(list)
    for example in examples:
        improved = gains(example, separate(system, example.mixture, example.queries))
        for row, value in zip(example.rows, improved, strict=True):
            found[pool.rows[row].section].append(value)
    return {section: float(np.median(values)) for section, values in sorted(found.items())}


@torch.inference_mode()
def phases(system: ImageSystem, examples: Sequence[Example]) -> dict[str, dict[str, float]]:
    """Median SI-SDR in dB over all stems of each way to a phase, for true and for predicted magnitudes."""
    samples = examples[0].stems.shape[1]
    found: dict[str, dict[str, list[float]]] = {
        kind: defaultdict(list) for kind in ("true magnitudes", "predicted magnitudes")
    }
    noise = torch.Generator().manual_seed(0)
    for example in examples:
        predicted, spectrum = predict(system, example.mixture, example.queries)
        stems = system.spectrum(tensor(system, example.stems))
        mixture, angle = tensor(system, example.mixture), spectrum.angle()
        random = (2 * torch.pi * torch.rand(stems.shape, generator=noise)).to(angle)
        for kind, magnitude in (("true magnitudes", stems.abs()), ("predicted magnitudes", predicted)):
            ways = {
                MIXTURE_PHASE: refine(system, magnitude, angle, samples, 0),
                "Griffin-Lim from noise": refine(system, magnitude, random, samples, PHASE_ITERATIONS),
                "Griffin-Lim from the mixture's phase": refine(system, magnitude, angle, samples, PHASE_ITERATIONS),
                "MISI": refine(system, magnitude, angle, samples, PHASE_ITERATIONS, mixture),
                "the true phase": refine(system, magnitude, stems.angle(), samples, 0),
            }
            for name, waves in ways.items():
                found[kind][name] += [
                    metrics.si_sdr(s, e) for s, e in zip(example.stems, waves.cpu().numpy(), strict=True)
                ]
    return {kind: {name: float(np.median(values)) for name, values in by_way.items()} for kind, by_way in found.items()}


def choice_of_query(system: ImageSystem, examples: Sequence[Example], pool: AudioPool, count: int) -> dict[str, Any]:
    """How much it matters which clip is the query: `count` of them for every stem.

    Returns:
        In dB. By instrument: `spread`, the mean standard deviation of SI-SDR over queries of one stem, and `range`, the
        mean distance between best and worst. Means over all stems: `voice` and `section`, what queries of the stem's
        own voice or section gain over others; `right` and `wrong`, the improvement in SI-SDR for queries of the stem's
        instrument, and for queries of another one in the mixture, both measured by the stem.
    """
    samples = examples[0].stems.shape[1]
    spreads: dict[str, list[float]] = {name: [] for name in INSTRUMENTS}
    ranges: dict[str, list[float]] = {name: [] for name in INSTRUMENTS}
    means: dict[str, list[float]] = {"voice": [], "section": [], "right": [], "wrong": []}
    for number, example in enumerate(examples):
        random = np.random.default_rng(number)
        for place, instrument in enumerate(INSTRUMENTS):
            row, stem = example.rows[place], example.stems[place]
            others = [other for other in pool.by_instrument[instrument] if other != row]
            asked = random.choice(others, min(count, len(others)), replace=False).tolist()
            misled = [other for k, other in enumerate(example.asked) if k != place]
            queries = np.stack([clip(pool, query, samples) for query in (*asked, *misled)])
            found = separate(system, example.mixture, queries)
            before = metrics.si_sdr(stem, example.mixture)
            improved = np.array([metrics.si_sdr(stem, estimate) - before for estimate in found])
            right = improved[: len(asked)]
            spreads[instrument].append(float(right.std()))
            ranges[instrument].append(float(np.ptp(right)))
            means["right"].append(float(right.mean()))
            means["wrong"].append(float(improved[len(asked) :].mean()))
            own, theirs = pool.rows[row], [pool.rows[query] for query in asked]
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
