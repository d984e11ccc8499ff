"""The recipe against itself with one thing changed: trains every variant, measures it, and writes the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from fewshot_sep import cli, presets, weights
from fewshot_sep.experiments.evaluation import runs as run_folder
from fewshot_sep.experiments.evaluation import tables
from fewshot_sep.experiments.evaluation.evaluate import evaluate
from fewshot_sep.experiments.evaluation.runs import Row
from fewshot_sep.experiments.evaluation.settings import NATIVE, PRESENT
from fewshot_sep.experiments.flagship import generalization, settings
from fewshot_sep.experiments.flagship.generalization import Improvements
from fewshot_sep.experiments.flagship.settings import BASE, PRESET
from fewshot_sep.experiments.flagship.variants import VARIANTS
from fewshot_sep.experiments.kit import document, resume
from fewshot_sep.experiments.kit.document import Block, Points, Table, Text
from fewshot_sep.experiments.kit.stats import Interval
from fewshot_sep.experiments.kit.tables import SI_SDR, interval, median_mean, number
from fewshot_sep.experiments.kit.variants import WEIGHTS
from fewshot_sep.loops import library as libraries
from fewshot_sep.loops.library import Library
from fewshot_sep.loops.tasks.pool import AudioPool
from fewshot_sep.loops.tasks.train import computing_device, train_on, validation_pool
from fewshot_sep.systems import build
from fewshot_sep.training import TrainingOptions


def ablation(
    library: Annotated[Path, typer.Argument(help="A loop library, see `fewshot-sep make-library`.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder of the runs, one for each variant.", rich_help_panel="output")
    ],
    items: Annotated[Path | None, typer.Option(help="Folder with items.json to evaluate on; else only train.")] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(help=f"One to train, may be repeated; else all of {', '.join(VARIANTS)}."),
    ] = None,
    preset: Annotated[str, typer.Option(help="Of kind mask.", rich_help_panel="training")] = PRESET,
    steps: Annotated[int, typer.Option(min=1, rich_help_panel="training")] = 1000,
    batch: Annotated[int, typer.Option(min=2, help="Tasks in a step.", rich_help_panel="training")] = 8,
    seed: Annotated[int, typer.Option(min=0, rich_help_panel="training")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.", rich_help_panel="training")] = "auto",
) -> None:
    """Train the recipe with one thing changed at a time, and compare.

    All variants are trained for the same number of steps, on the same library, with the same seed. What a folder holds
    is not done again; several calls can train different variants side by side.

    Example:
    python -m fewshot_sep.experiments.flagship.ablation library -o runs/ablation --items items --steps 700
    """
    if unknown := [name for name in variant or () if name not in VARIANTS]:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(VARIANTS)}", param_hint="--variant")
    if presets.get(preset).kind != "mask":
        raise typer.BadParameter(f"{preset!r} is not of kind mask", param_hint="--preset")
    rows, names = libraries.read(library), variant or list(VARIANTS)
    common = {"preset": preset, "steps": steps, "batch": batch, "seed": seed, "examples": steps * batch}
    facts = {name: {"variant": name, **common} for name in names}
    for name in names:
        resume.same_as_before(output / name, facts[name])
    if to_train := [name for name in names if not (output / name / WEIGHTS).is_file()]:
        pool = AudioPool(rows, "train", presets.get(preset).sample_rate, computing_device(device))
        held_back = validation_pool(rows, pool)
    warm_up, check_every = max(1, min(500, steps // 10)), max(1, steps // 4)
    options = TrainingOptions(steps, warm_up=warm_up, check_every=check_every, seed=seed, device=device)
    for name in to_train:
        chosen = VARIANTS[name]
        torch.manual_seed(seed)
        system, own = build(preset), pool.only(chosen.keep)
        training = options._replace(target_first=chosen.target_first, optimizer=chosen.optimizer)
        spent = train_on(own, held_back, system, chosen.objective, chosen.mixing, batch, training, output / name)
        weights.save(system, output / name / WEIGHTS, {**facts[name], "seconds": round(spent.seconds)})
    if items:
        typer.echo(report(rows, items, output))


def report(library: Library, items: Path, runs: Path) -> Path:
    """Evaluate what is trained, write report.md and metrics.json into `runs / "report"`.

    Returns:
        The path of the report.
    """
    trained = {name: path for name in VARIANTS if (path := runs / name / WEIGHTS).is_file()}
    facts = {name: weights.card(path) for name, path in trained.items()}
    methods = [f"{name}={settings.METHOD}" for name in trained]
    files_of_weights = [f"{name}={path}" for name, path in trained.items()]
    evaluate(items, runs / "evaluation", methods, files_of_weights, ",".join(NATIVE))
    rows = [row for row in run_folder.read_rows(runs / "evaluation") if "failed" not in row]
    by_variant = {name: [row for row in rows if row["method"] == name] for name in trained}
    measure = generalization.of_weights(library, settings.LIBRARY_TASKS)

    def on_tasks(path: Path) -> Improvements:
        digests = [weights.sha256(file) for file in (path, library.folder / libraries.CSV_NAME)]
        of = {"tasks": settings.LIBRARY_TASKS, "weights and library": digests}
        found = resume.measured_once(path.with_name("generalization.json"), of, lambda: measure(path)._asdict())
        return Improvements(found["seen"], found["held_out"])

    on_library = {name: on_tasks(path) for name, path in trained.items()}
    metrics = {name: {"card": facts[name], "library": on_library[name]._asdict()} for name in trained}
    content = blocks(by_variant, facts, on_library)
    return document.write(runs / "report", "The recipe with one thing changed", content, metrics)


def blocks(
    methods: Mapping[str, Sequence[Row]], facts: Mapping[str, dict[str, Any]], on_library: Mapping[str, Improvements]
) -> list[Block]:
    """The report, of rows, facts of the training and improvements on the library by variant."""
    some = next(iter(facts.values()))
    lines = []
    for name in methods:
        found, minutes = on_library[name], f"{facts[name]['seconds'] / 60:.0f}"
        apart = float(np.mean(found.seen) - np.mean(found.held_out)) if found.held_out else None
        lines.append([name, minutes, interval(difference(methods, name)), *map(median_mean, found), number(apart)])
    head = ["variant", "minutes", f"mean difference to `{BASE}`", "seen instruments", "held-out instruments"]
    return [
        Text(
            f"{some['steps']} steps of {some['batch']} tasks, preset `{some['preset']}`, one seed, "
            f"the same library; SI-SDRi in dB. The difference to `{BASE}` is taken item by item over same and cross, "
            "with a 95 % interval by resampling whole songs; one that holds 0 means that this run cannot tell. All "
            "else that the items say of the variants is in `evaluation/report.md` beside this folder. Seen and "
            "held-out instruments, median / mean: on mixtures of two to four sources from the library's validation "
            f"split and its held-out instruments, {settings.LIBRARY_TASKS} tasks of either sort, the same for every "
            f"variant. Minutes are of wall-clock, on a machine that may have had other work too. {SI_SDR}"
        ),
        Table([*head, "difference of their means"], lines),
        Points([f"`{name}`: {VARIANTS[name].about}" for name in methods]),
        Text("Made by `python -m fewshot_sep.experiments.flagship.ablation LIBRARY -o RUNS --items ITEMS`."),
    ]


def difference(methods: Mapping[str, Sequence[Row]], name: str) -> Interval | None:
    """What a variant's SI-SDRi is above the recipe's in the mean of both kinds' items; None of the recipe itself."""
    if name == BASE or BASE not in methods:
        return None
    changed, recipe = (tables.of_kind(methods[one], *PRESENT) for one in (name, BASE))
    found = tables.pair(changed, recipe, "si_sdri")
    return found and found.mean


if __name__ == "__main__":
    cli.run(ablation)
