"""One song from its file to the files of its results."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewshot_sep import audio, files
from fewshot_sep.errors import OutputError
from fewshot_sep.songs import beat_cache, figure, report
from fewshot_sep.songs.checkpoint import Partial
from fewshot_sep.songs.jobs import Job, Outputs
from fewshot_sep.songs.monitor import EXCERPT_SECONDS, Monitor
from fewshot_sep.songs.pipeline import Progress, SongSeparator, part
from fewshot_sep.songs.queries import Clip, Span, examine, read_span

if TYPE_CHECKING:
    from fewshot_sep import Separator

WRITING_SHARE = 0.05  # of the progress bar
BLOCK_SECONDS = 10


class Options(NamedTuple):
    """How results are written.

    subtype: of the samples, as libsndfile names it; None for the format's usual one. clip: what happens to samples
    beyond 1 where the format cannot hold them: "rescale", target and residual are made softer alike; "clamp", they are
    cut off. resume: go on where an interrupted run stopped, and
    leave what is there if this one is.
    """

    grid: str = "auto"
    subtype: str | None = None
    clip: str = "rescale"
    plot: bool = False
    strict: bool = False
    resume: bool = False
    residual_pass: bool = True


class Queries(NamedTuple):
    """Clips with the files they are from, and passages of each song itself in seconds; clips of what is not wanted."""

    files: Sequence[Path]
    clips: Sequence[Clip]
    spans: Sequence[Span]
    unlike_files: Sequence[Path] = ()
    unlike: Sequence[Clip] = ()


def separate_file(
    separator: SongSeparator, job: Job, queries: Queries, options: Options, progress: Progress | None
) -> tuple[list[Path], list[str]]:
    """Take one song apart; all of its files are written, or none.

    Returns:
        The files written, and warnings.

    Raises:
        BadAudio, BadQuery, OutputError.
    """
    outputs = job.outputs
    with audio.open_audio(job.song, strict=options.strict) as source:
        clips = [*queries.clips, *(read_span(source, span) for span in queries.spans)]
        monitor = Monitor(source.frames, source.sample_rate)
        within = source if options.residual_pass else None
        with monitor.stage("total"), monitor.stage("conditioning"):
            conditioning = separator.separator.condition(clips, source.sample_rate, queries.unlike, within)
        monitor.warnings += source.warnings
        quality = _examine(separator.separator, queries, clips, monitor)
        settings = separator.settings(options.grid) | {"strict": options.strict, "residual_pass": options.residual_pass}
        model = separator.separator.describe()
        origin = beat_cache.fingerprint(job.song, separator.tracker, separator.meters)
        given = {"files": [str(file) for file in queries.files], "passages": [list(span) for span in queries.spans]}
        digests = [[_digest(*clip) for clip in some] for some in (clips, queries.unlike)]
        fingerprint = {
            "song": origin,
            "settings": settings,
            "model": model,
            "queries": digests,
            "frames": source.frames,
        }
        with _new_folder(outputs.target.parent):
            with Partial(outputs.target, source.channels, fingerprint, keep=options.resume) as found:
                known = beat_cache.load(outputs.beats, origin)
                _replay(found, source, monitor)
                blocks = separator.stream(
                    source,
                    conditioning,
                    options.grid,
                    part(progress, 0, 1 - WRITING_SHARE),
                    monitor,
                    known=known,
                    start=found.frames,
                )
                for target, _ in blocks:
                    found.write(target)
                _write(found, source, monitor, outputs, options, part(progress, 1 - WRITING_SHARE, 1))
            content = report.of(
                monitor,
                settings,
                model,
                song=str(job.song),
                channels=source.channels,
                queries=given["files"],
                **{"query passages (s)": given["passages"]} if queries.spans else {},
                **{"not": [str(file) for file in queries.unlike_files]} if queries.unlike else {},
                **{"query quality": quality},
            )
            files.write_json(outputs.report, content)
            if monitor.beats is not None and monitor.beats is not known:
                files.write_json(outputs.beats, beat_cache.to_json(monitor.beats, origin))
            written = [outputs.target, outputs.residual, outputs.report]
            if options.plot:
                written.append(_draw(monitor, source, outputs))
    return written, content["warnings"]


def _digest(samples: NDArray[np.float32], sample_rate: int) -> str:
    return hashlib.sha256(samples.tobytes() + str(sample_rate).encode()).hexdigest()


def _examine(separator: Separator, queries: Queries, clips: Sequence[Clip], monitor: Monitor) -> list[dict[str, Any]]:
    names = [str(file) for file in queries.files] + [f"passage {a:g}-{b:g} s" for a, b in queries.spans]
    found = []
    for name, (samples, rate) in zip(names, clips, strict=True):
        quality = examine(samples, rate, separator.polyphony_logit(samples, rate))
        found.append({"query": name, **quality})
        monitor.warnings += [f"{name}: {remark}" for remark in quality["remarks"]]
    return found


def _replay(found: Partial, source: audio.AudioFile, monitor: Monitor) -> None:
    """Tell the monitor of what an earlier run has found."""
    for start, stop in _blocks(found.frames, source.sample_rate):
        monitor.add_block(found.read(start, stop), source.read(start, stop))


def _write(
    found: Partial,
    source: audio.AudioFile,
    monitor: Monitor,
    outputs: Outputs,
    options: Options,
    progress: Progress | None,
) -> None:
    """Target and residual into their files; the same gain for both, so that they still sum to the song but for it."""
    form = (source.sample_rate, source.channels, source.frames, options.subtype, source.tags)
    with audio.AudioWriter(outputs.residual, *form) as rest, audio.AudioWriter(outputs.target, *form) as target:
        gain = 1.0
        if target.bounded and monitor.peak > 1:
            over = 20 * np.log10(monitor.peak)
            if options.clip == "rescale":
                gain = 1 / monitor.peak
                monitor.warnings.append(f"target and residual were made {over:.1f} dB softer, so as not to clip")
            else:
                monitor.warnings.append(f"samples up to {over:.1f} dB beyond full scale were clipped")
        for start, stop in _blocks(source.frames, source.sample_rate):
            block = found.read(start, stop)
            target.write(block * gain)
            rest.write((source.read(start, stop) - block) * gain)
            if progress:
                progress(stop / source.frames)


def _blocks(frames: int, sample_rate: int) -> Iterator[tuple[int, int]]:
    length = BLOCK_SECONDS * sample_rate
    for start in range(0, frames, length):
        yield start, min(start + length, frames)


def _draw(monitor: Monitor, source: audio.AudioFile, outputs: Outputs) -> Path:
    """Spectrograms of the passage where most was found: of the song, the target and what is left."""
    length = round(EXCERPT_SECONDS * source.sample_rate)
    start = max(min(monitor.loudest() - length // 2, source.frames - length), 0)
    with audio.open_audio(outputs.target) as found, audio.open_audio(outputs.residual) as rest:
        files = {"mixture": source, "target": found, "residual": rest}
        excerpts = {title: file.read(start, start + length) for title, file in files.items()}
    figure.draw(monitor, excerpts, start / source.sample_rate, outputs.picture)
    return outputs.picture


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
