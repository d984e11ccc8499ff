"""From a song to its stems: conditioning, bars, a common tempo for the network, blocks of target and residual.

`SongSeparator` holds what is chosen once for all songs; `SongRun` is one song on its way, from an array or a file.

Tempo "hop" brings each bar to the common tempo by the hop of the STFT: no sound is stretched. "mask" stretches the bar
for the network and takes what it finds back as a mask on the song's own spectrogram. "audio" stretches the found sound
back itself (the thesis). "none" leaves the tempo alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from fewshot_sep import audio, beats, prediction, stretch
from fewshot_sep.beats import Beats
from fewshot_sep.overlap_add import Span, chunks_of, crossfade, needed
from fewshot_sep.prompt import Prompt, Query
from fewshot_sep.separator import Conditioning, Separator
from fewshot_sep.songs import report
from fewshot_sep.songs.grid import BarGrid, bar_grid, no_grid
from fewshot_sep.songs.monitor import Monitor
from fewshot_sep.songs.settings import MAX_METER, METERS, MIN_METER, Tempo
from fewshot_sep.songs.tempo import MAX_SCALE, carry_mask, pieces

Array = NDArray[np.float32]
Progress = Callable[[float], None]

TEMPOS = get_args(Tempo)
FADE_SECONDS = 0.1  # at most; never more than the context
USUAL_METER = 4  # beats of a bar that the network sees at once, even if its segment is shorter
TRACKING_SHARE = 0.1  # of the progress bar
REPLAYED = 1 << 20  # frames of an earlier run at a time


@dataclass(frozen=True)
class SongResult:
    """Target and residual, shaped like the song and summing to it, and the report as in `<name>.report.json`."""

    target: Array
    residual: Array
    sample_rate: int
    report: dict[str, Any]


class Piece(NamedTuple):
    """What the network sees at once: sound `(channels, n)` at a rate, and how many times as long it is to last."""

    mixture: Array
    sample_rate: int
    time_scale: float


Work = Callable[["SongSeparator", Any], Array]
Elsewhere = Callable[[Work, Iterable[Any], int], Iterator[Array]]
"""What some work, which can be pickled, makes of each thing, in order; so many are sent at once."""
AT_ONCE = 8
"""Pieces of a song: they take a core a second or two, and are some megabytes to send."""


class SongSeparator:
    """Separates whole songs, bar by bar, with any `Separator`.

    Args:
        tracker: of beats, see `fewshot_sep.beats`.
        engine: for the tempos that stretch, see `fewshot_sep.stretch`.
        tempo: "hop", "mask", "audio" or "none".
        meters: beats that a bar may have.
        context: seconds around each bar, in the common tempo, that the network sees too; bars are crossfaded within it.
            The preset's if None.

    Raises:
        EngineMissing: a tracker or engine that is not installed.
        ValueError: other arguments that cannot be used.
    """

    def __init__(
        self,
        separator: Separator,
        *,
        tracker: str = "auto",
        engine: str = "auto",
        tempo: str = "hop",
        meters: tuple[int, ...] = METERS,
        context: float | None = None,
    ) -> None:
        if tempo not in TEMPOS:
            raise ValueError(f"tempo {tempo!r}: choose {', '.join(TEMPOS)}")
        if not meters or not all(MIN_METER <= meter <= MAX_METER for meter in meters):
            raise ValueError(f"meters {meters}: give numbers of beats from {MIN_METER} to {MAX_METER}")
        self.separator = separator
        self.tracker = beats.resolve(tracker)
        self.tempo = tempo
        self.engine = stretch.resolve(engine) if tempo in ("mask", "audio") or engine != "auto" else ""
        self.meters = meters
        self.context = separator.preset.context if context is None else context

    def settings(self, grid: str, residual_pass: bool) -> dict[str, object]:
        """What was chosen, for reports."""
        return {
            "grid": grid,
            "tracker": self.tracker,
            "stretcher": self.engine,
            "tempo": self.tempo,
            "meters": list(self.meters),
            "residual_pass": residual_pass,
        }

    def separate(
        self,
        song: Array,
        prompt: Prompt | Sequence[Query],
        sample_rate: int,
        grid: str = "auto",
        *,
        unlike: Sequence[Query] = (),
        residual_pass: bool = True,
        known: Beats | None = None,
        progress: Progress | None = None,
    ) -> SongResult:
        """Separate a song held in memory.

        Args:
            song: `(channels, samples)` or `(samples,)`, one or two channels.
            prompt, unlike, residual_pass, progress: as in `Separator.separate`.
            grid: where to cut: "auto", "downbeat", "beat" or "none", see `fewshot_sep.songs.grid`.
            known: beats found earlier, so that they need not be tracked.

        Raises:
            BadAudio, BadQuery.
        """
        source = audio.ArraySource(song, sample_rate, "the song")
        conditioning = self.separator.condition(prompt, sample_rate, unlike)
        run = SongRun(self, source, conditioning, grid, residual_pass, known)
        target, residual = (np.concatenate(blocks, axis=1) for blocks in zip(*run.stems(progress), strict=True))
        content = report.of(run.monitor, self.settings(grid, residual_pass), self.separator.describe())
        return SongResult(target, residual, sample_rate, content)

    def estimate(
        self,
        piece: Piece,
        conditioning: Conditioning,
        stage: Callable[[str], contextlib.AbstractContextManager[object]] = contextlib.nullcontext,
    ) -> Array:
        """The target in a piece, shaped like its mixture; what takes its time is done in a `stage` of that name."""
        mixture, rate, scale = piece
        if not mixture.any():
            return np.zeros_like(mixture)
        if scale == 1 or self.tempo == "hop":
            with stage("network"):
                return self.separator.estimate(mixture, conditioning, rate, time_scale=scale)
        with stage("stretching"):
            stretched = stretch.stretch(mixture, max(round(mixture.shape[1] * scale), 1), rate, self.engine)
        with stage("network"):
            found = self.separator.estimate(stretched, conditioning, rate)
        if self.tempo == "audio":
            with stage("stretching"):
                return stretch.stretch(found, mixture.shape[1], rate, self.engine)
        with stage("masking"):
            return carry_mask(mixture, stretched, found, rate)

    def activations(self, mono: Array) -> Array:
        """What the beat tracker finds, see `fewshot_sep.beats.activations.Tracker`."""
        return beats.TRACKERS[self.tracker](mono)


@dataclass
class SongRun:
    """One song from the conditioning to its stems.

    Attributes:
        conditioning: of the queries.
        residual_pass: whether what else plays in the song is suppressed too, see `Separator.condition`.
        known: beats found earlier.
        elsewhere: where networks run; None: here.
        monitor: what has happened so far.
    """

    pipeline: SongSeparator
    source: audio.Source
    conditioning: Conditioning
    grid: str = "auto"
    residual_pass: bool = True
    known: Beats | None = None
    elsewhere: Elsewhere | None = None
    monitor: Monitor = field(init=False)

    def __post_init__(self) -> None:
        self.monitor = Monitor(self.source.frames, self.source.sample_rate)

    def resume(self, read: Callable[[int, int], Array], frames: int) -> None:
        """Note what an earlier run has found: `read(start, stop)` of the target, of which so many samples are there."""
        for start in range(0, frames, REPLAYED):
            stop = min(start + REPLAYED, frames)
            self.monitor.add_block(read(start, stop), self.source.read(start, stop))

    def stems(self, progress: Progress | None = None, start: int = 0) -> Iterator[tuple[Array, Array]]:
        """Blocks `(channels, n)` of target and residual, in order, that cover the song exactly, in bounded memory.

        Args:
            start: only what is from this sample on; the same samples as without it.
        """
        with self.monitor.stage("total"):
            conditioning = self.conditioning
            if self.residual_pass:
                with self.monitor.stage("conditioning"):
                    conditioning = self._with_residual(conditioning)
            with self.monitor.stage("tracking"):
                grid = self._bars(part(progress, 0, TRACKING_SHARE))
            self.monitor.set_grid(grid)
            later = part(progress, 0 if self.grid == "none" else TRACKING_SHARE, 1)
            position = start
            for target in self._targets(conditioning, grid, later, start):
                mixture = self.source.read(position, position + target.shape[1])
                position += target.shape[1]
                self.monitor.add_block(target, mixture)
                yield target, mixture - target
            with self.monitor.stage("prediction"):
                self.monitor.prediction = prediction.predict(
                    self.pipeline.separator, conditioning, self.monitor.samples, self.monitor.level_db
                )
            if progress:
                progress(1.0)

    def _with_residual(self, conditioning: Conditioning) -> Conditioning:
        work, rate = partial(SongSeparator.estimate, conditioning=conditioning), self.source.sample_rate
        return self.pipeline.separator.add_residual(
            conditioning, self.source, lambda parts: self._each(work, (Piece(part, rate, 1.0) for part in parts))
        )

    def _each(self, work: Work, things: Iterable[Any], at_once: int = 1) -> Iterator[Array]:
        """What `work` makes of each, here or elsewhere."""
        if self.elsewhere:
            return self.elsewhere(work, things, at_once)
        return (work(self.pipeline, thing) for thing in things)

    def _bars(self, progress: Progress | None) -> BarGrid:
        source = self.source
        if self.grid == "none":
            return no_grid(source.frames, source.sample_rate)
        tracker, meters = self.pipeline.tracker, self.pipeline.meters
        self.monitor.beats = self.known or beats.track(
            source,
            tracker=tracker,
            meters=meters,
            progress=progress,
            activations_of=lambda monos: self._each(SongSeparator.activations, monos),
        )
        return bar_grid(self.monitor.beats, source.frames, source.sample_rate, self.grid)

    def _targets(
        self, conditioning: Conditioning, grid: BarGrid, progress: Progress | None, start: int
    ) -> Iterator[Array]:
        spans, fade = self._spans(grid)
        chosen, rate = needed(list(spans), start), self.source.sample_rate
        mixtures = (Piece(self.source.read(span.offset, span.end), rate, spans[span]) for span in chosen)
        if self.elsewhere:
            work = partial(SongSeparator.estimate, conditioning=conditioning)
            found = self.monitor.timed("network", self.elsewhere(work, mixtures, AT_ONCE))
        else:
            found = (self.pipeline.estimate(piece, conditioning, self.monitor.stage) for piece in mixtures)

        return crossfade(chunks_of(chosen, found, progress), fade, start)

    def _spans(self, grid: BarGrid) -> tuple[dict[Span, float], int]:
        """What the network sees at once, with its time scale, and how far crossfades reach."""
        frames, rate, pipeline = self.source.frames, self.source.sample_rate, self.pipeline
        if grid.kind == "none":
            spans, fade = pipeline.separator.spans(frames, rate)
            return dict.fromkeys(spans, 1.0), fade
        preset = pipeline.separator.preset
        fits = max(preset.segment / preset.sample_rate - 2 * pipeline.context, USUAL_METER * preset.beat)
        beat = None if pipeline.tempo == "none" else preset.beat
        found = {}
        # A bar made longer costs more, which is worth it only to a network that knows but one tempo.
        for bar, scale in pieces(grid, beat, fits, 1.0 if preset.predicts_mask else MAX_SCALE):
            context = round(pipeline.context / scale * rate)
            found[Span(bar.start, bar.stop, max(bar.start - context, 0), min(bar.stop + context, frames))] = scale
        return found, round(min(FADE_SECONDS, pipeline.context) * rate)


def part(progress: Progress | None, start: float, stop: float) -> Progress | None:
    """What a stage reports its share to, when it is `start` to `stop` of the whole."""
    return (lambda share: progress(start + (stop - start) * share)) if progress else None
