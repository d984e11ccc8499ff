"""`fewshot-sep mnist`: learn to pick a digit out of an overlay by an example of it, then see how well that went."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from fewshot_sep.experiments.mnist.settings import FULL, OUTPUT, VARIANTS, Settings

_output, _training, _test, _advanced = (
    partial(typer.Option, rich_help_panel=panel) for panel in ("Output", "Training", "Test", "Advanced")
)


def mnist(
    output: Annotated[Path, _output("--output", "-o", help="Folder of runs and report; resumed.")] = OUTPUT,
    variant: Annotated[list[str] | None, _training(help=f"Of {', '.join(VARIANTS)}; concat and film if none.")] = None,
    full: Annotated[bool, _training("--full", help="The thesis's size: 64 channels, 100 x 100 iterations.")] = False,
    width: Annotated[int | None, _training(min=1, help="Channels of the first level.")] = None,
    steps: Annotated[int | None, _training(min=1, help="Iterations.")] = None,
    batch: Annotated[int, _training(min=1, help="Tasks per iteration.")] = 64,
    digits: Annotated[int, _training(min=2, max=8, help="Digits in a mixture.")] = 4,
    data: Annotated[Path | None, _training(help="Folder with MNIST's four IDX files; a subset is bundled.")] = None,
    tasks: Annotated[int, _test(min=64, help="Test tasks for each figure.")] = 2000,
    seed: Annotated[int, _advanced(help="Seed of weights and tasks.")] = 0,
    device: Annotated[str, _advanced(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Run the MNIST demo: pick a digit out of an overlay by an example of the same digit in another hand.

    Example:
      fewshot-sep mnist --variant film --steps 2000
    """
    names = variant or ["concat", "film"]
    unknown = [name for name in names if name not in VARIANTS]
    if unknown:
        raise typer.BadParameter(f"no variant {unknown[0]!r}; there are: {', '.join(VARIANTS)}")
    size = FULL if full else Settings()
    settings = Settings(width or size.width, steps or size.steps, batch, digits, seed, device)

    from fewshot_sep.experiments.mnist.digits import load
    from fewshot_sep.experiments.mnist.report import write
    from fewshot_sep.experiments.mnist.trainer import train

    training, test = load("train", data), load("test", data)
    for number, name in enumerate(names, 1):
        folder = output / name
        typer.echo(f"training {name} ({number} of {len(names)}), preview: {folder / 'preview.png'}")
        train(VARIANTS[name], settings, training, folder)
    typer.echo("measuring on test digits")
    typer.echo(f"report: {write(output, training, test, tasks)}")


if __name__ == "__main__":
    from fewshot_sep.cli import run

    run(mnist)
