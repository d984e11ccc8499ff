"""The command `fewshot-sep separate`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from fewshot_sep.errors import FewshotSepError
from fewshot_sep.songs.jobs import TEMPLATE, check_template, jobs


class Grid(str, Enum):
    auto = "auto"
    downbeat = "downbeat"
    beat = "beat"
    none = "none"


class Tempo(str, Enum):
    hop = "hop"
    mask = "mask"
    audio = "audio"
    none = "none"


class Format(str, Enum):
    wav = "wav"
    flac = "flac"
    ogg = "ogg"
    mp3 = "mp3"


class Clip(str, Enum):
    rescale = "rescale"
    clamp = "clamp"


SUBTYPES = {
    (Format.wav, 16): "PCM_16",
    (Format.wav, 24): "PCM_24",
    (Format.wav, 32): "FLOAT",
    (Format.flac, 16): "PCM_16",
    (Format.flac, 24): "PCM_24",
}


def separate(
    songs: Annotated[
        list[Path],
        typer.Argument(
            metavar="SONG...",
            help="Sound files to take apart, or folders of them, searched to the bottom.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the results: one folder per song.")
    ],
    query: Annotated[
        list[Path] | None,
        typer.Option(
            "--query", "-q", metavar="CLIP", help="A clip of the instrument, or a folder of clips. Repeatable."
        ),
    ] = None,
    query_at: Annotated[
        list[str] | None,
        typer.Option("--query-at", metavar="FROM-TO", help="A passage of the song itself, like 0:12-0:18. Repeatable."),
    ] = None,
    unlike: Annotated[
        list[Path] | None,
        typer.Option(
            "--not", metavar="CLIP", help="A clip of something else in the song, to be held back. Repeatable."
        ),
    ] = None,
    residual_pass: Annotated[
        bool,
        typer.Option(
            "--residual_pass/--no-residual_pass", help="Listen to the song first, and hold back what else plays in it."
        ),
    ] = True,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the target's file; else that of the first query.")
    ] = None,
    grid: Annotated[
        Grid, typer.Option("--grid", help="Where to cut: at downbeats, every few beats, or nowhere.")
    ] = Grid.auto,
    tracker: Annotated[
        str, typer.Option("--tracker", help="Beat tracker: auto, madmom (non-commercial) or librosa.")
    ] = "auto",
    meter: Annotated[
        list[int] | None,
        typer.Option("--meter", min=2, max=8, help="Beats in a bar; 3 or 4 if not given. Repeat it to leave a choice."),
    ] = None,
    tempo: Annotated[
        Tempo,
        typer.Option(
            "--tempo",
            help="How bars get a common tempo: by the hop of the spectrum, by stretching (the result comes back as a "
            "mask, or as audio), or not at all.",
        ),
    ] = Tempo.hop,
    stretcher: Annotated[
        str,
        typer.Option("--stretcher", help="For --tempo mask and audio: auto, signalsmith, rubberband or pylibrb."),
    ] = "auto",
    format: Annotated[Format, typer.Option("--format", help="Of target and residual.")] = Format.wav,
    bits: Annotated[
        int | None, typer.Option("--bits", help="Per sample: 16, 24 or (wav) 32, which is float and the usual there.")
    ] = None,
    clip: Annotated[
        Clip, typer.Option("--clip", help="Samples that the format cannot hold: all made softer, or cut off.")
    ] = Clip.rescale,
    template: Annotated[
        str, typer.Option("--template", help="Names of the results in DIR, without the ending.")
    ] = TEMPLATE,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave out songs whose results are there.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an interrupted run stopped; keep what is done if this one is.")
    ] = False,
    plot: Annotated[bool, typer.Option("--plot", help="Draw report.png as well.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse damaged or truncated files.")] = False,
    device: Annotated[str, typer.Option("--device", help="Where the network runs: auto, cpu or cuda.")] = "auto",
    weights: Annotated[
        Path | None, typer.Option("--weights", metavar="FILE", help="Other weights than the bundled ones.")
    ] = None,
) -> None:
    """Take an instrument out of songs, given a clip of how it sounds.

    Writes DIR/<song>/<name>.wav, residual.wav and report.json; target and residual sum to the song.
    """
    from fewshot_sep.songs.queries import clip_files, parse_span

    with _as_bad_parameter("--query-at"):
        spans = [parse_span(text) for text in query_at or []]
    if not query and not spans:
        raise typer.BadParameter("give at least one --query or --query-at", param_hint="--query")
    with _as_bad_parameter("--template"):
        check_template(template)
    name = _target_name(name, query or [])
    subtype = _subtype(format, bits)
    work = jobs(songs, out, name, f".{format.value}", template)

    from fewshot_sep import audio
    from fewshot_sep.songs.pipeline import METERS, SongSeparator
    from fewshot_sep.songs.separate_file import Options, Queries, separate_file

    files, others = ([file for path in paths or [] for file in clip_files(path)] for paths in (query, unlike))
    clips, unlike_clips = ([audio.read(file, strict=strict) for file in some] for some in (files, others))
    queries = Queries(files, clips, spans, others, unlike_clips)
    options = Options(grid.value, subtype, clip.value, plot, strict, resume, residual_pass)
    separator = SongSeparator(
        load_separator(weights, device),
        tracker=tracker,
        engine=stretcher,
        tempo=tempo.value,
        meters=tuple(sorted(set(meter))) if meter else METERS,
    )
    failures: list[tuple[Path, FewshotSepError]] = []
    for number, job in enumerate(work, 1):
        if skip_existing and job.outputs.there():
            typer.echo(f"{job.song}: done before, left out", err=True)
            continue
        title = job.song.name if len(work) == 1 else f"{number}/{len(work)} {job.song.name}"
        try:
            with _progress(title) as progress:
                written, warnings = separate_file(separator, job, queries, options, progress)
        except FewshotSepError as error:
            if len(work) == 1:
                raise
            typer.echo(f"error: {error}", err=True)
            failures.append((job.song, error))
            continue
        for warning in warnings:
            typer.echo(f"warning: {warning}", err=True)
        for path in written:
            typer.echo(path)
    if failures:
        typer.echo(
            f"{len(failures)} of {len(work)} songs failed: {', '.join(str(song) for song, _ in failures)}", err=True
        )
        raise typer.Exit(1)


def load_separator(weights: Path | None, device: str) -> Any:
    """The separator with the bundled weights, or with those of a file. Raises WeightsError."""
    from fewshot_sep.separator import Separator

    return Separator.from_pretrained(weights, device=device)


@contextlib.contextmanager
def _as_bad_parameter(option: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _subtype(format: Format, bits: int | None) -> str | None:
    if bits is None:
        return None
    if (format, bits) not in SUBTYPES:
        choices = ", ".join(str(n) for f, n in SUBTYPES if f is format) or "none: it has no bits per sample"
        raise typer.BadParameter(f"{bits} bits do not go with {format.value}; choices: {choices}", param_hint="--bits")
    return SUBTYPES[format, bits]


def _target_name(name: str | None, queries: list[Path]) -> str:
    chosen = name if name is not None else (queries[0].resolve().stem if queries else "target")
    if not chosen or chosen in (".", "..") or any(mark in chosen for mark in "/\\\0"):
        raise typer.BadParameter(f"{chosen!r} cannot be a file's name", param_hint="--name")
    if chosen.casefold() in ("residual", "report", "beats"):
        raise typer.BadParameter(f"{chosen!r} is the name of another result: choose another", param_hint="--name")
    return chosen


@contextlib.contextmanager
def _progress(title: str) -> Iterator[Callable[[float], None] | None]:
    """A bar with the time left, on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=1.0)
        yield lambda share: bar.update(task, completed=share)
