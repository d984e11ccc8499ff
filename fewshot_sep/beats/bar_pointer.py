"""Beat activations -> beats and their places in the bar: the bar-pointer model, decoded a beat at a time.

The model is that of F. Krebs, S. Boeck, G. Widmer, "An Efficient State-Space Model for Joint Tempo and Meter Tracking",
ISMIR 2015, with madmom's defaults. Within a beat its hidden position moves on by itself, so only the boundaries of
beats are decoded: what lies between comes from running sums. The path is the one that decoding state by state finds,
for 300 bytes per frame instead of some 60 000, so that hours fit.

Unlike in that model a bar may be cut short, at a penalty: songs hold half bars between sections, and are spliced.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fewshot_sep.beats.activations import FRAMES_PER_SECOND

MIN_BPM, MAX_BPM = 55.0, 215.0
TEMPI = 60
TRANSITION_LAMBDA = 100.0  # how improbable a change of tempo from one beat to the next is
OBSERVATION_LAMBDA = 16  # a beat's activation is expected in the first 1/16 of the beat
SHORT_BAR_PENALTY = 30.0  # how much evidence, in nats, it takes to begin a bar before the last one is full
MIN_ACTIVATION = 0.05  # lower ones before the first and after the last beat are left out


def decode(
    activations: NDArray[np.floating], meters: Sequence[int] = (3, 4), short_bar_penalty: float = SHORT_BAR_PENALTY
) -> tuple[NDArray[np.float64], NDArray[np.int64], int]:
    """The likeliest beats: times in seconds, positions in the bar (1 = downbeat), and the likeliest of the `meters`.

    Shape: activations (frames, 2), 100 a second, beat and downbeat. No beat is found where no activation reaches 0.05.

    short_bar_penalty: of a bar that ends early; where infinite, all bars are whole, as in madmom.
    """
    loud = np.flatnonzero(activations.max(axis=1, initial=0) >= MIN_ACTIVATION)
    if not loud.size:
        return np.empty(0), np.empty(0, dtype=np.int64), int(meters[-1])
    first = int(loud[0])
    kept = np.asarray(activations[first : loud[-1] + 1], dtype=np.float64)
    paths = [(*_viterbi(kept, meter, short_bar_penalty), meter) for meter in meters]
    _, beats, meter = max(paths, key=lambda path: path[0])
    peaks, positions = [], []
    for start, stop, position in beats:
        if stop > start:
            peaks.append(first + start + int(np.argmax(kept[start:stop].max(axis=1))))
            positions.append(position + 1)
    return np.array(peaks) / FRAMES_PER_SECOND, np.array(positions, dtype=np.int64), int(meter)


def _intervals() -> NDArray[np.int64]:
    """Beat lengths in frames: about `TEMPI` of them, logarithmically spaced."""
    shortest, longest = np.round(60 * FRAMES_PER_SECOND / np.array([MAX_BPM, MIN_BPM]))
    count, lengths = TEMPI, np.arange(shortest, longest + 1)
    if len(lengths) > TEMPI:
        lengths = np.empty(0)
        while len(lengths) < TEMPI:
            lengths = np.unique(np.round(np.logspace(np.log2(shortest), np.log2(longest), count, base=2)))
            count += 1
    return lengths.astype(np.int64)


def _viterbi(
    activations: NDArray[np.float64], meter: int, short_bar_penalty: float
) -> tuple[float, list[tuple[int, int, int]]]:
    """Log-probability of the best path, and its beats: expected from, to, and place in the bar from 0."""
    frames = len(activations)
    lengths = _intervals()
    heads = -(-lengths // OBSERVATION_LAMBDA)
    tempi, longest = len(lengths), int(lengths.max())
    tiny = np.finfo(np.float32).tiny
    beat, downbeat = np.log(np.maximum(activations, tiny)).T
    rest = np.log(np.maximum((1 - activations.sum(axis=1)) / (OBSERVATION_LAMBDA - 1), tiny))
    # Running sums, led by `longest` zeros: a beat that began before the first frame costs nothing there.
    on_beat, on_down, between = (np.concatenate([np.zeros(longest + 1), np.cumsum(x)]) for x in (beat, downbeat, rest))
    on = np.stack([on_down] + [on_beat] * (meter - 1))

    ratio = lengths[None, :] / lengths[:, None]
    with np.errstate(divide="ignore"):
        change = np.exp(-TRANSITION_LAMBDA * np.abs(ratio - 1))
        change[change <= np.spacing(1)] = 0
        change = np.log(change / change.sum(axis=1, keepdims=True))
    arrivals = np.ascontiguousarray(change.T, dtype=np.float32)  # (to, from)

    # entered[t, b, i]: score of the best path whose beat b of length i begins at frame t - longest; kept for a while.
    start = -np.log(meter * lengths.sum())
    shortest = int(lengths.min())  # no beat begins and ends within so many frames, so they are decoded at once
    kept = longest + shortest
    entered = np.full((kept, meter, tempi), start)
    scores = np.empty((shortest, meter, tempi, tempi), dtype=np.float32)  # (t, b, to, from), below the best
    came_from = np.zeros((frames, meter, tempi), dtype=np.uint8)
    last_beat = np.full((frames, tempi), meter - 1, dtype=np.uint8)  # of the bar before a downbeat
    each = np.arange(tempi)
    for first in range(longest, frames + longest, shortest):
        t = np.arange(first, min(first + shortest, frames + longest))[:, None]
        begun = t - lengths
        head_end = begun + heads
        observed = on[:, head_end] - on[:, begun] + (between[t] - between[head_end])
        left = np.moveaxis(entered[begun % kept, :, each], 2, 1) + np.moveaxis(observed, 0, 1)  # (t, b, from)
        top = left.max()
        found = np.add((left - top).astype(np.float32)[:, :, None, :], arrivals, out=scores[: len(t)])
        best = found.argmax(axis=3)
        gained = top + np.take_along_axis(found, best[..., None], axis=3)[..., 0].astype(np.float64)
        early = gained[:, :-1].argmax(axis=1)[:, None]
        after_cut = np.take_along_axis(gained, early, axis=1)[:, 0] - short_bar_penalty
        cut = after_cut > gained[:, -1]
        best[:, -1] = np.where(cut, np.take_along_axis(best, early, axis=1)[:, 0], best[:, -1])
        gained[:, -1] = np.where(cut, after_cut, gained[:, -1])
        here = t[:, 0]
        last_beat[here - longest] = np.where(cut, early[:, 0], last_beat[here - longest])
        came_from[here - longest] = np.roll(best, 1, axis=1)
        entered[here % kept] = np.roll(gained, 1, axis=1)

    # The path ends inside a beat.
    end = frames + longest
    score, last, b, i = -np.inf, 0, 0, 0
    for at in range(end - longest, end):
        head_end = np.minimum(at + heads, end)
        total = entered[at % kept] + on[:, head_end] - on[:, at, None] + (between[end] - between[head_end])
        total[:, lengths < end - at] = -np.inf
        if total.max() > score:
            score, last, (b, i) = float(total.max()), at, divmod(int(total.argmax()), tempi)

    beats = []
    while True:
        stop = last + int(heads[i]) - longest
        beats.append((max(last - longest, 0), min(max(stop, 0), frames), b))
        if last < longest:
            return score, beats[::-1]
        before = b - 1 if b else int(last_beat[last - longest, i])
        i, b = int(came_from[last - longest, b, i]), before
        last -= int(lengths[i])
