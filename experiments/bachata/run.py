"""`python -m fewshot_sep.experiments.bachata.run`: repeats the 2020 bachata thesis."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from fewshot_sep.experiments.bachata.settings import FULL, OUTPUT, VARIANTS, Settings

TRAINING, TEST, MATERIAL, ADVANCED = "Training", "Test", "Material", "Advanced"


def bachata(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the run; resumed.", rich_help_panel="Output")
    ] = OUTPUT,
    full: Annotated[
        bool, typer.Option("--full", help="The thesis's size: width 64, batch 32, 100 x 100.", rich_help_panel=TRAINING)
    ] = False,
    width: Annotated[
        int | None, typer.Option(min=1, help="Channels of the network's first level.", rich_help_panel=TRAINING)
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Tasks per iteration.", rich_help_panel=TRAINING)] = None,
    epochs: Annotated[
        int | None, typer.Option(min=2, help="Epochs of every training.", rich_help_panel=TRAINING)
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(min=1, help="Iterations per epoch.", rich_help_panel=TRAINING)
    ] = None,
    short_iterations: Annotated[
        int | None, typer.Option(min=1, help="Of the shorter trainings.", rich_help_panel=TRAINING)
    ] = None,
    songs: Annotated[
        int | None, typer.Option(min=10, help="Songs of the training set.", rich_help_panel=TRAINING)
    ] = None,
    mixtures: Annotated[int | None, typer.Option(min=4, help="Test mixtures.", rich_help_panel=TEST)] = None,
    queries: Annotated[
        int | None, typer.Option(min=2, help="Queries tried per stem, to see if the choice matters.", rich_help_panel=TEST)
    ] = None,
    tunes: Annotated[
        int | None, typer.Option(min=1, help="Whole songs, each with four intros.", rich_help_panel=TEST)
    ] = None,
    bars: Annotated[
        int | None, typer.Option(min=2, help="Bars of each section of a whole song.", rich_help_panel=TEST)
    ] = None,
    soundfont: Annotated[
        list[Path] | None,
        typer.Option(help="Soundfont to play on, may be repeated; default pretty_midi's.", rich_help_panel=MATERIAL),
    ] = None,
    samples: Annotated[
        list[Path] | None, typer.Option(help="Folder of samples as for `make-library`.", rich_help_panel=MATERIAL)
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of set, weights and tasks.", rich_help_panel=ADVANCED)] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.", rich_help_panel=ADVANCED)] = "auto",
) -> None:
    """Repeat the 2020 bachata thesis on songs rendered here, and measure what it left open.

    Example: python -m fewshot_sep.experiments.bachata.run --full --device cuda -o out/thesis
    """
    chosen = {name: value for name, value in locals().items() if name in Settings._fields and value is not None}
    settings = (FULL if full else Settings())._replace(**chosen)

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
    with contextlib.closing(trainer.train_all(VARIANTS, settings, library, output, device)) as trained:
        for number, name in enumerate(trained, 1):
            typer.echo(f"trained {name} ({number} of {len(VARIANTS)})")
    measured = measure.everything(output, settings, library, material, device, typer.echo)
    typer.echo(f"report: {report.write(output, settings, library, material, measured, device)}")


if __name__ == "__main__":
    import sys

    from fewshot_sep.cli import main

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(bachata)
    main(sys.argv[1:], app, "fewshot_sep.experiments.bachata.run")
