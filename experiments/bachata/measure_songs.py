"""Whole songs: the intro-issue, the louder starting beat, and the band, each as a number."""

from __future__ import annotations

from collections import defaultdict
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
BEAT_WINDOW = 0.1  # seconds of a beat whose level is taken

Queries = Mapping[str, Array]
"""A clip of each instrument, `(samples,)` at the rate of pool and system."""


class Separated(NamedTuple):
    """What one method made of a song: stems `(1, samples)` at 11,025 Hz, and the edges of its clips in seconds.

    Where there are no bars, the edges are those of the bars, so that both are measured at the same places.
    """

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
    counted, known = thesis_method.edges(tracked.times), thesis_method.edges(tune.beats, tune.intro)
    separated = {}
    for method, cuts, carried in (
        (SongMethod.THESIS, counted, False),
        (SongMethod.THESIS_MASK, counted, True),
        (SongMethod.THESIS_DOWNBEATS, known, False),
    ):
        if method in methods:
            stems = thesis_method.separate(system, song, SAMPLE_RATE, cuts, clips, carried)
            separated[method] = Separated(stems, cuts)
    bars = np.array(bar_grid(tracked, song.shape[1], SAMPLE_RATE, "downbeat").boundaries) / SAMPLE_RATE
    for method, separator, grid in (
        (SongMethod.BARS_THESIS, own, "downbeat"),
        (SongMethod.BARS_SHIPPED, shipped, "downbeat"),
        (SongMethod.NO_BARS_SHIPPED, shipped, "none"),
    ):
        if method in methods:
            whole = SongSeparator(separator)
            targets = {
                name: whole.separate(song, [(query, rate)], SAMPLE_RATE, grid, known=tracked).target
                for name, query in clips.items()
            }
            separated[method] = Separated(_at(rate, targets), bars)
    return separated


def _at(rate: int, stems: Mapping[str, Array]) -> dict[str, Array]:
    return {name: audio.resample(stem, SAMPLE_RATE, rate) for name, stem in stems.items()}


def shifted(tune: Tune, system: ImageSystem, clips: Queries) -> dict[int, dict[str, float]]:
    """Clips 0 to 3 beats after known downbeats, masks carried back: improvement in SI-SDR in dB by instrument."""
    result = {}
    for shift in range(4):
        cuts = thesis_method.edges(tune.beats, tune.intro + shift)
        stems = thesis_method.separate(system, tune.mixture, SAMPLE_RATE, cuts, clips, carried=True)
        result[shift] = improvement(tune, stems, system.preset.sample_rate)
    return result


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


def louder_start(stem: Array, estimate: Array, rate: int, all_beats: Times, edges: Times) -> float:
    """By how many dB the beats at which clips begin stand out from the others, more than they do in the true stem.

    Shape: stem and estimate `(1, samples)`; beats and edges in seconds. The level of a beat is that of its first 0.1 s.
    NaN where no beat, or every beat, begins a clip.
    """
    begins = np.abs(all_beats[:, None] - edges).min(1) < BEAT_TOLERANCE
    if begins.all() or not begins.any():
        return float("nan")
    length = round(BEAT_WINDOW * rate)
    starts = np.round(all_beats * rate).astype(int)

    def outstanding(sound: Array) -> float:
        power = np.array([np.mean(np.square(sound[:, start : start + length], dtype=np.float64)) for start in starts])
        return float(10 * np.log10((power[begins].mean() + 1e-12) / (power[~begins].mean() + 1e-12)))

    return outstanding(estimate) - outstanding(stem)


def measure(tunes: Sequence[Tune], system: ImageSystem, shipped: Separator, pool: AudioPool) -> dict[str, Any]:
    """Table 2, the intro-issue and the louder starting beat.

    Returns:
        `separated`: for each song and method its intro, improvement by instrument, share of clips that begin with a
        bar, and the louder start by instrument. `shifts`: median improvement by how many beats known downbeats were
        missed. `starts`: median of the louder start by method. `stretched`: median SI-SDR by instrument of the true
        stems after the thesis's method there and back, which no network can exceed.
    """
    rate = system.preset.sample_rate
    listed: list[dict[str, Any]] = []
    starts: dict[str, list[float]] = defaultdict(list)
    shifts: dict[int, list[float]] = defaultdict(list)
    stretched: dict[str, list[float]] = defaultdict(list)
    for number, tune in enumerate(tunes):
        clips, stems = queries(pool, number // len(INTROS)), _at(rate, tune.stems)
        inside = tune.beats[tune.intro + 4 : -4]
        for method, separated in separate(tune, system, shipped, clips).items():
            louder = {
                name: louder_start(stem, separated.stems[name], rate, inside, separated.edges)
                for name, stem in stems.items()
            }
            louder = {name: value for name, value in louder.items() if np.isfinite(value)}
            starts[method] += louder.values()
            listed.append(
                {
                    "song": tune.name,
                    "intro": tune.intro,
                    "bpm": tune.bpm,
                    "method": method,
                    "si_sdri": improvement(tune, separated.stems, rate),
                    "on_downbeats": on_downbeats(tune, separated.edges),
                    "louder_start": louder,
                }
            )
        if tune.intro == 0:
            cuts = thesis_method.edges(tune.beats)
            end = round(cuts[-1] * rate)
            for name, stem in tune.stems.items():
                back = thesis_method.there_and_back(stem, SAMPLE_RATE, system.preset, cuts)
                stretched[name].append(metrics.si_sdr(stems[name][:, :end], back[:, :end]))
            for shift, improved in shifted(tune, system, clips).items():
                shifts[shift] += improved.values()
    return {
        "separated": listed,
        "shifts": {str(shift): float(np.median(values)) for shift, values in shifts.items()},
        "stretched": {name: float(np.median(values)) for name, values in stretched.items()},
        "starts": {method: float(np.median(starts[method])) for method in SongMethod},
    }


def bandwidth(tunes: Sequence[Tune], shipped: Separator, pool: AudioPool) -> dict[str, dict[str, float]]:
    """At 44.1 kHz: what 11,025 Hz can give at best, and the shipped model with queries of 11,025 Hz.

    Returns:
        By instrument, in dB, mean over the songs without intro: `ceiling`, SDR of the true stem after 11,025 Hz, and
        `shipped`, SI-SDR improvement of the shipped model on the whole band.
    """
    found: dict[str, dict[str, list[float]]] = {name: {"ceiling": [], "shipped": []} for name in INSTRUMENTS}
    for number, tune in enumerate(tunes):
        if tune.intro:
            continue
        clips = queries(pool, number // len(INTROS))
        for name, stem in tune.stems.items():
            narrow = audio.resample(audio.resample(stem, SAMPLE_RATE, 11025), 11025, SAMPLE_RATE, frames=stem.shape[1])
            target = shipped.separate(tune.mixture, [(clips[name], pool.sample_rate)], SAMPLE_RATE).target
            found[name]["ceiling"].append(metrics.sdr(stem, narrow))
            found[name]["shipped"].append(metrics.si_sdr(stem, target) - metrics.si_sdr(stem, tune.mixture))
    return {name: {key: float(np.mean(v)) for key, v in entry.items()} for name, entry in found.items()}
