"""Trains seed systems on a library, each for the same number of steps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fewshot_sep import cli
from fewshot_sep.errors import FewshotSepError
from fewshot_sep.experiments.evaluation.settings import SEEDS
from fewshot_sep.experiments.kit import variants
from fewshot_sep.experiments.seeds import methods
from fewshot_sep.experiments.seeds.labels import Labels, of_library
from fewshot_sep.experiments.seeds.methods import LabelSystem
from fewshot_sep.experiments.seeds.settings import STEPS, VALIDATION_BATCHES
from fewshot_sep.experiments.seeds.tasks import LabelStream
from fewshot_sep.loops import library as libraries
from fewshot_sep.loops.library import Library
from fewshot_sep.loops.tasks.mixing import TaskMixer
from fewshot_sep.loops.tasks.options import MixingOptions
from fewshot_sep.loops.tasks.pool import AudioPool
from fewshot_sep.loops.tasks.train import VALIDATION_SEED, computing_device, validation_pool
from fewshot_sep.training import TrainingOptions


def train_seeds(
    library: Annotated[Path, typer.Argument(help="A loop library, see `fewshot-sep make-library`.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder of the runs, one for each system.", rich_help_panel="output")
    ],
    system: Annotated[
        list[str] | None, typer.Option(help=f"One to train, may be repeated; else all of {', '.join(SEEDS)}.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="For each system.", rich_help_panel="training")] = STEPS,
    seed: Annotated[int, typer.Option(min=0, rich_help_panel="training")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.", rich_help_panel="training")] = "auto",
) -> list[Path]:
    """Train the systems of the seed papers on a library; a run that was interrupted is resumed.

    Example:
    python -m fewshot_sep.experiments.seeds.train library -o runs/seeds --system wavenet
    """
    rows = libraries.read(library)
    labels = of_library(rows)
    if not labels.names:
        raise FewshotSepError(f"{library}: no instrument with a name in its training split; give another library")
    untrained = {name: methods.build(name, labels) for name in system or SEEDS}
    paths = [_train(name, untrained[name], labels, rows, output / name, steps, seed, device) for name in untrained]
    for path in paths:
        typer.echo(path)
    return paths


def _train(
    name: str, system: LabelSystem, labels: Labels, library: Library, run: Path, steps: int, seed: int, device: str
) -> Path:
    """Train a system, or resume; `system` is an untrained one."""
    recipe, rate, place = methods.RECIPES[name], system.sample_rate, computing_device(device)
    pool = AudioPool(library, "train", rate, place)
    samples = system.task_samples(recipe.samples)
    mixing = MixingOptions(same_recording=0, all_but_one=0)  # a label is of no recording, and all but one have none

    def stream(pool: AudioPool, seed: int, first: int = 0) -> LabelStream:
        mixer = TaskMixer(pool, recipe.batch, samples, system.channels, mixing, seed, first)
        return LabelStream(mixer, labels)

    settings = {
        "system": name,
        "labels": labels.names,
        "seed": seed,
        "example_seconds": round(samples / system.sample_rate, 3),
        "steps": steps,
        "examples": steps * recipe.batch,
    }
    tenth = max(1, steps // 10)
    options = TrainingOptions(
        steps, warm_up=min(500, steps // 10), check_every=tenth, log_every=10, seed=seed, device=device
    )
    checks = stream(validation_pool(library, pool), VALIDATION_SEED)
    variants.train(
        run,
        settings,
        lambda: methods.build(name, labels),
        recipe.objective,
        lambda first: iter(stream(pool, seed, first)),
        [checks.draw(index) for index in range(VALIDATION_BATCHES)],
        options,
        free=("steps", "examples"),
    )
    return run / variants.WEIGHTS


if __name__ == "__main__":
    cli.run(train_seeds)
