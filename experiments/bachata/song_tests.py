"""Whole songs: the intro-issue, the louder starting beat, and the band, each as a number."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewshot_sep import audio, beats, metrics
from fewshot_sep.experiments.bachata import thesis_way
from fewshot_sep.experiments.bachata.examples import clip
from fewshot_sep.experiments.bachata.run import INSTRUMENTS
from fewshot_sep.experiments.bachata.tunes import Tune
from fewshot_sep.loops.library import SAMPLE_RATE
from fewshot_sep.loops.tasks.mixing import AudioPool
from fewshot_sep.separator import Separator
from fewshot_sep.songs import SongSeparator
from fewshot_sep.songs.grid import bar_grid
from fewshot_sep.systems import ImageSystem

Array = NDArray[np.float32]
Times = NDArray[np.float64]

ON_TIME = 0.07  # seconds from a beat that still count as on it, as in beat tracking's F-measure
BEAT_WINDOW = 0.1  # seconds of a beat whose level is taken
WAYS = (
    "thesis",
    "thesis, mask carried back",
    "thesis, downbeats known",
    "songs, thesis's network",
    "songs, shipped model",
    "no bars, shipped model",
)


class Found(NamedTuple):
    """What one way made of a song: stems `(1, samples)` at 11,025 Hz, and the edges of its clips in seconds.

    Where there are no bars, the edges are those of `songs`, so that both are heard at the same places.
    """

    stems: dict[str, Array]
    edges: Times


def queries(pool: AudioPool, seed: int) -> dict[str, Array]:
    """A held-back clip of each instrument, `(samples,)` at the pool's rate."""
    random = np.random.default_rng(seed)
    rows = {name: int(random.choice(pool.by_instrument[name])) for name in INSTRUMENTS}
    return {name: clip(pool, row, pool.lengths[row]) for name, row in rows.items()}


def take_apart(
    tune: Tune, system: ImageSystem, shipped: Separator, asked: dict[str, Array], ways: Sequence[str] = WAYS
) -> dict[str, Found]:
    """The song taken apart in each of `ways`, by the same queries."""
    song, own = tune.mixture, Separator(system, str(next(system.parameters()).device))
    rate = own.sample_rate
    tracked = beats.track(song, SAMPLE_RATE)
    conditionings = {name: own.condition([query], rate) for name, query in asked.items()}
    found = {}
    counted, known = thesis_way.edges(tracked.times), thesis_way.edges(tune.beats, tune.intro)
    for way, cuts, carried in zip(WAYS[:3], (counted, counted, known), (False, True, False), strict=True):
        if way in ways:
            found[way] = Found(thesis_way.separate(system, song, SAMPLE_RATE, cuts, conditionings, carried), cuts)
    grid = bar_grid(tracked, song.shape[1], SAMPLE_RATE, "downbeat")
    for way, separator, kind in zip(WAYS[3:], (own, shipped, shipped), ("downbeat", "downbeat", "none"), strict=True):
        if way not in ways:
            continue
        whole = SongSeparator(separator)
        stems = {
            name: audio.resample(
                whole.separate(song, [(query, rate)], SAMPLE_RATE, kind, known=tracked).target, SAMPLE_RATE, rate
            )
            for name, query in asked.items()
        }
        found[way] = Found(stems, np.array(grid.boundaries) / SAMPLE_RATE)
    return found


def shifted(tune: Tune, system: ImageSystem, asked: dict[str, Array]) -> dict[int, dict[str, float]]:
    """Clips 0 to 3 beats after known downbeats, masks carried back: improvement in SI-SDR in dB by instrument."""
    own = Separator(system, str(next(system.parameters()).device))
    conditionings = {name: own.condition([query], own.sample_rate) for name, query in asked.items()}
    result = {}
    for shift in range(4):
        cuts = thesis_way.edges(tune.beats, tune.intro + shift)
        stems = thesis_way.separate(system, tune.mixture, SAMPLE_RATE, cuts, conditionings, carried=True)
        result[shift] = improvement(tune, Found(stems, cuts), own.sample_rate)
    return result


def improvement(tune: Tune, found: Found, rate: int) -> dict[str, float]:
    """Improvement in SI-SDR in dB by instrument, from a bar after the intro to a bar before the end: what all cover."""
    bar = round(4 * 60 / tune.bpm * rate)
    first = round(tune.intro * 60 / tune.bpm * rate) + bar
    mixture = audio.resample(tune.mixture, SAMPLE_RATE, rate)[:, first:-bar]
    result = {}
    for name, stem in tune.stems.items():
        true = audio.resample(stem, SAMPLE_RATE, rate)[:, first:-bar]
        estimate = found.stems[name][:, first : first + true.shape[1]]
        result[name] = metrics.si_sdr(true, estimate) - metrics.si_sdr(true, mixture)
    return result


