"""The command `fewshot-sep separate`."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewshot_sep.cli import debugging, progress, say
from fewshot_sep.errors import BadAudio, FewshotSepError, explain
from fewshot_sep.songs.jobs import TEMPLATE, Job, check_template, evidence_digest, jobs
from fewshot_sep.songs.settings import MAX_METER, METERS, MIN_METER, SUBTYPES, Clipping, Format, Grid, Tempo

if TYPE_CHECKING:
    from fewshot_sep.songs.batch import Batch

CLIPS = "CLIP|FOLDER"
evidence, output, bars, advanced = (
    partial(typer.Option, rich_help_panel=panel) for panel in ("Evidence", "Output", "Bars", "Advanced")
)


def separate(
    songs: Annotated[
        list[Path],
        typer.Argument(
            metavar="SONG", help="Songs to separate, or folders of them and all folders within.", show_default=False
        ),
    ],
    *,
    query: Annotated[
        list[Path] | None,
        evidence("--query", "-q", metavar=CLIPS, help="It plays alone in this clip, of any song: -q guitar.wav."),
    ] = None,
    query_at: Annotated[
        list[str] | None, evidence(metavar="FROM-TO", help="It plays alone here in the song: --query-at 0:12-0:18.")
    ] = None,
    among: Annotated[
        list[Path] | None,
        evidence("--with", metavar=CLIPS, help="It plays in this clip, with others: --with chorus.wav."),
    ] = None,
    among_at: Annotated[
        list[str] | None,
        evidence("--with-at", metavar="FROM-TO", help="It plays here in the song, with others: --with-at 0:30-0:50."),
    ] = None,
    absent: Annotated[
        list[Path] | None,
        evidence("--not", metavar=CLIPS, help="It does not play in this clip: --not vocals.wav."),
    ] = None,
    absent_at: Annotated[
        list[str] | None,
        evidence("--not-at", metavar="FROM-TO", help="It does not play here in the song: --not-at 1:05-1:15."),
    ] = None,
    session: Annotated[
        Path | None,
        evidence(
            metavar="FILE", help="Repeat what was saved on the page of fewshot-sep app; instead of other evidence."
        ),
    ] = None,
    residual_pass: Annotated[
        bool, evidence(help="Separate passages of the song first, and suppress what else plays in it.")
    ] = True,
    contrast: Annotated[bool | None, typer.Option("--contrast/--no-contrast", hidden=True)] = None,
    out: Annotated[Path, output("--out", "-o", metavar="DIR", help="Folder for the results: one folder per song.")],
    name: Annotated[
        str | None, output(help="Name of the target's file; else that of the first --query, or target.")
    ] = None,
    format: Annotated[Format, output(help="Of target and residual.")] = "wav",
    bits: Annotated[
        int | None, output(help="Per sample: 16, 24 or (wav) 32, which is float and the usual there.")
    ] = None,
    bitrate: Annotated[int | None, output(min=8, max=320, metavar="KBIT/S", help="Of mp3; 256 if not given.")] = None,
    clip: Annotated[
        Clipping, output(help="Samples that the format cannot hold: rescale makes all quieter, clamp cuts them off.")
    ] = "rescale",
    template: Annotated[str, output(help="Names of the results in DIR, without the ending.")] = TEMPLATE,
    skip_existing: Annotated[
        bool,
        output("--skip-existing", help="Leave out songs whose results, with this evidence and options, are there."),
    ] = False,
    resume: Annotated[
        bool,
        output("--resume", help="Resume where an interrupted run stopped, finished songs left out; keep what is done."),
    ] = False,
    plot: Annotated[bool, output("--plot", help="Draw <name>.report.png as well.")] = False,
    grid: Annotated[
        Grid, bars(help="Where to cut: at downbeats, every few beats, or nowhere; auto: at credible downbeats.")
    ] = "auto",
    tracker: Annotated[str, bars(help="Beat tracker: auto, madmom (non-commercial) or librosa.")] = "auto",
    meter: Annotated[
        list[int] | None,
        bars(min=MIN_METER, max=MAX_METER, help="Beats in a bar; 3 or 4 if not given. Repeat it to leave a choice."),
    ] = None,
    tempo: Annotated[
        Tempo,
        bars(
            help="How bars get a common tempo: by the hop of the STFT, by stretching (the result comes back as a "
            "mask, or as audio), or not at all."
        ),
    ] = "hop",
    stretcher: Annotated[
        str, bars(help="For --tempo mask and audio: auto, signalsmith, rubberband or pylibrb.")
    ] = "auto",
    strict: Annotated[bool, advanced("--strict", help="Refuse damaged or truncated files.")] = False,
    device: Annotated[str, advanced(help="Where the network runs: auto, cpu or cuda.")] = "auto",
    weights: Annotated[
        Path | None, advanced(metavar="FILE", help="Other weights than the bundled ones; or USER/MODEL in a hub.")
    ] = None,
    at_once: Annotated[
        int | None, advanced("--jobs", min=1, help="Songs at a time, each in a process of its own.", show_default=False)
    ] = None,
    cluster: Annotated[
        str | None, advanced(metavar="auto|ADDRESS", help="Ray cluster whose machines separate the songs.")
    ] = None,
) -> None:
    """Separate an instrument from songs, given evidence of it: clips, or marks in the song.

    Show where it plays alone (--query), where it plays with others (--with), where it does not play (--not): by clips,
    or by marks in the song in minutes:seconds (--query-at, --with-at, --not-at). Give any of them, as often as you
    like, but at least one of the first two. Where the instrument never plays alone, --with and --not together do.

    Writes DIR/<song>/<name>.wav, <name>.residual.wav and <name>.report.json. Target and residual sum to the song.
    What is there of another song or other evidence is kept: the new files get a number.

    Example:
      fewshot-sep separate song.mp3 --query guitar.wav -o out
      fewshot-sep separate song.mp3 --with-at 0:30-0:50 --not-at 1:05-1:15 --name guitar -o out
      fewshot-sep separate song.mp3 --query-at 0:12-0:18 --not vocals.wav --name guitar -o out --plot
    """
    from fewshot_sep.prompt import ROLES, ByRole
    from fewshot_sep.songs.queries import check_spans, parse_span
    from fewshot_sep.stores import as_url

    checked = check_template(template)
    if session is not None:
        if any((query, query_at, among, among_at, absent, absent_at)) or len(songs) != 1 or songs[0].is_dir():
            raise typer.BadParameter("goes with one song, and with no other evidence", param_hint="--session")
        if as_url(songs[0]) or as_url(out):
            raise typer.BadParameter("goes with files and folders here, not in a store", param_hint="--session")
        _repeat(songs[0], session, out, format, bits, checked, tracker, device, weights, strict, skip_existing)
        return
    spans = ByRole(*([parse_span(text) for text in given or []] for given in (query_at, among_at, absent_at)))
    if not (query or among or spans.alone or spans.among):
        raise typer.BadParameter(
            "give at least one of --query, --query-at, --with, --with-at", param_hint="the instrument"
        )
    check_spans(spans)
    name = _target_name(name, query or [])
    subtype = _subtype(format, bits)
    if bitrate and format != "mp3":
        raise typer.BadParameter(f"goes with --format mp3, not {format}", param_hint="--bitrate")
    files = (query or [], among or [], absent or [])
    by_role: dict[str, list[Path | tuple[float, float]]] = {
        role: [*clips, *marks] for role, clips, marks in zip(ROLES, files, spans, strict=True)
    }
    told = evidence_digest(by_role)

    from fewshot_sep.songs import remote
    from fewshot_sep.songs.batch import Batch
    from fewshot_sep.songs.separate_file import Options

    residual_pass = residual_pass if contrast is None else contrast
    skip = skip_existing or resume
    options = Options(grid, residual_pass, subtype, bitrate, clip, plot, strict, resume)
    chosen = (weights, device, tracker, stretcher, tempo, tuple(sorted(set(meter))) if meter else METERS)
    store, carrier, before = as_url(out), None, 0
    if store is None:
        remote.refuse_urls(songs)
        work = jobs(songs, out, name, f".{format}", checked, told)
        _check_there(work)
    else:
        settings = (options._replace(resume=False), _which(weights), *chosen[1:])
        work, carrier, done = remote.plan(songs, store, name, f".{format}", checked, told, settings, skip)
        before = len(done)
        for song in done:
            say(f"{song}: done before, left out", err=True)
        if not work:
            return
    batch = Batch(work, ByRole(*files), spans, options, *chosen, skip, carrier)
    if cluster or carrier or (at_once or 1) > 1:
        _spread(batch, before, at_once, cluster)
        return
    opened = batch.open()
    _each(work, opened.one, lambda job: batch.skip and opened.done(job), resume)


def _spread(batch: Batch, before: int, at_once: int | None, cluster: str | None) -> None:
    """Run the jobs on several workers and print what they wrote, as they end; so many songs were done `before`."""
    from fewshot_sep.songs.batch import outcomes
    from fewshot_sep.workers import Actors, Pool, Processes

    failed, count = [], len(batch.work) + before
    pool: Pool
    if cluster:
        pool = Actors(batch.open, cluster, at_once, gpus=not batch.device.startswith("cpu"))
    else:
        pool = Processes(batch.open, batch.employs(at_once or 1))
    try:
        found_all = outcomes(batch, pool, lambda number: progress(batch.title(number)))
        for ended, (number, found) in enumerate(found_all, before + 1):
            song = batch.title(number)
            if found.error:
                say(f"error: {' '.join(found.error.split())}", err=True)
                if count == 1:
                    raise typer.Exit(found.exit_code)
                failed.append(song)
            elif found.done_before:
                say(f"{song}: done before, left out", err=True)
            _tell(found.written, found.said)
            say(f"{ended}/{count} songs", err=True)
    except KeyboardInterrupt:
        say("interrupted; the songs that are done are kept: the same command with --resume goes on", err=True)
        raise
    finally:
        pool.close()
        if batch.remote:
            batch.remote.close()
    _sum_up(failed, count)


def _which(weights: Path | None) -> str:
    """The weights' digest, or their name in a hub."""
    from fewshot_sep import hub
    from fewshot_sep import weights as stored

    if weights is not None and hub.is_name(weights.as_posix()):
        return weights.as_posix()
    return stored.sha256(weights or stored.bundled())


