"""A whole song: bars, a common tempo for the network, the mask back in the song's own tempo, and the boundaries.

In `tempo` mode "hop" the network hears each bar at 120 BPM because the hop of its STFT is chosen for the bar: no sound
is stretched. "mask" stretches the bar for the network and takes what it finds back as a mask on the song's own
spectrogram; "audio" stretches the found sound back itself (the thesis); "none" leaves the tempo alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_sep import audio, beats, stretch
from fewshot_sep.beats import Beats
from fewshot_sep.overlap_add import Chunk, crossfade, first_needed
from fewshot_sep.separator import Conditioning, Query, Separator
from fewshot_sep.songs import report
from fewshot_sep.songs.grid import UNSURE, BarGrid, Slice, bar_grid, no_grid
from fewshot_sep.songs.monitor import Monitor

Array = NDArray[np.float32]
Progress = Callable[[float], None]

STRETCHING = ("mask", "audio")
TEMPOS = ("hop", *STRETCHING, "none")
FADE_SECONDS = 0.1  # at most; never more than the context
METERS = (3, 4)
MIN_METER, MAX_METER = 2, 8
MIN_RATIO, MAX_RATIO = 0.7, 1.42
NEAR_ENOUGH = 0.01  # a tempo this close to the common one is left alone
TRACKING_SHARE = 0.1  # of the progress bar
MASK_FLOOR = 1e-8  # power of a cell that holds nothing, in the spectrum of sound whose peak is 1


@dataclass(frozen=True)
class SongResult:
    """Target and residual, shaped like the song and summing to it, and the report as in report.json."""

    target: Array
    residual: Array
    sample_rate: int
    report: dict[str, Any]


class SongSeparator:
    """Takes whole songs apart, bar by bar, with any `Separator`.

    tracker, engine: see `fewshot_sep.beats` and `fewshot_sep.stretch`; the engine is for the tempo modes that stretch.
    tempo: "hop", "mask", "audio" or "none". meters: beats that a bar may have. context: seconds of sound around each
    bar, in the common tempo, that the network hears too, the preset's if None; bars are crossfaded within it.
    Raises EngineMissing for a tracker or engine that is not installed, ValueError for other arguments it cannot use.
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
        self.engine = stretch.resolve(engine) if tempo in STRETCHING or engine != "auto" else ""
        self.meters = meters
        self.context = separator.preset.context if context is None else context
        self.beat = separator.preset.beat

    def separate(
        self,
        song: Array,
        queries: Sequence[Query],
        sample_rate: int,
        grid: str = "auto",
        progress: Progress | None = None,
        known: Beats | None = None,
        unlike: Sequence[Query] = (),
        residual_pass: bool = True,
    ) -> SongResult:
        """Separate a song held in memory. Shape: (channels, samples); queries: arrays or (array, rate) pairs.

        known: beats found earlier, so that they need not be tracked. unlike: clips of what the target is not; residual_pass:
        what else plays in the song is held back too; see `Separator.condition`. Raises BadAudio and BadQuery.
        """
        source = audio.ArraySource(audio.validate(song, "the song"), sample_rate)
        monitor = Monitor(source.frames, sample_rate)
        with monitor.stage("total"), monitor.stage("conditioning"):
            conditioning = self.separator.condition(queries, sample_rate, unlike, source if residual_pass else None)
        parts = list(self.stream(source, conditioning, grid, progress, monitor, known=known))
        target, residual = (np.concatenate(blocks, axis=1) for blocks in zip(*parts, strict=True))
        settings = self.settings(grid) | {"residual_pass": residual_pass}
        return SongResult(target, residual, sample_rate, report.of(monitor, settings, self.separator.describe()))

    def settings(self, grid: str) -> dict[str, Any]:
        """What was chosen, for the report."""
        return {
            "grid": grid,
            "tracker": self.tracker,
            "stretcher": self.engine,
            "tempo": self.tempo,
            "meters": list(self.meters),
        }

    def stream(
        self,
        source: audio.Source,
        conditioning: Conditioning,
        grid: str = "auto",
        progress: Progress | None = None,
        monitor: Monitor | None = None,
        *,
        known: Beats | None = None,
        start: int = 0,
    ) -> Iterator[tuple[Array, Array]]:
        """Blocks of (target, residual), in order, that cover the source exactly, in bounded memory.

        known: beats found earlier, so that they need not be tracked. start: only what is from this sample on; the same
        samples as without it.
        """
        monitor = monitor or Monitor(source.frames, source.sample_rate)
        with monitor.stage("total"):
            with monitor.stage("tracking"):
                bars = self.grid(source, grid, part(progress, 0, TRACKING_SHARE), known, monitor)
            monitor.set_grid(bars)
            later = part(progress, 0 if grid == "none" else TRACKING_SHARE, 1)
            if bars.kind == "none":
                targets = monitor.timed("network", self.separator.stream(source, conditioning, later, start=start))
            else:
                fade = round(min(FADE_SECONDS, self.context) * source.sample_rate)
                targets = crossfade(self._chunks(source, conditioning, bars, monitor, later, start), fade, start)
            position = start
            for target in targets:
                mixture = source.read(position, position + target.shape[1])
                position += target.shape[1]
                monitor.add_block(target, mixture)
                yield target, mixture - target
            if progress:
                progress(1.0)

    def grid(
        self,
        source: audio.Source,
        kind: str = "auto",
        progress: Progress | None = None,
        known: Beats | None = None,
        monitor: Monitor | None = None,
    ) -> BarGrid:
        """The bar grid of a song; see `fewshot_sep.songs.grid.bar_grid`."""
        if kind == "none":
            return no_grid(source.frames, source.sample_rate)
        found = known or beats.track(source, tracker=self.tracker, meters=self.meters, progress=progress)
        if monitor:
            monitor.beats = found
        return bar_grid(found, source.frames, source.sample_rate, kind)

    def _chunks(
        self,
        source: audio.Source,
        conditioning: Conditioning,
        bars: BarGrid,
        monitor: Monitor,
        progress: Progress | None,
        start: int,
    ) -> Iterator[Chunk]:
        octave = 2.0 ** round(np.log2(bars.seconds_per_beat / self.beat))
        for bar in bars.slices[first_needed([piece.stop for piece in bars], start) :]:
            ratio = self._ratio(bar, bars, octave)
            context = round(self.context / ratio * source.sample_rate)
            offset = max(bar.start - context, 0)
            mixture = source.read(offset, min(bar.stop + context, source.frames))
            target = self._target(mixture, conditioning, source.sample_rate, ratio, monitor)
            yield Chunk(bar.start, bar.stop, offset, target)
            if progress:
                progress(bar.stop / source.frames)

    def _ratio(self, bar: Slice, bars: BarGrid, octave: float) -> float:
        """How many times as long the network is to hear a bar; an unsure one counts as in the song's usual tempo."""
        sure = bar.confidence >= UNSURE
        seconds_per_beat = (bar.stop - bar.start) / bars.sample_rate / bar.beats if sure else bars.seconds_per_beat
        wanted = self.beat * octave / seconds_per_beat
        near = self.tempo == "none" or abs(wanted - 1) < NEAR_ENOUGH
        return 1.0 if near else float(np.clip(wanted, MIN_RATIO, MAX_RATIO))

    def _target(
        self, mixture: Array, conditioning: Conditioning, sample_rate: int, ratio: float, monitor: Monitor
    ) -> Array:
        if not mixture.any():
            return np.zeros_like(mixture)
        if ratio == 1 or self.tempo == "hop":
            with monitor.stage("network"):
                return np.asarray(self.separator.estimate(mixture, conditioning, sample_rate, time_scale=ratio))
        with monitor.stage("stretching"):
            stretched = stretch.stretch(mixture, max(round(mixture.shape[1] * ratio), 1), sample_rate, self.engine)
        with monitor.stage("network"):
            found = self.separator.estimate(stretched, conditioning, sample_rate)
        if self.tempo == "audio":
            with monitor.stage("stretching"):
                return stretch.stretch(found, mixture.shape[1], sample_rate, self.engine)
        with monitor.stage("masking"):
            return carry_mask(mixture, stretched, found, sample_rate)


