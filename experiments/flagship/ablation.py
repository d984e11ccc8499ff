"""The recipe against itself with one thing changed: trains every variant, measures it, and writes the table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fewshot_sep import cli, presets
from fewshot_sep.experiments.flagship import ablation_report
from fewshot_sep.experiments.flagship.settings import PRESET
from fewshot_sep.experiments.flagship.variants import VARIANTS, build
from fewshot_sep.experiments.kit import resume
from fewshot_sep.experiments.kit import variants as driver
from fewshot_sep.loops import library as libraries
from fewshot_sep.loops.library import Library
from fewshot_sep.loops.tasks.mixing import TaskMixer
from fewshot_sep.loops.tasks.pool import AudioPool
from fewshot_sep.loops.tasks.train import VALIDATION_BATCHES, VALIDATION_SEED, computing_device
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
    names = [name for name in names if not driver.facts(output / name)]
    if not names:
        return
    rate, place = presets.get(preset).sample_rate, computing_device(device)
    training_pool, validation_pool = (AudioPool(library, split, rate, place) for split in ("train", "valid"))
    options = TrainingOptions(
        steps, warm_up=max(1, min(500, steps // 10)), check_every=max(1, steps // 4), seed=seed, device=device
    )
    for name in names:
        _train(output / name, settings[name], training_pool, validation_pool, options)


def _train(
    run: Path, settings: dict[str, Any], training_pool: AudioPool, validation_pool: AudioPool, options: TrainingOptions
) -> None:
    name, form = settings["variant"], presets.get(settings["preset"])
    variant = VARIANTS[name]
    pool = training_pool.only(variant.keep) if variant.keep else training_pool

    def mixer(pool: AudioPool, seed: int, first: int) -> TaskMixer:
        return TaskMixer(pool, settings["batch"], form.segment, form.channels, variant.mixing, seed, first)

    checks = mixer(validation_pool, VALIDATION_SEED, 0)
    driver.train(
        run,
        settings,
        lambda: build(name, form.name),
        variant.objective,
        lambda first: iter(mixer(pool, options.seed, first)),
        [checks.draw(index) for index in range(VALIDATION_BATCHES)],
        options._replace(target_first=variant.target_first, optimizer=variant.optimizer),
    )


if __name__ == "__main__":
    cli.run(ablation)
