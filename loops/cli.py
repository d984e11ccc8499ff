"""The commands of the loops package."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from fewshot_sep import cli
from fewshot_sep.presets import DEFAULT

sounds = partial(typer.Option, rich_help_panel="Material", metavar="PATH")
music, output, evidence, tasks, training, advanced = (
    partial(typer.Option, rich_help_panel=panel)
    for panel in ("Songs", "Output", "Evidence", "Tasks", "Training", "Advanced")
)
LibraryFolder = Annotated[Path, typer.Argument(metavar="LIBRARY", help="A loop library: a folder with library.csv.")]
NewLibraryFolder = Annotated[
    Path, typer.Argument(metavar="LIBRARY", help="Folder to write; an interrupted run is resumed.")
]
Workers = Annotated[int | None, advanced(min=1, help="Processes, or workers of --cluster; all cores by default.")]
Cluster = Annotated[
    str | None, advanced(metavar="auto|ADDRESS", help="Ray cluster that does the work; it must see all files.")
]


def make_library(
    library: NewLibraryFolder,
    soundfont: Annotated[list[Path] | None, sounds(help="A soundfont, .sf2 or .sf3. Repeatable, as all here.")] = None,
    drumkits: Annotated[list[Path] | None, sounds(help="Folder of Hydrogen drum kits.")] = None,
    notes: Annotated[list[Path] | None, sounds(help="Folder of recorded notes, or of such folders.")] = None,
    stems: Annotated[list[Path] | None, sounds(help="Folder with the aligned stems of one song.")] = None,
    samples: Annotated[list[Path] | None, sounds(help="Folder of samples of Sonic Pi, LMMS or Scratch.")] = None,
    speech: Annotated[list[Path] | None, sounds(help="Folder of speakers' folders; they are made to sing.")] = None,
    midi: Annotated[list[Path] | None, sounds(help="Folder of MIDI files; each becomes a song.")] = None,
    strums: Annotated[list[Path] | None, sounds(help="Folder of strums named by chord (Hydrogen's).")] = None,
    shots: Annotated[list[Path] | None, sounds(help="Folder of single drum hits named by drum (LMMS's).")] = None,
    modules: Annotated[
        list[Path] | None, sounds(help="Folder of tracker modules, a folder per package; needs libopenmpt.")
    ] = None,
    set_: Annotated[
        Literal["songs", "bachata"], music("--set", help="Songs of four bars, or bachata cut into bars.")
    ] = "songs",
    songs: Annotated[
        int | None, music(min=1, help="How many songs, chamber music besides; 500, or 150 of bachata.")
    ] = None,
    invented: Annotated[
        float | None, music(min=0, max=1, help="Share of invented instruments; 1: nothing else.")
    ] = None,
    rooms: Annotated[float, music(min=0, max=1, help="Share of the songs that are played in a room.")] = 0.4,
    seed: Annotated[int, advanced(min=0, help="The same seed and material give the same library.")] = 0,
    workers: Workers = None,
    cluster: Cluster = None,
) -> None:
    """Render a training library; without material, on pretty_midi's soundfont if it is installed.

    Example:
      fewshot-sep make-library my_library --songs 40
      fewshot-sep make-library my_library --soundfont FluidR3_GM.sf2 --drumkits /usr/share/hydrogen/data/drumkits
    """
    from fewshot_sep.loops.composing.make_library import make
    from fewshot_sep.loops.instruments.material import Material, bundled_soundfont
    from fewshot_sep.loops.tasks.inspect import holdings

    given = (soundfont, drumkits, notes, stems, samples, speech, midi, strums, shots, modules)
    material = Material(*(tuple(paths or ()) for paths in given))
    if not material and invented != 1 and (bundled := bundled_soundfont()):
        material = Material(soundfonts=(bundled,))
    used = [material.summary()] * bool(material) + ["invented instruments"] * (set_ == "songs" and invented != 0)
    typer.echo(f"material: {'; '.join(used) or 'none'}", err=True)
    with cli.progress("reading") as tell:
        made = make(
            library,
            material,
            kind=set_,
            songs=songs,
            seed=seed,
            invented=invented,
            rooms=rooms,
            workers=workers,
            cluster=cluster,
            progress=partial(tell, title="rendering"),
        )
    found = holdings(made)
    named = sum(not holding.instrument.startswith("invented-") for holding in found)
    hours = sum(holding.minutes for holding in found) / 60
    typer.echo(f"{library}: {len(made)} files, {named} named instruments, {hours:.2f} hours", err=True)


def inspect(
    library: LibraryFolder,
    out: Annotated[
        Path | None, output("--out", "--output", "-o", help="Folder for picture and tasks; LIBRARY/inspect if none.")
    ] = None,
    listen: Annotated[int, tasks(min=0, help="Write so many example tasks as WAV files.")] = 0,
    preset: Annotated[str, tasks(help="Signal of the example tasks, by name.")] = DEFAULT,
    seed: Annotated[int, tasks(min=0, help="Seed of the example tasks.")] = 0,
) -> None:
    """Show what a library holds: a table per instrument, a picture, and tasks to listen to.

    Example:
      fewshot-sep inspect my_library --listen 5
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from fewshot_sep.loops.library import read
    from fewshot_sep.loops.tasks import inspect as contents

    rows = read(library)
    found = contents.holdings(rows)
    table = Table("instrument", "family", title=escape(str(library)))
    for heading in ("files", "minutes", "sources", "songs"):
        table.add_column(heading, justify="right")
    table.add_column("splits")
    table.add_column("licences")
    for holding in found:
        figures = (str(holding.files), f"{holding.minutes:.1f}", str(holding.sources), str(holding.songs))
        name = holding.instrument + ("" if holding.trainable or "train" not in holding.splits else " (alone: no query)")
        cells = (name, holding.family, *figures, " ".join(holding.splits), "; ".join(holding.licences))
        table.add_row(*map(escape, cells))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    folder = out or library / "inspect"
    folder.mkdir(parents=True, exist_ok=True)
    contents.draw(found, folder / "library.png")
    hours = sum(holding.minutes for holding in found) / 60
    typer.echo(f"{len(rows)} files, {len(found)} instruments, {hours:.1f} hours")
    typer.echo(f"picture: {folder / 'library.png'}")
    if listen:
        for line in contents.write_tasks(rows, folder, listen, preset, seed):
            typer.echo(line)
        typer.echo(f"tasks: {folder}")


