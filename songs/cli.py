"""The command `fewshot-sep separate`."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewshot_sep.errors import BadAudio, BadQuery, FewshotSepError, OutputError

if TYPE_CHECKING:
    from fewshot_sep.audio import AudioFile
    from songs.pipeline import SongSeparator
    from songs.report import Facts

AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".caf", ".m4a", ".aac"}
Span = tuple[float, float]


class Grid(str, Enum):
    auto = "auto"
    downbeat = "downbeat"
    beat = "beat"
    none = "none"


class Tempo(str, Enum):
    mask = "mask"
    audio = "audio"
    none = "none"


def separate(
    songs: Annotated[
        list[Path], typer.Argument(metavar="SONG...", help="Sound files to take apart.", show_default=False)
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
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the target's file; else that of the first query.")
    ] = None,
    grid: Annotated[
        Grid, typer.Option("--grid", help="Where to cut: at downbeats, every few beats, or nowhere.")
    ] = Grid.auto,
    tracker: Annotated[
        str, typer.Option("--tracker", help="Beat tracker: auto, madmom (non-commercial) or librosa.")
    ] = "auto",
    stretcher: Annotated[
        str, typer.Option("--stretcher", help="Time-stretcher: auto, signalsmith, rubberband or pylibrb.")
    ] = "auto",
    tempo: Annotated[
        Tempo, typer.Option("--tempo", help="How bars in common tempo come back: as a mask, as audio.")
    ] = Tempo.mask,
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
    spans = [parse_span(text) for text in query_at or []]
    if not query and not spans:
        raise typer.BadParameter("give at least one --query or --query-at", param_hint="--query")
    name = _target_name(name, query or [])
    folders = _folders(songs, out)

    from fewshot_sep import audio
    from songs.pipeline import SongSeparator

    files = [file for path in query or [] for file in _clip_files(path)]
    clips = [audio.read(file, strict=strict) for file in files]
    separator = SongSeparator(load_separator(weights, device), tracker=tracker, engine=stretcher, tempo=tempo.value)
    failures: list[tuple[Path, FewshotSepError]] = []
    for song, folder in zip(songs, folders, strict=True):
        try:
            paths = _separate_one(separator, song, folder, name, files, clips, spans, grid.value, plot, strict)
        except FewshotSepError as error:
            if len(songs) == 1:
                raise
            typer.echo(f"error: {error}", err=True)
            failures.append((song, error))
        else:
            for path in paths:
                typer.echo(path)
    if failures:
        typer.echo(
            f"{len(failures)} of {len(songs)} songs failed: {', '.join(str(song) for song, _ in failures)}", err=True
        )
        raise typer.Exit(1)


def load_separator(weights: Path | None, device: str) -> Any:
    """The separator with the bundled weights, or with those of a file. Raises WeightsError."""
    from fewshot_sep.separator import Separator

    return Separator.from_pretrained(weights, device=device)


def parse_span(text: str) -> Span:
    """ "0:12-0:18" or "12.5-18" -> seconds (from, to). Raises typer.BadParameter."""
    moment = r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)"
    found = re.fullmatch(rf"\s*{moment}\s*-\s*{moment}\s*", text)
    if not found:
        raise typer.BadParameter(f"{text!r} is no passage: write it like 0:12-0:18", param_hint="--query-at")
    values = [float(group or 0) for group in found.groups()]
    start, stop = (h * 3600 + m * 60 + s for h, m, s in (values[:3], values[3:]))
    if stop <= start:
        raise typer.BadParameter(f"{text!r} ends before it begins", param_hint="--query-at")
    return start, stop


def _target_name(name: str | None, queries: list[Path]) -> str:
    chosen = name if name is not None else (queries[0].resolve().stem if queries else "target")
    if not chosen or chosen in (".", "..") or any(mark in chosen for mark in "/\\\0"):
        raise typer.BadParameter(f"{chosen!r} cannot be a file's name", param_hint="--name")
    if chosen.casefold() == "residual":
        raise typer.BadParameter("'residual' is the name of what is left over: choose another", param_hint="--name")
    return chosen


def _folders(songs: list[Path], out: Path) -> list[Path]:
    """One folder per song; songs that share a stem are numbered."""
    seen: dict[str, int] = {}
    folders = []
    for song in songs:
        stem = song.stem or "song"
        seen[stem] = seen.get(stem, 0) + 1
        folders.append(out / (stem if seen[stem] == 1 else f"{stem}-{seen[stem]}"))
    return folders


def _clip_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(
        file for file in path.iterdir() if file.suffix.lower() in AUDIO_SUFFIXES and not file.name.startswith(".")
    )
    if not files:
        raise BadAudio(f"{path}: holds no sound files; give a clip, or a folder of clips")
    return files


def _read_span(source: AudioFile, span: Span) -> tuple[Any, int]:
    start, stop = (round(seconds * source.sample_rate) for seconds in span)
    if stop > source.frames:
        length = source.frames / source.sample_rate
        raise BadQuery(
            f"{source.path}: --query-at {span[0]:g}-{span[1]:g} s ends after the song, which lasts {length:.2f} s"
        )
    return source.read(start, stop), source.sample_rate


def _separate_one(
    separator: SongSeparator,
    song: Path,
    folder: Path,
    name: str,
    files: list[Path],
    clips: list[tuple[Any, int]],
    spans: list[Span],
    grid: str,
    plot: bool,
    strict: bool,
) -> list[Path]:
    from fewshot_sep import audio
    from songs import report
    from songs.report import Facts

    with audio.open_audio(song, strict=strict) as source:
        queries = clips + [_read_span(source, span) for span in spans]
        conditioning = separator.separator.condition(queries, source.sample_rate)
        facts = Facts(source.frames, source.sample_rate)
        facts.warnings += source.warnings
        form = (source.sample_rate, source.channels, source.frames)
        target, residual = folder / f"{name}.wav", folder / "residual.wav"
        with _new_folder(folder), _progress(song.name) as progress:
            with audio.AudioWriter(residual, *form) as rest, audio.AudioWriter(target, *form) as found:
                for target_block, residual_block in separator.stream(source, conditioning, grid, progress, facts):
                    found.write(target_block)
                    rest.write(residual_block)
            facts_of_song = facts.report(
                separator.settings(grid) | {"strict": strict},
                separator.separator.describe(),
                song=str(song),
                channels=source.channels,
                queries=[str(file) for file in files],
                **{"query passages (s)": [list(span) for span in spans]} if spans else {},
            )
            report.write(facts_of_song, folder / "report.json")
            written = [target, residual, folder / "report.json"]
            if plot:
                written.append(_draw(facts, source, target, residual, folder / "report.png"))
    for warning in facts_of_song["warnings"]:
        typer.echo(f"warning: {warning}", err=True)
    return written


def _draw(facts: Facts, source: AudioFile, target: Path, residual: Path, path: Path) -> Path:
    """Spectrograms of the passage where most was found: of the song, the target and what is left."""
    from fewshot_sep import audio
    from songs import report

    length = round(report.EXCERPT_SECONDS * source.sample_rate)
    start = max(min(facts.loudest() - length // 2, source.frames - length), 0)
    with audio.open_audio(target) as found, audio.open_audio(residual) as rest:
        files = {"mixture": source, "target": found, "residual": rest}
        excerpts = {title: file.read(start, start + length) for title, file in files.items()}
    report.draw(facts, excerpts, start / source.sample_rate, path)
    return path


@contextlib.contextmanager
def _new_folder(folder: Path) -> Iterator[None]:
    """Make the folder; where the work inside fails, remove again what was made, as far as it is empty."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be made ({error.strerror or error}); choose another folder with -o"
        ) from error
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            for path in missing:
                path.rmdir()
        raise


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