def on_downbeats(tune: Tune, edges: Times) -> float:
    """Share of a way's clips (that begin within the bars) that begin with a bar."""
    inside = edges[(edges > tune.downbeats[0] - ON_TIME) & (edges < tune.downbeats[-1] + ON_TIME)]
    distance = np.abs(inside[:, None] - tune.downbeats).min(1) if len(inside) else np.zeros(0)
    return float(np.mean(distance < ON_TIME)) if len(inside) else 0.0


def louder_start(stem: Array, estimate: Array, rate: int, all_beats: Times, edges: Times) -> float:
    """By how many dB the beats at which clips begin stand out from the others, more than they do in the true stem.

    Shape: stem and estimate `(1, samples)`; beats and edges in seconds. The level of a beat is that of its first 0.1 s.
    NaN where no beat, or every beat, begins a clip.
    """
    begins = np.abs(all_beats[:, None] - edges).min(1) < ON_TIME
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
        `songs`: for each song and way its intro, improvement by instrument, share of clips that begin with a bar, and
        the louder start by instrument. `shifts`: median improvement by how many beats known downbeats were missed.
        `starts`: median of the louder start by way. `stretched`: median SI-SDR by instrument of the true stems after
        the thesis's way there and back, which no network can exceed.
    """
    rate = system.preset.sample_rate
    listed: list[dict[str, Any]] = []
    shifts: dict[int, list[float]] = defaultdict(list)
    stretched: dict[str, list[float]] = defaultdict(list)
    for number, tune in enumerate(tunes):
        asked = queries(pool, number // 4)
        for way, found in take_apart(tune, system, shipped, asked).items():
            inside = tune.beats[tune.intro + 4 : -4]
            louder = {
                name: louder_start(
                    audio.resample(stem, SAMPLE_RATE, rate), found.stems[name], rate, inside, found.edges
                )
                for name, stem in tune.stems.items()
            }
            listed.append(
                {
                    "song": tune.name,
                    "intro": tune.intro,
                    "bpm": tune.bpm,
                    "way": way,
                    "si_sdri": improvement(tune, found, rate),
                    "on_downbeats": on_downbeats(tune, found.edges),
                    "louder_start": {name: value for name, value in louder.items() if np.isfinite(value)},
                }
            )
        if tune.intro == 0:
            cuts = thesis_way.edges(tune.beats)
            for name, stem in tune.stems.items():
                back = thesis_way.there_and_back(stem, SAMPLE_RATE, system.preset, cuts)
                true = audio.resample(stem, SAMPLE_RATE, rate)
                ends = round(cuts[-1] * rate)
                stretched[name].append(metrics.si_sdr(true[:, :ends], back[:, :ends]))
            for shift, improved in shifted(tune, system, asked).items():
                shifts[shift] += improved.values()
    return {
        "songs": listed,
        "shifts": {str(shift): float(np.median(values)) for shift, values in shifts.items()},
        "stretched": {name: float(np.median(values)) for name, values in stretched.items()},
        "starts": {
            way: float(np.median([v for e in listed if e["way"] == way for v in e["louder_start"].values()]))
            for way in WAYS
        },
    }


def bandwidth(tunes: Sequence[Tune], shipped: Separator, pool: AudioPool) -> dict[str, dict[str, float]]:
    """At 44.1 kHz: what 11,025 Hz can give at best, and the shipped model asked by clips of 11,025 Hz.

    Returns:
        By instrument, in dB, mean over the songs without intro: `ceiling`, SDR of the true stem after 11,025 Hz, and
        `shipped`, SI-SDR improvement of the shipped model on the whole band.
    """
    found: dict[str, dict[str, list[float]]] = {name: {"ceiling": [], "shipped": []} for name in INSTRUMENTS}
    for number, tune in enumerate(tunes):
        if tune.intro:
            continue
        asked = queries(pool, number // 4)
        for name, stem in tune.stems.items():
            narrow = audio.resample(audio.resample(stem, SAMPLE_RATE, 11025), 11025, SAMPLE_RATE, frames=stem.shape[1])
            found[name]["ceiling"].append(metrics.sdr(stem, narrow))
            target = shipped.separate(tune.mixture, [(asked[name], pool.sample_rate)], SAMPLE_RATE).target
            gain = metrics.si_sdr(stem, target) - metrics.si_sdr(stem, tune.mixture)
            found[name]["shipped"].append(gain)
    return {name: {key: float(np.mean(v)) for key, v in entry.items()} for name, entry in found.items()}