def curate(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="Folder of raw loops, at any depth; only read.")],
    library: NewLibraryFolder,
    decisions: Annotated[
        Path | None, evidence(help="A decisions.csv or undecided.csv that you edited; what you changed wins.")
    ] = None,
    tracker: Annotated[str, evidence(help="Beat tracker: auto, madmom or librosa.")] = "auto",
    preset: Annotated[str, output(help="Whose rate and length the pieces get: four beats each.")] = DEFAULT,
    gain: Annotated[
        list[str] | None, output(metavar="NAME=FACTOR", help="Linear gain of an instrument. Repeatable.")
    ] = None,
    licence: Annotated[str, output(help="Licence of the loops, noted with each.")] = "unknown",
    stretcher: Annotated[str, advanced(help="auto, signalsmith, rubberband or pylibrb.")] = "auto",
    workers: Workers = None,
    cluster: Cluster = None,
) -> None:
    """Make a training library out of a folder of raw loops: find instrument and tempo, cut into four beats, report.

    Example:
      fewshot-sep curate my_loops my_library
      fewshot-sep curate my_loops my_library --decisions my_library/undecided.csv --gain guira=3
    """
    from fewshot_sep.files import shell_word
    from fewshot_sep.loops.curation import report
    from fewshot_sep.loops.curation.curate import Settings
    from fewshot_sep.loops.curation.curate import curate as run
    from fewshot_sep.loops.curation.edits import DECISIONS, UNDECIDED

    gains = {name.lower(): factor for name, factor in map(_factor, gain or ())}
    settings = Settings(preset, stretcher, tracker, licence, gains)
    with cli.progress("reading") as tell:
        made = run(source, library, settings, decisions=decisions, workers=workers, cluster=cluster, progress=tell)
        tell(1.0, "reporting")
        page = report.write(made)
    counts = {status: len(made.of_status(status)) for status in ("kept", "rejected", "undecided")}
    typer.echo(", ".join(f"{count} {status}" for status, count in counts.items()) + f"; {len(made.library)} pieces")
    typer.echo(f"report: {page}\ndecisions: {library / DECISIONS}")
    if counts["undecided"]:
        undecided = library / UNDECIDED
        typer.echo(f"to be decided: {undecided}; edit it, then add --decisions {shell_word(undecided)}")


