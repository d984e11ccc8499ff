"""`fewshot-sep mnist`: learn to pick a digit out of an overlay by an example of it, then see how well that went."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from fewshot_sep.experiments.mnist.settings import DEFAULT, FULL, HELD_OUT, OUTPUT, VARIANTS, Settings

_output, _training, _test, _advanced = (
    partial(typer.Option, rich_help_panel=panel) for panel in ("Output", "Training", "Test", "Advanced")
)


def mnist(
    output: Annotated[Path, _output("--output", "-o", help="Folder of runs and report; resumed.")] = OUTPUT,
    variant: Annotated[list[str] | None, _training(help=f"Of {', '.join(VARIANTS)}; {DEFAULT} if none.")] = None,
    full: Annotated[bool, _training("--full", help="The thesis's size: 64 channels, 100 x 100 iterations.")] = False,
    width: Annotated[int | None, _training(min=1, help="Channels of the first level.")] = None,
    steps: Annotated[int | None, _training(min=1, help="Iterations.")] = None,
    batch: Annotated[int, _training(min=1, help="Tasks per iteration.")] = 48,
    digits: Annotated[int, _training(min=2, max=7, help="Digits in a mixture.")] = 4,
    classes: Annotated[int, _training(min=3, help="Invented classes, for the variants that see such.")] = 1000,
    seeds: Annotated[int, _training(min=1, help="Trainings of each variant, for intervals.")] = 1,
    data: Annotated[Path | None, _training(help="Folder with MNIST's four IDX files; a subset is bundled.")] = None,
    tasks: Annotated[int, _test(min=64, help="Test tasks for each figure.")] = 1000,
    seed: Annotated[int, _advanced(min=0, help="Seed of weights and tasks; of the first training.")] = 0,
    device: Annotated[str, _advanced(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Run the MNIST demo: pick a digit out of an overlay by an example, also one that was never trained on.

    Example:
      fewshot-sep mnist --variant film --steps 2000
    """
    names = variant or [DEFAULT]
    unknown = [name for name in names if name not in VARIANTS]
    if unknown:
        raise typer.BadParameter(f"no variant {unknown[0]!r}; there are: {', '.join(VARIANTS)}")
    size = FULL if full else Settings()
    settings = Settings(width or size.width, steps or size.steps, batch, digits, classes, seed, device)

    from fewshot_sep.experiments.mnist import classifier, glyphs
    from fewshot_sep.experiments.mnist.digits import load
    from fewshot_sep.experiments.mnist.report import write
    from fewshot_sep.experiments.mnist.trainer import train

    training, test = load("train", data), load("test", data)
    typer.echo("inventing glyphs")
    reader = classifier.bundled()
    invented = glyphs.invent(training, HELD_OUT, classes, seed, reader.probabilities)
    runs = [(name, number) for number in range(seed, seed + seeds) for name in names]
    for place, (name, number) in enumerate(runs, 1):
        folder = output / name / str(number)
        typer.echo(f"training {name} ({place} of {len(runs)}), preview: {folder / 'preview.png'}")
        train(VARIANTS[name], settings._replace(seed=number), training, invented, folder)
    typer.echo("measuring on test digits")
    typer.echo(f"report: {write(output, reader, invented, test, tasks)}")


if __name__ == "__main__":
    from fewshot_sep.cli import run

    run(mnist)
