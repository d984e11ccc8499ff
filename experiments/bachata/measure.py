"""Measures what a run folder holds: networks on test mixtures of clips."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_sep import metrics, weights
from fewshot_sep.experiments.bachata import trainer
from fewshot_sep.experiments.bachata.examples import Array, Example, draw, separate, tensor
from fewshot_sep.experiments.bachata.settings import INSTRUMENTS, VARIANTS, Settings
from fewshot_sep.experiments.evaluation.baselines import nmf
from fewshot_sep.experiments.evaluation.case import Case
from fewshot_sep.experiments.kit.resume import measured_once
from fewshot_sep.experiments.kit.variants import WEIGHTS
from fewshot_sep.loops.library import Library
from fewshot_sep.loops.tasks.pool import AudioPool
from fewshot_sep.loops.tasks.train import computing_device
from fewshot_sep.separator import Separator
from fewshot_sep.systems import ImageSystem

Method = Callable[[Example], Array]
"""Estimates all stems of an example, `(instruments, samples)`."""
Figures = dict[str, float]


def everything(folder: Path, settings: Settings, library: Library, device: str) -> dict[str, Any]:
    """All figures of the report, by part."""
    place = computing_device(device)

    def load(name: str) -> ImageSystem:
        return trainer.load(folder, name, settings.width).to(place)

    system = load("thesis")
    pool = AudioPool(library, "valid", system.preset.sample_rate)
    examples = draw(pool, settings.mixtures, system.preset.segment)
    shipped = Separator.from_pretrained(device=place)
    parts: dict[str, Callable[[], Any]] = {
        "test": lambda: _test(system, shipped, examples),
        "variants": lambda: {
            name: {each: found["si_sdri"] for each, found in table(examples, partial(_by, load(name))).items()}
            for name, variant in VARIANTS.items()
            if not variant.short
        },
    }
    used = [weights.bundled(), *(folder / name / WEIGHTS for name in VARIANTS)]
    of = {"mixtures": settings.mixtures, "weights": [weights.sha256(path) for path in used if path.is_file()]}
    return {name: measured_once(folder / "measured" / f"{name}.json", of, work) for name, work in parts.items()}


def _by(system: ImageSystem, example: Example) -> Array:
    return separate(system, example.mixture, example.queries)


def _test(system: ImageSystem, shipped: Separator, examples: list[Example]) -> dict[str, Any]:
    rate = system.preset.sample_rate
    methods: dict[str, Method] = {
        "the mixture itself": lambda example: example.mixture[None].repeat(len(example.stems), 0),
        "query-informed NMF": lambda example: factorised(example, rate),
        "the thesis's network": partial(_by, system),
        "the shipped model": lambda example: by_separator(shipped, example, rate),
        "true magnitudes, the mixture's phase": partial(true_magnitude, system),
        "ideal ratio mask": partial(ideal_ratio_mask, system),
    }
    return {name: table(examples, method) for name, method in methods.items()}


def factorised(example: Example, sample_rate: int) -> Array:
    """The stems as query-informed NMF estimates them, `(instruments, samples)`."""
    mixture = example.mixture[None]
    cases = [Case(mixture, [(query[None], sample_rate)], sample_rate, "", None, []) for query in example.queries]
    return np.stack([nmf(case)[0] for case in cases])


def by_separator(separator: Separator, example: Example, sample_rate: int) -> Array:
    """The stems as a `Separator` estimates them with the same queries, `(instruments, samples)`."""
    mixture = example.mixture[None]
    return np.stack([separator.separate(mixture, [query], sample_rate).target[0] for query in example.queries])


def ideal_ratio_mask(system: ImageSystem, example: Example) -> Array:
    """The mixture times each stem's share of the magnitudes, on the thesis's spectrogram."""
    mixture, stems = (system.spectrum(tensor(system, x)) for x in (example.mixture, example.stems))
    share = stems.abs() / (stems.abs().sum(0) + 1e-8)
    return system.stft.inverse(mixture * share, example.stems.shape[1]).cpu().numpy()


def true_magnitude(system: ImageSystem, example: Example) -> Array:
    """The stems' own magnitudes with the mixture's phase: what the thesis's network would give if it made no error."""
    mixture, stems = (system.spectrum(tensor(system, x)) for x in (example.mixture, example.stems))
    return system.stft.inverse(stems.abs() * mixture.sgn(), example.stems.shape[1]).cpu().numpy()


def table(examples: Sequence[Example], method: Method) -> dict[str, Figures]:
    """Medians over the examples in dB, by instrument: SI-SDR and its improvement, SDR, SIR and SAR."""
    rows = defaultdict[str, list[NDArray[np.float64]]](list)
    for example in examples:
        estimates = method(example)
        pairs = zip(example.stems, estimates, strict=True)
        before = np.array([metrics.si_sdr(stem, example.mixture) for stem in example.stems])
        after = np.array([metrics.si_sdr(stem, estimate) for stem, estimate in pairs])
        rows["si_sdr"].append(after)
        rows["si_sdri"].append(after - before)
        for name, values in metrics.bss_eval(example.stems, estimates)._asdict().items():
            rows[name].append(values)
    medians = {name: np.nanmedian(values, axis=0) for name, values in rows.items()}
    return {
        instrument: {name: float(values[place]) for name, values in medians.items()}
        for place, instrument in enumerate(INSTRUMENTS)
    }