def train(
    library: LibraryFolder,
    out: Annotated[Path, output("--out", "--output", "-o", help="Folder of the run; a run found there is resumed.")],
    preset: Annotated[str, training(help="Signal and model, by name.")] = DEFAULT,
    steps: Annotated[int | None, training(min=1, help="Training steps in all; 20,000 if nothing is said.")] = None,
    minutes: Annotated[
        float | None,
        training(min=0.01, help="Instead of steps: minutes in all; the learning rate follows the time that is left."),
    ] = None,
    batch: Annotated[int, training(min=1, help="Tasks per step.")] = 16,
    emphasise: Annotated[
        list[str] | None, tasks(metavar="NAME=FACTOR", help="Draw an instrument more often. Repeatable.")
    ] = None,
    start: Annotated[
        Path | None, advanced(help="Weights to begin with; what does not fit this network is left out.")
    ] = None,
    learning_rate: Annotated[float, training(help="Peak learning rate.")] = 1e-3,
    check_every: Annotated[int, training(min=1, help="Steps between validations and checkpoints.")] = 500,
    seed: Annotated[int, advanced(min=0, help="Seed of weights and tasks.")] = 0,
    device: Annotated[str, advanced(help="auto, cpu, cuda or mps.")] = "auto",
    compile_network: Annotated[bool, advanced("--compile", help="Use torch.compile; pays on a GPU.")] = False,
    devices: Annotated[
        int, advanced(min=1, help="GPUs; each takes --batch tasks of its own a step, gradients are averaged.")
    ] = 1,
    nodes: Annotated[
        int, advanced(min=1, help="Machines; start it on each, with NODE_RANK, MASTER_ADDR and MASTER_PORT set.")
    ] = 1,
    processes: Annotated[
        int | None, advanced(min=1, help="As --devices, on the CPU: processes, one a core.", show_default=False)
    ] = None,
) -> None:
    """Train a separator on a loop library; writes weights.safetensors with its model card, a log and a curve.

    Example:
      fewshot-sep train my_library -o runs/mine --steps 2000
      fewshot-sep separate song.mp3 --query guitar.wav --weights runs/mine/weights.safetensors -o out
    """
    from fewshot_sep.loops.tasks.train import train as run

    if steps and minutes:
        raise typer.BadParameter("--steps and --minutes exclude each other")
    emphasis = tuple(map(_factor, emphasise or ()))
    options = {
        "steps": steps if steps or minutes else 20_000,
        "minutes": minutes,
        "learning_rate": learning_rate,
        "check_every": check_every,
        "seed": seed,
        "device": "cpu" if processes and device == "auto" else device,
        "compile": compile_network,
        "devices": processes or devices,
        "nodes": nodes,
    }
    path = run(library, out, preset=preset, batch=batch, emphasis=emphasis, start=start, options=options)
    typer.echo(f"weights: {path}\nlog: {out / 'log'}\ncurve: {out / 'curve.png'}")


def _factor(text: str) -> tuple[str, float]:
    name, _, factor = text.partition("=")
    try:
        return name, float(factor)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not NAME=FACTOR, such as vocals=4") from None
