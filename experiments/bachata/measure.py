"""Measures what a run folder holds: networks on test mixtures of clips."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_sep import metrics
from fewshot_sep.experiments.bachata import baselines, trainer
from fewshot_sep.experiments.bachata.examples import Array, Example, draw, separate
from fewshot_sep.experiments.bachata.settings import INSTRUMENTS, VARIANTS, Settings
from fewshot_sep.experiments.kit.resume import measured_once
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
    of = partial(model, folder, settings, device=computing_device(device))
    system = of("thesis")
    pool = AudioPool(library, "valid", system.preset.sample_rate)
    examples = draw(pool, settings.mixtures, system.preset.segment)
    shipped = Separator.from_pretrained(device=computing_device(device))
    parts: dict[str, Callable[[], Any]] = {
        "test": lambda: _test(system, shipped, examples),
        "variants": lambda: {
            name: {each: found["si_sdri"] for each, found in table(examples, partial(_by, of(name))).items()}
            for name, variant in VARIANTS.items()
            if not variant.short
        },
    }
    return {name: measured_once(folder / "measured" / f"{name}.json", work) for name, work in parts.items()}


def model(folder: Path, settings: Settings, name: str, device: str) -> ImageSystem:
    """A trained variant of the run."""
    return trainer.load(folder / name, VARIANTS[name], settings.width).to(device)


def _by(system: ImageSystem, example: Example) -> Array:
    return separate(system, example.mixture, example.queries)


def _test(system: ImageSystem, shipped: Separator, examples: list[Example]) -> dict[str, Any]:
    rate = system.preset.sample_rate
    methods: dict[str, Method] = {
        "the mixture itself": lambda example: example.mixture[None].repeat(len(example.stems), 0),
        "query-informed NMF": lambda example: baselines.factorised(example, rate),
        "the thesis's network": partial(_by, system),
        "the shipped model": lambda example: baselines.shipped(shipped, example, rate),
        "true magnitudes, the mixture's phase": partial(baselines.true_magnitude, system),
        "ideal ratio mask": partial(baselines.ideal_ratio_mask, system),
    }
    return {name: table(examples, method) for name, method in methods.items()}


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
