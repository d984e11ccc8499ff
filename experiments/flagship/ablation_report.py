"""The ablation's report: every trained variant on the same items, and on the library's held-out instruments."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fewshot_sep import files, plots, weights
from fewshot_sep.experiments.evaluation import runs as run_folder
from fewshot_sep.experiments.evaluation import tables
from fewshot_sep.experiments.evaluation.evaluate import evaluate
from fewshot_sep.experiments.evaluation.runs import Row
from fewshot_sep.experiments.flagship import generalization, settings
from fewshot_sep.experiments.flagship.generalization import Improvements
from fewshot_sep.experiments.flagship.settings import BASE, PRESENT
from fewshot_sep.experiments.flagship.variants import VARIANTS
from fewshot_sep.experiments.kit import document, stats
from fewshot_sep.experiments.kit.document import Block, Heading, Picture, Points, Table, Text
from fewshot_sep.experiments.kit.tables import SI_SDR, interval, median_mean, number, percent
from fewshot_sep.experiments.kit.variants import WEIGHTS
from fewshot_sep.loops.library import Library


def write(library: Library, items: Path, runs: Path) -> Path:
    """Evaluate what is trained, write report.md, metrics.json and ablation.png into `runs / "report"`.

    Returns:
        The path of the report.
    """
    trained = {name: path for name in VARIANTS if (path := runs / name / WEIGHTS).is_file()}
    facts = {name: weights.card(path) for name, path in trained.items()}
    methods = [f"{name}={settings.METHOD}" for name in trained]
    files_of_weights = [f"{name}={path}" for name, path in trained.items()]
    evaluate(items, runs / "evaluation", methods, files_of_weights, ",".join(settings.CONDITIONS))
    rows = [row for row in run_folder.read_rows(runs / "evaluation") if "failed" not in row]
    by_variant = {name: [row for row in rows if row["method"] == name] for name in trained}
    on_library = dict(_on_library(library, trained))
    metrics = {name: {"card": facts[name], "library": on_library[name]._asdict()} for name in trained}
    report = runs / "report"
    report.mkdir(exist_ok=True)
    draw(by_variant, report / "ablation.png")
    return document.write(report, "The recipe with one thing changed", blocks(by_variant, facts, on_library), metrics)


def _on_library(library: Library, trained: Mapping[str, Path]) -> Iterator[tuple[str, Improvements]]:
    """SI-SDRi of each variant on the library's tasks; kept beside its weights, as it takes a while."""
    pool = None
    for name, path in trained.items():
        digest, note = weights.sha256(path), path.with_name("generalization.json")
        known = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
        if known.pop("weights", "") != digest:
            system = weights.load(path)
            pool = pool or generalization.audio_pool(library, system.preset.sample_rate)
            separate = generalization.network(system)
            known = generalization.improvements(separate, pool, system.preset, settings.LIBRARY_TASKS)._asdict()
            files.write_json(note, {"weights": digest, **known})
        yield name, Improvements(**known)


def blocks(
    methods: Mapping[str, Sequence[Row]], facts: Mapping[str, dict[str, Any]], on_library: Mapping[str, Improvements]
) -> list[Block]:
    """The report, of rows, facts of the training and improvements on the library by variant."""
    some = next(iter(facts.values()))
    lines = []
    for name, rows in methods.items():
        same, cross = (tables.summarise(tables.of_kind(rows, kind), "si_sdri") for kind in PRESENT)
        level = tables.summarise(tables.of_kind(rows, "absent"), "level")
        present = tables.of_kind(rows, *PRESENT)
        line = [name, f"{facts[name]['seconds'] / 60:.0f}"]
        for found in (same, cross):
            line += [interval(found.median), number(found.mean.value)] if found else ["", ""]
        changed = difference(methods, name)
        line.append(interval(changed and changed.mean))
        line += [percent(tables.share(present, share)) for share in ("retrieved", "collapsed")]
        lines.append([*line, interval(level and level.median)])
    head = ["variant", "minutes", "same: median", "mean", "cross: median", "mean", f"mean difference to `{BASE}`"]
    head += ["retrieved", "collapsed", "absent: level"]
    held_out = [[name, *_cells(found)] for name, found in on_library.items() if found.held_out]
    return [
        Text(
            f"{some['steps']} steps of {some['batch']} tasks, preset `{some['preset']}`, one seed, "
            "the same library; SI-SDRi and levels in dB with 95 % intervals by resampling whole songs. The difference "
            f"to `{BASE}` is taken item by item over same and cross; an interval that holds 0 means that this run "
            "cannot tell. Minutes are of wall-clock, on a machine that may have had other work too. "
            f"{SI_SDR}"
        ),
        Table(head, lines),
        Points([f"`{name}`: {VARIANTS[name].about}" for name in methods]),
        Picture("ablation.png", "difference to the recipe, item by item"),
        Heading("Instruments that were held out of training, on the library"),
        Text(
            "Mixtures of two to four sources from the validation split and the held-out instruments, "
            f"{settings.LIBRARY_TASKS} tasks of either sort, the same for every variant; SI-SDRi, median / mean."
        ),
        Table(["variant", "seen instruments", "held-out instruments", "difference of the means"], held_out),
        Text("Made by `python -m fewshot_sep.experiments.flagship.ablation LIBRARY -o RUNS --items ITEMS`."),
    ]


def difference(methods: Mapping[str, Sequence[Row]], name: str) -> stats.Difference | None:
    """What a variant's SI-SDRi is above the recipe's, over the items of both kinds; None of the recipe itself."""
    if name == BASE or BASE not in methods:
        return None
    changed, recipe = (tables.of_kind(methods[one], *PRESENT) for one in (name, BASE))
    return tables.pair(changed, recipe, "si_sdri")


def _cells(found: Improvements) -> list[str]:
    return [*map(median_mean, found), number(float(np.mean(found.seen) - np.mean(found.held_out)))]


def draw(methods: Mapping[str, Sequence[Row]], picture: Path) -> None:
    """Mean differences to the recipe with their intervals."""
    found = {name: pair.mean for name in methods if (pair := difference(methods, name))}
    figure, axes = plots.new_figure(1, 1, 7, 1 + 0.3 * max(1, len(found)))
    panel = axes[0, 0]
    for place, change in enumerate(found.values()):
        panel.plot([change.low, change.high], [place, place], color="tab:blue")
        panel.plot(change.value, place, "o", color="tab:blue")
    panel.axvline(0, color="grey", linewidth=1)
    panel.set_yticks(range(len(found)), list(map(plots.plain, found)))
    panel.invert_yaxis()
    panel.set(xlabel=f"mean SI-SDRi re {BASE} (dB), same and cross")
    panel.grid(axis="x", alpha=0.3)
    figure.savefig(picture, dpi=110)
