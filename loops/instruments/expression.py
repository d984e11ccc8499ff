"""What a player does to a tone while it lasts: swells, vibrato and a pitch that drifts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from scipy.ndimage import map_coordinates

from fewshot_sep.loops.instruments.oscillators import Curve
from fewshot_sep.loops.instruments.voice import Sound
from fewshot_sep.loops.library import SAMPLE_RATE
from fewshot_sep.loops.score import Note

SWELL_DB, HUMP_DB = 2.0, 4.0
"""Standard deviation of the level from one moment to the next, and the most by which a note may rise and fall."""
VIBRATO_HZ, VIBRATO_CENTS, DRIFT_CENTS = (4.5, 6.8), 40.0, 5.0
_CONTROL_HZ = 100
_BEFORE_VIBRATO_S = 0.15
_LONG_S = 0.4


def express(sound: Sound, notes: Sequence[Note], rng: Generator) -> Sound:
    """A part as a player would bend it; the notes say where tones begin, and are not moved."""
    frames = np.arange(len(sound))
    at = frames / SAMPLE_RATE
    moments = np.arange(0, at[-1] + 2 / _CONTROL_HZ, 1 / _CONTROL_HZ)
    gain_db, cents = swells(moments, notes, rng), bends(moments, notes, rng)
    late = np.cumsum(2 ** (cents / 1200) - 1) / _CONTROL_HZ  # in seconds; a pitch is a slope of the time read at
    read_at = frames + SAMPLE_RATE * np.interp(at, moments, late - late[0])
    moved = map_coordinates(sound, read_at[None], order=3, mode="nearest")
    return np.asarray(moved * 10 ** (np.interp(at, moments, gain_db) / 20), np.float32)


def swells(moments: Curve, notes: Sequence[Note], rng: Generator) -> Curve:
    """Level in dB at each of the moments (seconds): a slow wave through the part, and a hump on each long note."""
    depth = rng.uniform(0, SWELL_DB)
    knots = np.arange(0, moments[-1] + 2, 1.2)
    level: Curve = np.interp(moments, knots, rng.normal(0, depth, len(knots)))
    height, top = rng.uniform(0, HUMP_DB), rng.uniform(0.2, 0.7)
    for note in notes:
        if note.duration >= _LONG_S:
            inside = (moments - note.start) / note.duration
            level += height * np.interp(inside, (0, top, 1), (0, 1, 0), left=0, right=0)
    return level


def bends(moments: Curve, notes: Sequence[Note], rng: Generator) -> Curve:
    """Pitch in cents at each of the moments (seconds): a drift, and on long notes a vibrato that begins late."""
    knots = np.arange(0, moments[-1] + 1, 0.5)
    pitch: Curve = np.interp(moments, knots, rng.normal(0, rng.uniform(0, DRIFT_CENTS), len(knots)))
    if rng.random() < 0.4:
        return pitch
    depth, speed = rng.uniform(5, VIBRATO_CENTS), rng.uniform(*VIBRATO_HZ)
    for note in notes:
        since = moments - note.start - _BEFORE_VIBRATO_S
        if note.duration >= _LONG_S:
            shape = np.clip(since / 0.3, 0, 1) * (moments < note.start + note.duration)
            pitch += depth * shape * np.sin(2 * np.pi * speed * rng.uniform(0.95, 1.05) * since)
    return pitch
