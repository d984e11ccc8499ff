"""One song from its file to the files of its results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fewshot_sep import audio, files
from fewshot_sep.prompt import ByRole
from fewshot_sep.songs import beat_cache, figure, report
from fewshot_sep.songs.checkpoint import Partial
from fewshot_sep.songs.jobs import Job, Outputs, claimed
from fewshot_sep.songs.monitor import EXCERPT_SECONDS
from fewshot_sep.songs.pipeline import Elsewhere, Progress, SongRun, SongSeparator, part
from fewshot_sep.songs.queries import EncodedClip, Evidence, Span
from fewshot_sep.songs.settings import Clipping, Grid

WRITING_SHARE = 0.05  # of the progress bar
BLOCK_SECONDS = 10


class Options(NamedTuple):
    """How songs are separated, and results are written.

    Attributes:
        subtype: of the samples, as libsndfile names it; None for the format's usual one.
        bitrate: of mp3, in kbit/s.
        clip: what happens to samples beyond 1 where the format cannot hold them: "rescale", target and residual become
            quieter by the same factor; "clamp", they are cut off.
        strict: refuse damaged files.
        resume: resume where an interrupted run stopped, and leave what is there if this one is interrupted.
    """

    grid: Grid = "auto"
    residual_pass: bool = True
    subtype: str | None = None
    bitrate: int | None = None
    clip: Clipping = "rescale"
    plot: bool = False
    strict: bool = False
    resume: bool = False

    @property
    def output(self) -> dict[str, object]:
        """How results are written, for reports."""
        return {"subtype": self.subtype, "bitrate": self.bitrate, "clip": self.clip}


def finished(separator: SongSeparator, job: Job, options: Options) -> bool:
    """Whether the results of an earlier run are there: same song, evidence, options and weights."""
    report = job.report()
    wanted = {
        "settings": _settings(separator, options),
        "output": options.output,
        "model": _elsewhere(separator.separator.describe()),
    }
    report["model"] = _elsewhere(report["model"]) if isinstance(report.get("model"), dict) else None
    same = all(report.get(name) == value for name, value in wanted.items())
    return same and (job.outputs.picture.is_file() or not options.plot)


def _settings(separator: SongSeparator, options: Options) -> dict[str, object]:
    return {**separator.settings(options.grid, options.residual_pass), "strict": options.strict}


def _elsewhere(model: Mapping[str, object]) -> dict[str, object]:
    """A model whatever it runs on."""
    return {name: value for name, value in model.items() if name != "device"}


def separate_file(
    separator: SongSeparator,
    job: Job,
    evidence: Evidence,
    options: Options,
    progress: Progress | None,
    elsewhere: Elsewhere | None = None,
) -> tuple[list[Path], list[str]]:
    """Separate one song; all of its files are written, or none.

    Args:
        elsewhere: where the network runs, if not here.

    Returns:
        The files written, and lines to read: warnings, and the improvement that is to be expected.

    Raises:
        BadAudio, BadQuery, OutputError.
    """
    owner, model = job.owner, separator.separator
    with audio.open_audio(job.song, strict=options.strict) as source:
        audio.check_writable(job.outputs.target, source.sample_rate, source.channels, options.subtype, options.bitrate)
        clips = evidence.within(model, source)
        conditioning = model.combine(ByRole(*([clip.encoding for clip in role] for role in clips)))
        origin = beat_cache.fingerprint(owner["song"], separator.tracker, separator.meters)
        known = beat_cache.load(job.outputs.beats, origin, source.frames / source.sample_rate)
        run = SongRun(separator, source, conditioning, options.grid, options.residual_pass, known, elsewhere)
        run.monitor.warnings += [*source.warnings, *_remarks(clips)]
        fingerprint = {
            "song": owner["song"],
            "settings": _settings(separator, options),
            "model": model.describe(),
            "evidence": [[clip.digest for clip in role] for role in clips],
            "frames": source.frames,
        }
        facts = {"song": str(job.song), "digests": owner, "output": options.output, "channels": source.channels}
        facts |= report.evidence(clips)
        with claimed(job) as job:
            outputs = job.outputs
            with Partial(outputs.target, source.channels, fingerprint, keep=options.resume) as found:
                run.resume(found.read, found.frames)
                for target, _ in run.stems(part(progress, 0, 1 - WRITING_SHARE), start=found.frames):
                    found.write(target)
                later = part(progress, 1 - WRITING_SHARE, 1)
                said = _write(found, source, run, outputs, options, facts, later)
                if options.plot:
                    _draw(found, run, evidence.spans, outputs.picture)
            if run.monitor.beats is not None and run.monitor.beats is not known:
                files.write_json(outputs.beats, beat_cache.to_json(run.monitor.beats, origin))
    written = [outputs.target, outputs.residual, outputs.report, *([outputs.picture] if options.plot else [])]
    lines = [f"warning: {text}" for text in said["warnings"]]
    return written, [*lines, *([said["expectation"]] if said[report.IMPROVEMENT] else [])]


def _remarks(clips: ByRole[EncodedClip]) -> list[str]:
    """What the user should know of the evidence."""
    remarks = [f"{clip.name}: {remark}" for role in clips for clip in role for remark in clip.quality["remarks"]]
    if not clips.alone and not clips.absent:
        remarks.append(
            "all that is known of the instrument is where it plays with others: what is found may be any of them; "
            "say where it plays alone (--query, --query-at) or where it does not play (--not, --not-at)"
        )
    return remarks


def _write(
    found: Partial,
    source: audio.AudioFile,
    run: SongRun,
    outputs: Outputs,
    options: Options,
    facts: Mapping[str, object],
    progress: Progress | None,
) -> dict[str, Any]:
    """Target, residual and report into their files, which get their names when all are on the disk; the report.

    The same gain for both sounds, so that they still sum to the song but for it.
    """
    monitor = run.monitor
    form = (source.sample_rate, source.channels, source.frames, options.subtype, source.tags, options.bitrate)
    with (
        files.replacing(outputs.report) as draft,
        audio.AudioWriter(outputs.residual, *form) as residual,
        audio.AudioWriter(outputs.target, *form) as target,
    ):
        gain = 1.0
        if target.bounded and monitor.peak > 1:
            over = 20 * np.log10(monitor.peak)
            if options.clip == "rescale":
                gain = 1 / monitor.peak
                monitor.warnings.append(f"target and residual were made {over:.1f} dB quieter, so as not to clip")
            else:
                monitor.warnings.append(f"samples up to {over:.1f} dB beyond full scale were clipped")
        length = BLOCK_SECONDS * source.sample_rate
        for start in range(0, source.frames, length):
            stop = min(start + length, source.frames)
            block = found.read(start, stop)
            target.write(block * gain)
            residual.write((source.read(start, stop) - block) * gain)
            if progress:
                progress(stop / source.frames)
        monitor.warnings += target.warnings
        said = report.of(monitor, _settings(run.pipeline, options), run.pipeline.separator.describe(), **facts)
        files.put_text(draft, files.to_json(said))
    return said


def _draw(found: Partial, run: SongRun, marks: ByRole[Span], path: Path) -> None:
    """A figure with the passage in which most was found."""
    source, monitor = run.source, run.monitor
    length = round(EXCERPT_SECONDS * source.sample_rate)
    start = max(min(monitor.loudest() - length // 2, source.frames - length), 0)
    excerpt = (start, min(start + length, source.frames))
    figure.draw(monitor, source.read(*excerpt), found.read(*excerpt), start / source.sample_rate, path, marks)
