"""Measures what a run folder holds, part by part; a part that was measured is read back."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fewshot_sep.experiments.bachata import baselines, clip_tests, song_tests, trainer, tunes
from fewshot_sep.experiments.bachata.examples import Example, draw, separate
from fewshot_sep.experiments.bachata.models import ThesisSystem
from fewshot_sep.experiments.bachata.run import SECTIONS, VARIANTS, Settings
from fewshot_sep.loops.instruments.material import Material
from fewshot_sep.loops.library import Library
from fewshot_sep.loops.tasks.mixing import AudioPool
from fewshot_sep.loops.tasks.train import computing_device
from fewshot_sep.separator import Separator


def everything(
    folder: Path, settings: Settings, shelf: Library, material: Material, device: str, say: Callable[[str], object]
) -> dict[str, Any]:
    """All figures of the report, by part."""
    device = computing_device(device)
    system = model(folder, "thesis", settings, device)
    pool = AudioPool(shelf, "valid", system.preset.sample_rate)
    examples = draw(pool, settings.mixtures, system.preset.segment)
    few = examples[: max(4, len(examples) // 4)]
    shipped = Separator.from_pretrained(device=device)

    def of(name: str) -> ThesisSystem:
        return model(folder, name, settings, device)

    songs: list[tunes.Tune] = []

    def played() -> list[tunes.Tune]:
        if not songs:
            songs.extend(tunes.render(material, settings.tunes, settings.bars, settings.seed))
        return songs

    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "test": lambda: _test(system, shipped, examples),
        "variants": lambda: {
            name: clip_tests.gain_table(examples, partial(_way, of(name)))
            for name, variant in VARIANTS.items()
            if not variant.short
        },
        "sections": lambda: {
            name: clip_tests.by_section(of(name), examples, pool)
            for name in ("any-instrument", *(f"only-{section}" for section in SECTIONS))
        },
        "phases": lambda: clip_tests.phases(system, few),
        "queries": lambda: clip_tests.choice_of_query(system, few, pool, settings.queries),
        "whole_songs": lambda: song_tests.measure(played(), system, shipped, pool),
        "band": lambda: song_tests.bandwidth(played(), shipped, pool),
    }
    return {name: _part(folder / "measured" / f"{name}.json", name, work, say) for name, work in parts.items()}


def model(folder: Path, name: str, settings: Settings, device: str) -> ThesisSystem:
    """A trained variant of the run."""
    return trainer.load(folder / name, VARIANTS[name], settings.width).to(device)


def _way(system: ThesisSystem, example: Example) -> Any:
    return separate(system, example.mixture, example.queries)


def _test(system: ThesisSystem, shipped: Separator, examples: list[Example]) -> dict[str, Any]:
    rate = system.preset.sample_rate
    ways: dict[str, clip_tests.Way] = {
        "the mixture itself": lambda example: example.mixture[None].repeat(len(example.stems), 0),
        "query-informed NMF": lambda example: baselines.factorised(example, rate),
        "the thesis's network": partial(_way, system),
        "the shipped model": lambda example: baselines.shipped(shipped, example, rate),
        "true magnitudes, the mixture's phase": partial(baselines.true_magnitude, system),
        "ideal ratio mask": partial(baselines.ideal_ratio_mask, system),
    }
    return {name: clip_tests.table(examples, way) for name, way in ways.items()}


def _part(path: Path, name: str, work: Callable[[], dict[str, Any]], say: Callable[[str], object]) -> dict[str, Any]:
    if not path.is_file():
        say(f"measuring {name.replace('_', ' ')}")
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(work()), encoding="utf-8")
        part.replace(path)
    return json.loads(path.read_text(encoding="utf-8"))