def carry_mask(mixture: Array, stretched: Array, found: Array, sample_rate: int) -> Array:
    """What `found` is of `stretched`, taken of `mixture`: a ratio mask, its frames spread to the mixture's length.

    Shape: mixture (channels, n); stretched and found (channels, m), the same passage at another tempo -> (channels, n).
    The mask is Re(found / stretched) in each cell of the spectrogram, kept within 0 and 1; the phase stays the mixture's.
    """
    import torch

    from fewshot_sep.spectral import Stft, apply_mask

    hop = max(round(1024 * sample_rate / 44100), 16)
    stft = Stft(4 * hop, hop)

    def spectrum(samples: Array) -> torch.Tensor:
        return stft(torch.from_numpy(np.ascontiguousarray(samples)))

    peak = np.abs(stretched).max(initial=0) or 1.0
    scaled, out, native = spectrum(stretched / peak), spectrum(found / peak), spectrum(mixture)
    power = scaled.real.square() + scaled.imag.square()
    mask = ((out.real * scaled.real + out.imag * scaled.imag) / (power + MASK_FLOOR)).clamp(0, 1)
    last = mask.shape[-1] - 1
    moments = (torch.arange(native.shape[-1]) * (stretched.shape[1] / mixture.shape[1])).clamp(max=last)
    before = moments.floor().long()
    after = (before + 1).clamp(max=last)
    share = moments - before
    mask = mask[..., before] * (1 - share) + mask[..., after] * share
    return stft.inverse(apply_mask(native, mask), mixture.shape[1]).numpy()


def part(progress: Progress | None, start: float, stop: float) -> Progress | None:
    """What a stage reports its share to, when it is `start` to `stop` of the whole."""
    return (lambda share: progress(start + (stop - start) * share)) if progress else None
