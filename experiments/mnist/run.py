"""`fewshot-sep mnist`: learn to pick a digit out of an overlay by an example of it, then see how well that went."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

OUTPUT = Path("out/mnist")
UNSEEN = (3, 8)


class Variant(NamedTuple):
    """A model to train: its network, with or without a discriminator, and the classes that training never sees."""

    model: str
    adversarial: bool = False
    unseen: tuple[int, ...] = ()


VARIANTS = {
    "concat": Variant("concat"),
    "film": Variant("film"),
    "residual": Variant("residual"),
    "gan": Variant("concat", adversarial=True),
    "concat-unseen": Variant("concat", unseen=UNSEEN),
    "film-unseen": Variant("film", unseen=UNSEEN),
}
REDUCED: dict[str, Any] = {"width": 16, "steps": 800}
FULL: dict[str, Any] = {"width": 64, "steps": 10_000}


def mnist(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of runs and report; gone on with.")] = OUTPUT,
    variant: Annotated[
        list[str] | None, typer.Option(help=f"Of {', '.join(VARIANTS)}; concat and film if none.")
    ] = None,
    gan: Annotated[bool, typer.Option("--gan", help="Also with an adversarial loss: --variant gan.")] = False,
    full: Annotated[bool, typer.Option("--full", help="The thesis's size: 64 channels, 100 x 100 iterations.")] = False,
    width: Annotated[int | None, typer.Option(min=1, help="Channels of the first level.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Iterations.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Tasks per iteration.")] = 64,
    digits: Annotated[int, typer.Option(min=2, max=8, help="Digits in a mixture.")] = 4,
    data: Annotated[Path | None, typer.Option(help="Folder with MNIST's four IDX files; a subset is bundled.")] = None,
    tasks: Annotated[int, typer.Option(min=64, help="Test tasks for each figure.")] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of weights and tasks.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Run the MNIST demo: pick a digit out of an overlay by an example of the same digit in another hand."""
    from fewshot_sep.experiments.mnist.digits import load
    from fewshot_sep.experiments.mnist.report import write
    from fewshot_sep.experiments.mnist.trainer import Settings, train

    names = [*(variant or ["concat", "film"]), *(["gan"] if gan else [])]
    unknown = [name for name in names if name not in VARIANTS]
    if unknown:
        raise typer.BadParameter(f"no variant {unknown[0]!r}; there are: {', '.join(VARIANTS)}")
    size = FULL if full else REDUCED
    settings = Settings(width or size["width"], steps or size["steps"], batch, digits, seed, device)
    learn, test = load("train", data), load("test", data)
    output.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names, 1):
        folder = output / name
        typer.echo(f"training {name} ({number} of {len(names)}), preview: {folder / 'preview.png'}")
        seconds = train(VARIANTS[name], settings, learn, folder)
        (folder / "run.json").write_text(
            json.dumps({**settings._asdict(), **VARIANTS[name]._asdict(), "seconds": round(seconds)}), encoding="utf-8"
        )
    typer.echo("measuring on test digits")
    typer.echo(f"report: {write(output, learn, test, tasks)}")


if __name__ == "__main__":
    from fewshot_sep.cli import run

    run(mnist)