def _check_there(work: list[Job]) -> None:
    """Raise BadAudio, before anything is loaded, where no song is there."""
    if not any(job.song.exists() for job in work):
        raise BadAudio(f"{work[0].song}: no such file")


def _repeat(
    song: Path,
    session: Path,
    out: Path,
    format: Format,
    bits: int | None,
    template: str,
    tracker: str,
    device: str,
    weights: Path | None,
    strict: bool,
    skip_existing: bool,
) -> None:
    """Do once more what was decided on the page."""
    depth = bits or {"wav": 32, "flac": 24}.get(format, 0)
    _subtype(format, depth)

    from fewshot_sep.separator import Separator
    from fewshot_sep.songs.app.repeat import repeat
    from fewshot_sep.songs.app.session import REST
    from fewshot_sep.songs.pipeline import SongSeparator

    separator = SongSeparator(Separator.from_pretrained(weights, device=device), tracker=tracker)
    _each(
        jobs([song], out, REST, f".{format}", template, evidence_digest({"session": [session]})),
        lambda job, progress: repeat(separator, job, session, format, depth, progress, strict=strict),
        lambda job: skip_existing and job.outputs.report.is_file() and job.outputs.target.is_file(),
        resume=None,
    )


def _each(
    work: list[Job],
    separate_one: Callable[[Job, Callable[[float], None]], tuple[list[Path], list[str]]],
    done: Callable[[Job], bool],
    resume: bool | None,
) -> None:
    """Run the jobs and print what they wrote; of several, one that fails does not stop the others."""
    failed = []
    for number, job in enumerate(work, 1):
        title = job.song.name if len(work) == 1 else f"{number}/{len(work)} {job.song.name}"
        try:
            if done(job):
                say(f"{job.song}: done before, left out", err=True)
                continue
            with progress(title) as tell:
                written, lines = separate_one(job, tell)
        except KeyboardInterrupt:
            kept = "what is done is kept" if resume else f"{number - 1} of {len(work)} songs are done"
            then = "" if resume is None else f"; {kept}: the same command with --resume goes on"
            say(f"interrupted{then}", err=True)
            raise
        except Exception as error:
            if len(work) == 1:
                raise
            said = str(error) if isinstance(error, FewshotSepError) else f"{job.song}: {explain(error)}"
            say(f"error: {' '.join(said.split())}", err=True)
            if debugging():
                traceback.print_exc()
            failed.append(str(job.song))
            continue
        _tell(written, lines)
    _sum_up(failed, len(work))


