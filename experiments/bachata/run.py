"""`python -m fewshot_sep.experiments.bachata.run`: repeats the 2020 bachata thesis."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from fewshot_sep import extras
from fewshot_sep.experiments.bachata.settings import FULL, OUTPUT, VARIANTS, Settings

_output, _training, _material, _advanced = (
    partial(typer.Option, rich_help_panel=panel) for panel in ("Output", "Training", "Material", "Advanced")
)


def bachata(
    output: Annotated[Path, _output("--output", "-o", help="Folder of the run; resumed.")] = OUTPUT,
    full: Annotated[bool, _training("--full", help="The thesis's size: width 64, batch 32, 100 x 100.")] = False,
    width: Annotated[int | None, _training(min=1, help="Channels of the network's first level.")] = None,
    batch: Annotated[int | None, _training(min=1, help="Tasks per iteration.")] = None,
    epochs: Annotated[int | None, _training(min=2, help="Epochs of every training.")] = None,
    iterations: Annotated[int | None, _training(min=1, help="Iterations per epoch.")] = None,
    songs: Annotated[int | None, _training(min=10, help="Songs of the training set.")] = None,
    soundfont: Annotated[
        list[Path] | None, _material(help="Soundfont to play on, may be repeated; default pretty_midi's.")
    ] = None,
    samples: Annotated[list[Path] | None, _material(help="Folder of samples as for `make-library`.")] = None,
    seed: Annotated[int, _advanced(min=0, help="Seed of set, weights and tasks.")] = 0,
    device: Annotated[str, _advanced(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Repeat the 2020 bachata thesis on songs rendered here, and measure what it left open.

    Example:
      python -m fewshot_sep.experiments.bachata.run --full --device cuda -o out/thesis
    """
    chosen = {name: value for name, value in locals().items() if name in Settings._fields and value is not None}
    settings = (FULL if full else Settings())._replace(**chosen)
    extras.require("evaluate", "fast_bss_eval")

    from fewshot_sep.experiments.bachata import clips, measure, report, trainer
    from fewshot_sep.experiments.kit import resume
    from fewshot_sep.loops.instruments.material import Material, bundled_soundfont

    bundled = bundled_soundfont()
    fonts = tuple(soundfont or ([bundled] if bundled else []))
    material = Material(soundfonts=fonts, samples=tuple(samples or ()))
    resume.same_as_before(output, {**settings._asdict(), "material": material.summary()})
    typer.echo(f"set of {settings.songs} songs on {material.summary() or 'nothing'}")
    library = clips.prepare(output, material, settings.songs, settings.seed)
    typer.echo(f"training {len(VARIANTS)} variants")
    with contextlib.closing(trainer.train_all(list(VARIANTS), settings, library, output, device)) as trained:
        for number, name in enumerate(trained, 1):
            typer.echo(f"trained {name} ({number} of {len(VARIANTS)})")
    measured = measure.everything(output, settings, library, device)
    typer.echo(f"report: {report.write(output, settings, library, material, measured, device)}")


if __name__ == "__main__":
    from fewshot_sep.cli import run

    run(bachata)
