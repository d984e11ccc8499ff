"""The ablation's table: every trained variant in RUNS on the same items, and on the library's held-out instruments.

The recipe itself is also asked with more clips, and with wrong ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fewshot_sep import plots, weights
from fewshot_sep.experiments.evaluation import measure, tables
from fewshot_sep.experiments.evaluation.evaluate import evaluate
from fewshot_sep.experiments.evaluation.measure import Row
from fewshot_sep.experiments.flagship import generalization
from fewshot_sep.experiments.flagship.variants import BASE, FILE, VARIANTS, load
from fewshot_sep.experiments.kit import stats
from fewshot_sep.experiments.kit.document import Block, Heading, Picture, Points, Table, Text, markdown, section
from fewshot_sep.loops.library import Library

TASKS = 100
"""Of either sort, seen and held out."""
PRESENT = ("same", "cross")


def write(library: Library, items: Path, runs: Path) -> Path:
    """Evaluate what is trained, write `ablation.md`, `ablation.json` and `ablation.png` into `runs / "report"`.

    Returns:
        The path of the report.
    """
    trained = {name: runs / name / FILE for name in VARIANTS if (runs / name / FILE).is_file()}
    asked, files = [f"{name}=variant" for name in trained], [f"{name}={path}" for name, path in trained.items()]
    evaluate(items, runs / "evaluation", asked, files, "same,cross,absent")
    if BASE in trained:
        evaluate(items, runs / "evaluation", asked[:1], files[:1], "same,itself,wrong,shuffled,clips")
    rows = [row for row in measure.read_rows(runs / "evaluation") if "failed" not in row]
    methods = {name: [row for row in rows if row["method"] == name] for name in trained}
    cards = {name: weights.card(path) for name, path in trained.items()}
    gains = _gains(library, trained)
    report = runs / "report"
    report.mkdir(exist_ok=True)
    content = {name: {"card": cards[name], "library": gains[name]._asdict()} for name in trained}
    (report / "ablation.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    draw(methods, report / "ablation.png")
    (report / "ablation.md").write_text(markdown(blocks(methods, cards, gains)), encoding="utf-8")
    return report / "ablation.md"


def _gains(library: Library, trained: Mapping[str, Path]) -> dict[str, generalization.Gains]:
    """Of each system; kept beside its weights, as it takes a while."""
    found, sound = {}, None
    for name, path in trained.items():
        digest, note = weights.sha256(path), path.with_name("gap.json")
        known = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
        if known.pop("weights", "") != digest:
            system = load(path)
            sound = sound or generalization.pool(library, system.preset.sample_rate)
            known = generalization.gains(generalization.network(system), sound, TASKS)._asdict()
            note.write_text(json.dumps({"weights": digest, **known}) + "\n", encoding="utf-8")
        found[name] = generalization.Gains(**known)
    return found


def blocks(
    methods: Mapping[str, Sequence[Row]], cards: Mapping[str, dict[str, Any]], gains: Mapping[str, generalization.Gains]
) -> list[Block]:
    """The report, as `fewshot_sep.experiments.kit.document` takes it."""
    some = next(iter(cards.values()))
    lines = []
    for name, rows in methods.items():
        same, cross = (tables.summarise(tables.of_kind(rows, kind), "si_sdri") for kind in PRESENT)
        level = tables.summarise(tables.of_kind(rows, "absent"), "level")
        present = tables.of_kind(rows, *PRESENT)
        line = [name, f"{cards[name]['minutes']:.0f}"]
        for found in (same, cross):
            line += [tables.interval(found.median), f"{found.mean.value:.1f}"] if found else ["", ""]
        changed = difference(methods, name)
        line.append(tables.interval(changed.mean) if changed else "")
        line += [tables.percent(tables.share(present, share)) for share in ("retrieved", "collapsed")]
        lines.append([*line, tables.interval(level.median) if level else ""])
    head = ["variant", "minutes", "same: median", "mean", "cross: median", "mean", f"mean difference to `{BASE}`"]
    head += ["retrieved", "collapsed", "absent: level"]
    held = [[name, *_two(found)] for name, found in gains.items() if found.held_out]
    recipe = {name: list(rows) for name, rows in methods.items() if name == BASE}
    return [
        Heading("The recipe with one thing changed", 1),
        Text(
            f"{some['steps']} steps of {some['examples'] // some['steps']} tasks, preset `{some['preset']}`, one seed, "
            "the same library; SI-SDRi and levels in dB with 95 % intervals by resampling whole songs. The difference "
            f"to `{BASE}` is taken item by item over same and cross; an interval that holds 0 means that this run "
            "cannot tell. Minutes are of wall-clock, on a machine that may have had other work too."
        ),
        Table(head, lines),
        Points([f"`{name}`: {VARIANTS[name].about}" for name in methods]),
        Picture("ablation.png", "difference to the recipe, item by item"),
        *section("Number and length of queries", tables.by_clips(recipe)),
        *section("The best query there can be", tables.best_query(recipe)),
        *section("Wrong queries, the control", tables.wrong_queries(recipe)),
        Heading("Instruments that training never heard, on the library"),
        Text(
            f"Mixtures of two to four sources from the validation split and the held-out instruments, {TASKS} tasks of "
            "either sort, the same for every variant; SI-SDRi, median / mean."
        ),
        Table(["variant", "seen instruments", "held-out instruments", "gap of the means"], held),
        Text("Made by `python -m fewshot_sep.experiments.flagship.ablation LIBRARY -o RUNS --items ITEMS`."),
    ]


def difference(methods: Mapping[str, Sequence[Row]], name: str) -> stats.Difference | None:
    """What a variant's SI-SDRi is above the recipe's, over the items of both kinds; None of the recipe itself."""
    if name == BASE or BASE not in methods:
        return None
    changed, recipe = (tables.of_kind(methods[one], *PRESENT) for one in (name, BASE))
    return tables.pair(changed, recipe, "si_sdri")


def _two(found: generalization.Gains) -> list[str]:
    cells = [f"{np.median(some):.1f} / {np.mean(some):.1f}" for some in found]
    return [*cells, f"{np.mean(found.seen) - np.mean(found.held_out):.1f}"]


def draw(methods: Mapping[str, Sequence[Row]], picture: Path) -> None:
    """Mean differences to the recipe with their intervals."""
    found = {name: pair.mean for name in methods if (pair := difference(methods, name))}
    figure, axes = plots.new_figure(1, 1, 7, 1 + 0.3 * max(1, len(found)))
    panel = axes[0, 0]
    for place, interval in enumerate(found.values()):
        panel.plot([interval.low, interval.high], [place, place], color="tab:blue")
        panel.plot(interval.value, place, "o", color="tab:blue")
    panel.axvline(0, color="grey", linewidth=1)
    panel.set_yticks(range(len(found)), list(found))
    panel.invert_yaxis()
    panel.set(xlabel=f"mean SI-SDRi re {BASE} (dB), same and cross")
    panel.grid(axis="x", alpha=0.3)
    figure.savefig(picture, dpi=110)
