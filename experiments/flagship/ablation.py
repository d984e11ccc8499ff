"""The recipe against itself with one thing changed: trains every variant, measures it, and writes the table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from fewshot_sep import cli, presets, weights
from fewshot_sep.experiments.flagship import ablation_report
from fewshot_sep.experiments.flagship.settings import PRESET
from fewshot_sep.experiments.flagship.variants import VARIANTS
from fewshot_sep.experiments.kit import resume
from fewshot_sep.experiments.kit.variants import WEIGHTS
from fewshot_sep.loops import library as libraries
from fewshot_sep.loops.library import Library
from fewshot_sep.loops.tasks.pool import AudioPool
from fewshot_sep.loops.tasks.train import computing_device, train_on
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
    seed: Annotated[int, typer.Option(rich_help_panel="training")] = 0,
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
    rows = libraries.read(library)
    train(rows, output, variant or list(VARIANTS), preset=preset, steps=steps, batch=batch, seed=seed, device=device)
    if items:
        typer.echo(ablation_report.write(rows, items, output))


def train(
    library: Library,
    output: Path,
    names: list[str],
    *,
    preset: str,
    steps: int,
    batch: int,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Train variants, or resume; the weights of each lie in `output / name`, their card beside them.

    Raises:
        BadLibrary: too little to draw tasks from.
        FewshotSepError: there is a run with other settings.
    """
    common = {"preset": preset, "steps": steps, "batch": batch, "seed": seed, "examples": steps * batch}
    settings = {name: {"variant": name, **common} for name in names}
    for name in names:
        resume.same_as_before(output / name, settings[name])
    names = [name for name in names if not (output / name / WEIGHTS).is_file()]
    if not names:
        return
    rate, place = presets.get(preset).sample_rate, computing_device(device)
    pool, validation_pool = (AudioPool(library, split, rate, place) for split in ("train", "valid"))
    warm_up, check_every = max(1, min(500, steps // 10)), max(1, steps // 4)
    options = TrainingOptions(steps, warm_up=warm_up, check_every=check_every, seed=seed, device=device)
    for name in names:
        variant = VARIANTS[name]
        torch.manual_seed(seed)
        system, own = build(preset), pool.only(variant.keep)
        training = options._replace(target_first=variant.target_first, optimizer=variant.optimizer)
        spent = train_on(
            own, validation_pool, system, variant.objective, variant.mixing, batch, training, output / name
        )
        weights.save(system, output / name / WEIGHTS, {**settings[name], "seconds": round(spent.seconds)})


if __name__ == "__main__":
    cli.run(ablation)
