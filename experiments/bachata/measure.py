"""Measures what a run folder holds, part by part; a part that was measured is read back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from fewshot_sep.experiments.bachata import baselines, measure_clips, measure_songs, trainer, tunes
from fewshot_sep.experiments.bachata.examples import Array, Example, draw, separate
from fewshot_sep.experiments.bachata.settings import VARIANTS, Settings
from fewshot_sep.experiments.kit.resume import measured_once
from fewshot_sep.loops.instruments.material import Material
from fewshot_sep.loops.library import Library
from fewshot_sep.loops.tasks.pool import AudioPool
from fewshot_sep.loops.tasks.train import computing_device
from fewshot_sep.separator import Separator
from fewshot_sep.systems import ImageSystem


def everything(folder: Path, settings: Settings, library: Library, material: Material, device: str) -> dict[str, Any]:
    """All figures of the report, by part."""
    of = partial(model, folder, settings, device=computing_device(device))
    system = of("thesis")
    pool = AudioPool(library, "valid", system.preset.sample_rate)
    examples = draw(pool, settings.mixtures, system.preset.segment)
    few = examples[: max(4, len(examples) // 4)]
    shipped = Separator.from_pretrained(device=computing_device(device))
    songs = cache(lambda: tunes.render(material, settings.tunes, settings.bars, settings.seed))
    parts: dict[str, Callable[[], Mapping[str, Any]]] = {
        "test": lambda: _test(system, shipped, examples),
        "variants": lambda: {
            name: measure_clips.median_si_sdri(examples, partial(_by, of(name)))
            for name, variant in VARIANTS.items()
            if not variant.short
        },
        "queries": lambda: measure_clips.choice_of_query(system, few, pool, settings.queries),
        "songs": lambda: measure_songs.measure(songs(), system, shipped, pool),
        "band": lambda: measure_songs.bandwidth(songs(), shipped, pool),
    }
    return {name: measured_once(folder / "measured" / f"{name}.json", work) for name, work in parts.items()}


def model(folder: Path, settings: Settings, name: str, device: str) -> ImageSystem:
    """A trained variant of the run."""
    return trainer.load(folder / name, VARIANTS[name], settings.width).to(device)


def _by(system: ImageSystem, example: Example) -> Array:
    return separate(system, example.mixture, example.queries)


def _test(system: ImageSystem, shipped: Separator, examples: list[Example]) -> dict[str, Any]:
    rate = system.preset.sample_rate
    methods: dict[str, measure_clips.Method] = {
        "the mixture itself": lambda example: example.mixture[None].repeat(len(example.stems), 0),
        "query-informed NMF": lambda example: baselines.factorised(example, rate),
        "the thesis's network": partial(_by, system),
        "the shipped model": lambda example: baselines.shipped(shipped, example, rate),
        "true magnitudes, the mixture's phase": partial(baselines.true_magnitude, system),
        "ideal ratio mask": partial(baselines.ideal_ratio_mask, system),
    }
    return {name: measure_clips.table(examples, method) for name, method in methods.items()}
