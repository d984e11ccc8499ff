"""Whole songs: how well each method separates them, and what an intro does to it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fewshot_sep import audio, beats, metrics
from fewshot_sep.experiments.bachata import thesis_method
from fewshot_sep.experiments.bachata.examples import Array, clip
from fewshot_sep.experiments.bachata.settings import INSTRUMENTS, SongMethod
from fewshot_sep.experiments.bachata.thesis_method import Times
from fewshot_sep.experiments.bachata.tunes import INTROS, Tune
from fewshot_sep.loops.library import SAMPLE_RATE
from fewshot_sep.loops.tasks.pool import AudioPool
from fewshot_sep.separator import Separator
from fewshot_sep.songs.grid import bar_grid
from fewshot_sep.songs.pipeline import SongSeparator
from fewshot_sep.systems import ImageSystem

BEAT_TOLERANCE = 0.07  # seconds from a beat that still count as on it, as in beat tracking's F-measure

Queries = Mapping[str, Array]
"""A clip of each instrument, `(samples,)` at the rate of pool and system."""


class Separated(NamedTuple):
    """What one method made of a song: stems `(1, samples)` at 11,025 Hz, and the edges of its clips in seconds."""

    stems: Mapping[str, Array]
    edges: Times


def queries(pool: AudioPool, seed: int) -> dict[str, Array]:
    """A test clip of each instrument."""
    random = np.random.default_rng(seed)
    rows = {name: int(random.choice(pool.by_instrument[name])) for name in INSTRUMENTS}
    return {name: clip(pool, row, pool.lengths[row]) for name, row in rows.items()}


def separate(
    tune: Tune,
    system: ImageSystem,
    shipped: Separator,
    clips: Queries,
    methods: Collection[SongMethod] = tuple(SongMethod),
) -> dict[SongMethod, Separated]:
    """The song separated by each of `methods` with the same queries."""
    song, own = tune.mixture, Separator(system, str(system.device))
    rate = own.sample_rate
    tracked = beats.track(song, SAMPLE_RATE)
    bars = np.array(bar_grid(tracked, song.shape[1], SAMPLE_RATE, "downbeat").boundaries) / SAMPLE_RATE
    separated = {}
    for method in methods:
        match method:
            case SongMethod.THESIS | SongMethod.THESIS_DOWNBEATS:
                known = method == SongMethod.THESIS_DOWNBEATS
                edges = thesis_method.edges(tune.beats, tune.intro) if known else thesis_method.edges(tracked.times)
                stems = thesis_method.separate(system, song, SAMPLE_RATE, edges, clips)
            case SongMethod.BARS_THESIS | SongMethod.BARS_SHIPPED:
                edges, whole = bars, SongSeparator(own if method == SongMethod.BARS_THESIS else shipped)
                targets = {
                    name: whole.separate(song, [(query, rate)], SAMPLE_RATE, "downbeat", known=tracked).target
                    for name, query in clips.items()
                }
                stems = _at(rate, targets)
        separated[method] = Separated(stems, edges)
    return separated


def _at(rate: int, stems: Mapping[str, Array]) -> dict[str, Array]:
    return {name: audio.resample(stem, SAMPLE_RATE, rate) for name, stem in stems.items()}


def improvement(tune: Tune, estimates: Mapping[str, Array], rate: int) -> dict[str, float]:
    """Improvement in SI-SDR in dB by instrument, from a bar after the intro to a bar before the end: what all cover."""
    beat = 60 / tune.bpm * rate
    first, last = round(tune.intro * beat) + round(4 * beat), -round(4 * beat)
    mixture = audio.resample(tune.mixture, SAMPLE_RATE, rate)[:, first:last]
    result = {}
    for name, stem in _at(rate, tune.stems).items():
        true = stem[:, first:last]
        estimate = estimates[name][:, first : first + true.shape[1]]
        result[name] = metrics.si_sdr(true, estimate) - metrics.si_sdr(true, mixture)
    return result


def on_downbeats(tune: Tune, edges: Times) -> float:
    """Share of a method's clips (that begin within the bars) that begin with a bar."""
    first, last = tune.downbeats[0] - BEAT_TOLERANCE, tune.downbeats[-1] + BEAT_TOLERANCE
    inside = edges[(edges > first) & (edges < last)]
    if not len(inside):
        return 0.0
    return float(np.mean(np.abs(inside[:, None] - tune.downbeats).min(1) < BEAT_TOLERANCE))


def measure(tunes: Sequence[Tune], system: ImageSystem, shipped: Separator, pool: AudioPool) -> list[dict[str, Any]]:
    """For each song and method its intro, improvement by instrument, and share of clips that begin with a bar."""
    return [
        {
            "song": tune.name,
            "intro": tune.intro,
            "bpm": tune.bpm,
            "method": method,
            "si_sdri": improvement(tune, separated.stems, system.preset.sample_rate),
            "on_downbeats": on_downbeats(tune, separated.edges),
        }
        for number, tune in enumerate(tunes)
        for method, separated in separate(tune, system, shipped, queries(pool, number // len(INTROS))).items()
    ]
