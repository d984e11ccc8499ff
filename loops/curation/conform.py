"""Brings a loop to a preset's rate, tempo and length: pieces of four beats, each of the same number of samples."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewshot_sep import audio, levels
from fewshot_sep.loops.instruments.voice import fade_ends, rms
from fewshot_sep.presets import Preset
from fewshot_sep.stretch import stretch

Samples = NDArray[np.float32]

BEATS = 4
MIN_RMS = 10 ** (-60 / 20)  # fainter pieces are left out
FADE = 16, 128  # samples in and out, 3 ms at 44.1 kHz: a cut is no click
_OCTAVES = (0.25, 0.5, 1.0, 2.0, 4.0)


class Plan(NamedTuple):
    """How a loop fills pieces of four beats.

    octave: 2 counts two beats where the source has one, 0.5 the other way. pieces: how many come of it. repeats: how
    often the loop is played for that. dropped: beats (of the source) at its end that do not fill a piece.
    """

    octave: float
    pieces: int
    repeats: int
    dropped: float

    def note(self) -> str:
        """What was done, in words, empty for a loop that was only cut and stretched."""
        parts = []
        if self.octave != 1:
            parts.append(f"counted {'double' if self.octave > 1 else 'half'} time (x{self.octave:g})")
        if self.repeats > 1:
            parts.append(f"played {self.repeats} times to fill four beats")
        if self.dropped:
            parts.append(f"last {self.dropped:g} beats left out")
        return "; ".join(parts)


def tempo_of(preset: Preset) -> float:
    """The tempo at which four beats last the preset's segment.

    >>> from fewshot_sep.presets import get
    >>> round(tempo_of(get("illes2020")), 3), round(tempo_of(get("steered")), 3)
    (147.0, 81.385)
    """
    return BEATS * 60 * preset.sample_rate / preset.segment


def plan(bpm: float, beats: float, target_bpm: float) -> Plan | None:
    """The count of the beats - double or half time - that needs the least stretching; None if no count fills four.

    >>> plan(140, 16, 81.4)
    Plan(octave=0.5, pieces=2, repeats=1, dropped=0.0)
    >>> plan(90, 2, 81.4).repeats, plan(120, 6, 147), plan(90, 3, 81.4)
    (2, Plan(octave=1.0, pieces=1, repeats=1, dropped=2.0), None)
    """
    found: list[tuple[float, Plan]] = []
    for octave in _OCTAVES:
        counted, effort = beats * octave, abs(math.log2(bpm * octave / target_bpm))
        if effort > 1:  # more than twice as fast or slow
            continue
        if counted >= BEATS:
            pieces = int(counted // BEATS)
            found.append((effort, Plan(octave, pieces, 1, (counted - pieces * BEATS) / octave)))
        elif counted > 0 and (BEATS / counted).is_integer() and BEATS / counted <= 8:
            found.append((effort, Plan(octave, 1, int(BEATS / counted), 0.0)))
    return min(found)[1] if found else None


def span(bpm: float, beats: float, start: float, ends: list[float]) -> float:
    """Where the beats end, in seconds: at the one of `ends` that the tempo points to, as tempi in names are rounded.

    >>> span(137, 4, 0, [1.753]), span(140, 8, 0, [3.836])
    (1.753, 3.4285714285714284)
    """
    nominal = beats * 60 / bpm
    near = [(abs((end - start) / nominal - 1), end) for end in ends if end > start]
    error, end = min(near)
    if error < 0.03 or (error < 0.09 and end - start < nominal):
        return end
    return min(start + nominal, max(ends))


def pieces(
    samples: Samples, sample_rate: int, first: float, last: float, beats: float, how: Plan, preset: Preset, engine: str
) -> list[Samples]:
    """The loop between the seconds `first` and `last`, which holds `beats`, as pieces of the preset's length.

    Shape: (channels, samples) -> a list of (channels, preset.segment); one channel for a mono preset. The level stays.
    """
    used = (last - first) * (beats - how.dropped) / beats
    loop = samples[:, round(first * sample_rate) : round((first + used) * sample_rate)]
    if preset.channels == 1:
        loop = levels.downmix(loop)[None]
    resampled = audio.resample(loop, sample_rate, preset.sample_rate)
    whole = stretch(np.tile(resampled, how.repeats), how.pieces * preset.segment, preset.sample_rate, engine)
    cut = [piece.copy() for piece in np.split(whole, how.pieces, axis=1) if rms(piece) > MIN_RMS]
    for piece in cut:
        fade_ends(piece, *FADE)
    return cut
