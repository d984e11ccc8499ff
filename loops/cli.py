"""The commands of the loops package."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from fewshot_sep.presets import DEFAULT

_Paths = list[Path]
_Strings = list[str]


def make_library(
    library: Annotated[Path, typer.Argument(help="Folder to write; an interrupted run goes on where it stopped.")],
    soundfont: Annotated[_Paths | None, typer.Option(help="A soundfont, .sf2 or .sf3 (may be repeated).")] = None,
    drumkits: Annotated[_Paths | None, typer.Option(help="Folder of Hydrogen drum kits.")] = None,
    notes: Annotated[_Paths | None, typer.Option(help="Folder of recorded notes, or of such folders.")] = None,
    stems: Annotated[_Paths | None, typer.Option(help="Folder with the aligned stems of one song.")] = None,
    samples: Annotated[_Paths | None, typer.Option(help="Folder of samples named as Sonic Pi's.")] = None,
    speech: Annotated[_Paths | None, typer.Option(help="Folder of speakers' folders; they are made to sing.")] = None,
    songs: Annotated[int, typer.Option(min=1, help="How many four-bar songs to render.")] = 500,
    seed: Annotated[int, typer.Option(help="The same seed and material give the same library.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; all cores by default.")] = None,
) -> None:
    """Render a training library; with no material at all it has invented instruments only."""
    from rich.console import Console
    from rich.progress import Progress

    from loops.make import make

    console = Console(stderr=True)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("rendering", total=1.0)
        made = make(
            library,
            soundfonts=soundfont or (),
            drumkits=drumkits or (),
            notes=notes or (),
            stems=stems or (),
            samples=samples or (),
            speech=speech or (),
            songs=songs,
            seed=seed,
            workers=workers,
            progress=lambda share: bar.update(task, completed=share),
        )
    instruments = {row.instrument for row in made if not row.instrument.startswith("invented-")}
    console.print(f"{library}: {len(made)} files, {len(instruments)} named instruments")


def inspect(
    library: Annotated[Path, typer.Argument(help="A loop library: a folder with library.csv.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for picture and tasks; LIBRARY/inspect if none."),
    ] = None,
    listen: Annotated[int, typer.Option(min=0, help="Write so many example tasks as WAV files.")] = 0,
    preset: Annotated[str, typer.Option(help="Signal of the example tasks, by name.")] = DEFAULT,
    seed: Annotated[int, typer.Option(help="Seed of the example tasks.")] = 0,
) -> None:
    """Show what a library holds: a table per instrument, a picture, and tasks to listen to."""
    from rich.console import Console
    from rich.table import Table

    from loops import overview
    from loops.library import read

    shelf = read(library)
    minutes = overview.minutes_by_path(shelf)
    found = overview.holdings(shelf, minutes)
    table = Table("instrument", "family", title=str(library))
    for heading in ("files", "minutes", "sources", "songs"):
        table.add_column(heading, justify="right")
    table.add_column("splits")
    table.add_column("licences")
    for holding in found:
        figures = (str(holding.files), f"{holding.minutes:.1f}", str(holding.sources), str(holding.songs))
        name = holding.instrument + ("" if holding.trainable or "train" not in holding.splits else " (alone: no query)")
        table.add_row(name, holding.family, *figures, " ".join(holding.splits), "; ".join(holding.licences))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    folder = output or library / "inspect"
    folder.mkdir(parents=True, exist_ok=True)
    overview.draw(shelf, found, folder / "library.png")
    typer.echo(f"{len(shelf)} files, {len(found)} instruments, {sum(minutes.values()) / 60:.1f} hours")
    typer.echo(f"picture: {folder / 'library.png'}")
    if listen:
        for line in overview.write_tasks(shelf, folder, listen, preset, seed):
            typer.echo(line)
        typer.echo(f"tasks: {folder}")


def curate(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="Folder of raw loops, at any depth; only read.")],
    library: Annotated[Path, typer.Argument(help="Folder to write; an interrupted run goes on where it stopped.")],
    preset: Annotated[str, typer.Option(help="Whose rate and length the pieces get: four beats each.")] = DEFAULT,
    decisions: Annotated[
        Path | None, typer.Option(help="A decisions.csv or undecided.csv that you edited; what you changed wins.")
    ] = None,
    gain: Annotated[
        _Strings | None, typer.Option(help="Linear gain of an instrument: NAME=FACTOR (may be repeated).")
    ] = None,
    licence: Annotated[str, typer.Option(help="Licence of the loops, noted with each.")] = "unknown",
    tracker: Annotated[str, typer.Option(help="Beat tracker: auto, madmom or librosa.")] = "auto",
    stretcher: Annotated[str, typer.Option(help="auto, signalsmith, rubberband or pylibrb.")] = "auto",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; all cores by default.")] = None,
) -> None:
    """Make a training library out of a folder of raw loops: find instrument and tempo, cut into four beats, report."""
    from rich.console import Console
    from rich.progress import Progress

    from loops import curation_report
    from loops.curate import DECISIONS, UNDECIDED, Settings
    from loops.curate import curate as run

    gains = tuple((name.lower(), factor) for name, factor in (_factor(text) for text in gain or ()))
    settings = Settings(preset, stretcher, tracker, licence, gains)
    console = Console(stderr=True)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("looking", total=1.0)
        made = run(
            source,
            library,
            settings,
            decisions=decisions,
            workers=workers,
            progress=lambda what, share: bar.update(task, description=what, completed=share),
        )
        bar.update(task, description="reporting", completed=1.0)
        report = curation_report.write(made)
    counts = {status: sum(d.status == status for d in made.decisions) for status in ("kept", "rejected", "undecided")}
    typer.echo(", ".join(f"{count} {status}" for status, count in counts.items()) + f"; {len(made.library)} pieces")
    typer.echo(f"report: {report}\ndecisions: {library / DECISIONS}")
    if counts["undecided"]:
        typer.echo(f"to be decided: {library / UNDECIDED}; edit it, then add --decisions {library / UNDECIDED}")


def train(
    library: Annotated[Path, typer.Argument(help="A loop library: a folder with library.csv.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the run; a run found there is gone on with.")
    ],
    preset: Annotated[str, typer.Option(help="Signal and model, by name.")] = DEFAULT,
    steps: Annotated[int, typer.Option(min=1, help="Training steps in all.")] = 20_000,
    batch: Annotated[int, typer.Option(min=1, help="Tasks per step.")] = 16,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-3,
    check_every: Annotated[int, typer.Option(min=1, help="Steps between validations and checkpoints.")] = 500,
    emphasise: Annotated[
        _Strings | None, typer.Option(help="Draw an instrument more often: NAME=FACTOR (may be repeated).")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights and tasks.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    compile_network: Annotated[bool, typer.Option("--compile", help="Use torch.compile; pays on a GPU.")] = False,
) -> None:
    """Train a separator on a loop library; writes weights.safetensors with its model card, a log and a curve."""
    from loops.train import train as run

    factors = tuple(_factor(text) for text in emphasise or ())
    path = run(
        library,
        output,
        preset=preset,
        batch=batch,
        emphasis=factors,
        options={
            "steps": steps,
            "learning_rate": learning_rate,
            "check_every": check_every,
            "seed": seed,
            "device": device,
            "compile": compile_network,
        },
    )
    typer.echo(f"weights: {path}\nlog: {output / 'log'}\ncurve: {output / 'curve.png'}")


def _factor(text: str) -> tuple[str, float]:
    name, _, factor = text.partition("=")
    try:
        return name, float(factor)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not NAME=FACTOR, such as vocals=4") from None
