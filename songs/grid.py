"""From beats to a bar grid: slices that cover the whole song, each with its length in beats and its confidence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from fewshot_sep.beats import Beats
from fewshot_sep.songs.settings import Grid

Kind = Literal["downbeat", "beat", "none"]
GRIDS = get_args(Grid)

MIN_BEATS = 8
MIN_CONFIDENCE = 0.2  # measured: noise 0.08 or less, chamber music 0.1 to 0.25, bands from 0.3
MAX_IRREGULAR = 0.25
UNSURE = 0.1  # a bar of less confidence lies in silence or free time: its length says nothing of the tempo
MIN_EDGE_BEATS = 0.5  # less than this at an end of the song is taken into the neighbouring bar


class Slice(NamedTuple):
    """Samples `start` to `stop` of the song, lasting `beats` beats; confidence from 0 to 1."""

    start: int
    stop: int
    beats: float
    confidence: float


@dataclass(frozen=True)
class BarGrid:
    """Slices that follow each other from sample 0 to the song's last.

    Attributes:
        kind: how they were made; "none" is one slice.
        reason: why the kind is "none" although another was wanted, else empty.
    """

    kind: Kind
    slices: tuple[Slice, ...]
    sample_rate: int
    meter: int = 0
    tracker: str = ""
    confidence: float = 0.0
    reason: str = ""

    def __iter__(self) -> Iterator[Slice]:
        return iter(self.slices)

    def __len__(self) -> int:
        return len(self.slices)

    @property
    def boundaries(self) -> list[int]:
        """Samples at which one slice ends and the next begins."""
        return [bar.start for bar in self.slices[1:]]

    @cached_property
    def seconds_per_beat(self) -> float:
        """Median over the slices that are sure, or over all where none is; 0 without a grid."""
        if self.kind == "none":
            return 0.0
        sure = [s for s in self.slices if s.confidence >= UNSURE] or self.slices
        return float(np.median([(s.stop - s.start) / s.beats for s in sure])) / self.sample_rate

    @property
    def unsure(self) -> int:
        """Number of bars whose confidence is under 0.1."""
        return 0 if self.kind == "none" else sum(s.confidence < UNSURE for s in self.slices)

    @property
    def bpm(self) -> float:
        return 60 / self.seconds_per_beat if self.kind != "none" else 0.0


def credible(beats: Beats) -> str:
    """Empty where `beats` can carry a grid, else the reason why not."""
    if len(beats.times) < MIN_BEATS:
        return f"only {len(beats.times)} beats were found"
    if beats.confidence < MIN_CONFIDENCE:
        return f"the beats are unsure (confidence {beats.confidence:.2f}, at least {MIN_CONFIDENCE:g} is needed)"
    if beats.likely_meter not in (0, beats.meter):
        likely = beats.likely_meter
        return f"its bars seem to have {likely} beats, not {beats.meter}; if so, give --meter {likely}"
    irregular = irregularity(beats)
    if irregular > MAX_IRREGULAR:
        return f"the beats are irregular ({irregular:.0%} differ by over a fifth from their neighbours)"
    return ""


def irregularity(beats: Beats) -> float:
    """Share of the intervals between beats that differ by over 20 % from the median of the four before and after."""
    intervals = np.diff(beats.times)
    if not len(intervals):
        return 0.0
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(intervals, 4, mode="edge"), 9)
    around = np.delete(windows, 4, axis=1)
    return float(np.mean(np.abs(intervals / np.median(around, axis=1) - 1) > 0.2))


def no_grid(frames: int, sample_rate: int, reason: str = "", beats: Beats | None = None) -> BarGrid:
    """The whole song as one slice."""
    whole = (Slice(0, frames, 0.0, 0.0),) if frames else ()
    found = (beats.meter, beats.tracker, beats.confidence) if beats else (0, "", 0.0)
    return BarGrid("none", whole, sample_rate, *found, reason)


def bar_grid(beats: Beats, frames: int, sample_rate: int, kind: str = "auto") -> BarGrid:
    """Cut a song of `frames` samples into bars.

    Before the first and after the last beat the grid goes on at the tempo found there. What is left over, a pickup or
    an ending, is a slice with a part of a bar's beats.

    Args:
        kind: "downbeat", bars that begin at downbeats; "beat", groups of beats counted from the first beat found (the
            thesis); "none", one slice; "auto", downbeat where `credible` finds no objection, else none.

    Raises:
        ValueError: another kind.
    """
    if kind not in GRIDS:
        raise ValueError(f"grid {kind!r}: choose {', '.join(GRIDS)}")
    if kind == "none":
        return no_grid(frames, sample_rate)
    reason = credible(beats) if kind == "auto" else ("fewer than two beats were found" if len(beats.times) < 2 else "")
    if reason or not frames:
        return no_grid(frames, sample_rate, reason, beats)
    chosen: Kind = "beat" if kind == "beat" else "downbeat"
    duration = frames / sample_rate
    times, places, strengths = _complete(beats, duration)
    if chosen == "beat":
        places = (np.arange(len(times)) - int(np.argmin(np.abs(times - beats.times[0])))) % beats.meter
    starts = np.flatnonzero(places == 0)
    starts = np.unique(np.concatenate([[0], starts, [len(times) - 1]]))
    edges = np.round(np.clip(times[starts], 0, duration) * sample_rate).astype(int)
    edges[-1] = frames
    slices: list[Slice] = []
    for first, last, start, stop in zip(starts[:-1], starts[1:], edges[:-1], edges[1:], strict=True):
        if stop <= start:
            continue
        whole = (times[last] - times[first]) * sample_rate
        beats_inside = float((last - first) * (stop - start) / whole)
        slices.append(Slice(int(start), int(stop), beats_inside, float(strengths[first:last].mean())))
    bars = tuple(_absorb_edges(slices))
    return BarGrid(chosen, bars, sample_rate, beats.meter, beats.tracker, beats.confidence)


def _absorb_edges(slices: list[Slice]) -> list[Slice]:
    if len(slices) > 1 and slices[0].beats < MIN_EDGE_BEATS:
        slices[:2] = [union(*slices[:2])]
    if len(slices) > 1 and slices[-1].beats < MIN_EDGE_BEATS:
        slices[-2:] = [union(*slices[-2:])]
    return slices


def union(a: Slice, b: Slice) -> Slice:
    return Slice(a.start, b.stop, a.beats + b.beats, max(a.confidence, b.confidence))


def _complete(beats: Beats, duration: float) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Beats from at or before 0 to at or after `duration`: gaps filled, both ends continued at their tempo.

    Returns:
        Times, places in the bar from 0, and strengths; what was added has strength 0.
    """
    gaps = np.diff(beats.times)
    usual = np.median(gaps)
    steps = np.where(gaps > 1.8 * usual, np.round(gaps / usual), 1).astype(int)
    found = np.concatenate([[0], np.cumsum(steps)])  # numbers of those that were found, among all from the first on
    numbers = np.arange(found[-1] + 1)
    times = np.interp(numbers, found, beats.times)
    before = np.repeat(np.arange(len(found)), np.append(steps, 1))  # which of the found ones each follows
    places = (beats.positions[before] - 1 + numbers - found[before]) % beats.meter
    strengths = np.zeros(len(numbers))
    strengths[found] = beats.strengths
    opening = float(np.median(np.diff(times[:9])))
    closing = float(np.median(np.diff(times[-9:])))
    earlier = np.arange(max(int(np.ceil(times[0] / opening - 1e-9)), 0), 0, -1)
    later = np.arange(1, max(int(np.ceil((duration - times[-1]) / closing - 1e-9)), 0) + 1)
    return (
        np.concatenate([times[0] - opening * earlier, times, times[-1] + closing * later]),
        np.concatenate([(places[0] - earlier) % beats.meter, places, (places[-1] + later) % beats.meter]),
        np.pad(strengths, (len(earlier), len(later))),
    )