def _tell(written: Iterable[Path | str], lines: Iterable[str]) -> None:
    for line in lines:
        say(line, err=True)
    for path in written:
        say(path)


def _sum_up(failed: list[str], count: int) -> None:
    if failed:
        say(f"{len(failed)} of {count} songs failed: {', '.join(failed)}", err=True)
        raise typer.Exit(1)


def _subtype(format: Format, bits: int | None) -> str | None:
    if bits is None:
        return None
    if (format, bits) not in SUBTYPES:
        choices = ", ".join(str(n) for f, n in SUBTYPES if f == format) or "none: it has no bits per sample"
        raise typer.BadParameter(f"{bits} bits do not go with {format}; choices: {choices}", param_hint="--bits")
    return SUBTYPES[format, bits]


def _target_name(name: str | None, queries: list[Path]) -> str:
    chosen = name if name is not None else (queries[0].resolve().stem if queries else "target")
    if not chosen or chosen in (".", "..") or any(mark in chosen for mark in "/\\\0"):
        raise typer.BadParameter(f"{chosen!r} cannot be a file's name", param_hint="--name")
    if chosen.casefold() in ("residual", "report", "beats"):
        raise typer.BadParameter(f"{chosen!r} is the name of another result: choose another", param_hint="--name")
    return chosen
