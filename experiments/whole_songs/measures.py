"""What is measured on songs: gain, beats, shifts, boundaries, and how much the choice of query matters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_sep import SongSeparator, audio, beats, presets
from fewshot_sep.beats import Beats
from fewshot_sep.experiments.whole_songs.material import Array, Case, Chart, steadiest
from fewshot_sep.experiments.whole_songs.methods import OURS, WAYS
from fewshot_sep.metrics import si_sdr
from fewshot_sep.songs.monitor import Monitor
from fewshot_sep.songs.pipeline import SongRun
from fewshot_sep.songs.queries import POLYPHONIC_LOGIT, Clip
from fewshot_sep.songs.settings import METERS

EXCERPT = (30.0, 90.0)
NEAR_JOIN_SECONDS = 0.05


def gain(case: Case, target: Array) -> float:
    """Improvement in SI-SDR over the mixture, dB."""
    reference, mixture, found = (case.scored(x) for x in (case.reference, case.mixture, target))
    return si_sdr(reference, found) - si_sdr(reference, mixture)


def spectral_gain(case: Case, target: Array) -> float:
    """Improvement of the magnitudes' SNR over the mixture, dB: what stretching does to phases does not count."""
    import torch

    from fewshot_sep.spectral import Stft

    stft = Stft(2048, 512)
    reference, mixture, found = (
        stft(torch.from_numpy(case.scored(x).mean(0))).abs() for x in (case.reference, case.mixture, target)
    )
    before, after = ((reference - x).square().sum() for x in (mixture, found))
    return float(10 * torch.log10(before / after))


def separate(separator: SongSeparator, case: Case, grid: str, known: Beats | None) -> tuple[Array, Monitor]:
    """The target, and the monitor of the way there."""
    source = audio.ArraySource(case.mixture, case.rate)
    conditioning = separator.separator.condition(case.queries, case.rate)
    run = SongRun(separator, source, conditioning, grid, residual_pass=False, known=known)
    return np.concatenate([target for target, _ in run.stems()], axis=1), run.monitor


def track(case: Case, cache: dict[bytes, tuple[Beats, float]]) -> tuple[Beats, float]:
    """Beats of the mixture and the seconds that took, found once for each song."""
    import time

    key = case.mixture[:, :25_000].tobytes() + str(case.mixture.shape).encode()
    if key not in cache:
        began = time.perf_counter()
        cache[key] = beats.track(case.mixture, case.rate, meters=METERS), time.perf_counter() - began
    return cache[key]


def compare(model: Any, cases: Iterable[Case], tell: Any = print) -> list[dict[str, Any]]:
    """Every way on every case: gain in dB, and seconds per second of audio of each stage."""
    rows = []
    cache: dict[bytes, tuple[Beats, float]] = {}
    for case in cases:
        found, tracking = track(case, cache)
        duration = case.mixture.shape[1] / case.rate
        for name, way in WAYS.items():
            target, monitor = separate(way.separator(model), case, way.grid, found)
            seconds = {stage: spent / duration for stage, spent in monitor.seconds.items() if stage != "total"}
            seconds["tracking"] = tracking / duration if way.grid != "none" else 0.0
            kind = monitor.grid.kind if monitor.grid else "none"
            gains = {"gain": gain(case, target), "spectral gain": spectral_gain(case, target)}
            rows.append({"song": case.song, "way": name, "grid": kind, **gains, "seconds": seconds})
        tell(f"{case.song}: " + ", ".join(f"{row['way']} {row['gain']:.2f}" for row in rows[-len(WAYS) :]))
    return rows


def beat_figures(found: Beats, chart: Chart, seconds: float) -> dict[str, float]:
    """F-measures (70 ms) of beats and downbeats against a chart, whose constant delay (median) is taken away first.

    Source: M. Davies, N. Degara, M. Plumbley, "Evaluation Methods for Musical Audio Beat Tracking Algorithms", 2009.
    """
    import mir_eval.beat

    truth = chart.beats(seconds)
    period = 60 / chart.bpm
    delay = float(np.median((found.times + period / 2) % period - period / 2))
    times, downbeats = found.times - delay, found.times[found.positions == 1] - delay
    phases = [mir_eval.beat.f_measure(truth[phase::4], downbeats) for phase in range(4)]
    return {
        "beats": float(mir_eval.beat.f_measure(truth, times)),
        "downbeats": float(max(phases)),
        "delay (ms)": 1000 * delay,
        "meter": float(found.meter),
    }


def excerpt(case: Case, start: float, stop: float) -> Case:
    """A part of a song, seconds; all of it is scored."""
    first, last = (round(moment * case.rate) for moment in (start, stop))
    return case._replace(mixture=case.mixture[:, first:last], reference=case.reference[:, first:last], left_out=())


def shifts(model: Any, case: Case, period: float, way: str) -> dict[str, float]:
    """SI-SDR (dB) of the same 50 s when the song begins 1 to 3 beats later, or after 1 to 3 beats of silence.

    The first 10 s of the excerpt are not scored; key "0" is the excerpt as it is. period: seconds per beat.
    """
    settings = WAYS[way]
    separator = settings.separator(model)
    part = excerpt(case, *EXCERPT)
    lead = 10 * case.rate
    reference = part.reference[:, lead:]
    results = {}
    for count in range(-3, 4):
        beat = round(abs(count) * period * case.rate)
        mixture = part.mixture[:, beat:] if count < 0 else np.pad(part.mixture, ((0, 0), (beat, 0)))
        target, _ = separate(separator, part._replace(mixture=mixture), settings.grid, None)
        results[f"{count:+d}" if count else "0"] = si_sdr(reference, target[:, lead + (beat if count > 0 else -beat) :])
    return results


class Everything:
    """A model that finds everything: what its output lacks is the fault of the boundaries."""

    sample_rate = 44100
    preset = presets.get(presets.DEFAULT)

    def condition(self, queries: Any, sample_rate: int, unlike: Any = (), within: Any = None) -> None:
        return None

    def estimate(self, mixture: Array, conditioning: Any, sample_rate: int, time_scale: float = 1.0) -> Array:
        return mixture.copy()


def join_snr(case: Case, way: str, found: Beats) -> float:
    """SNR (dB) within 50 ms of the boundaries, with an identity mask."""
    settings = WAYS[way]
    target, monitor = separate(settings.separator(Everything()), case, settings.grid, found)
    near = np.zeros(target.shape[1], dtype=bool)
    reach = round(NEAR_JOIN_SECONDS * case.rate)
    for join in monitor.grid.boundaries if monitor.grid else []:
        near[max(join - reach, 0) : join + reach] = True
    error = np.square(target[:, near] - case.mixture[:, near]).sum() + 1e-20
    return float(10 * np.log10(np.square(case.mixture[:, near]).sum() / error))


def bar_profile(case: Case, target: Array, found: Beats, parts: int = 8) -> NDArray[np.float64]:
    """Gain of the target re the mixture (dB) through the bar, from the first beat on: mean over all bars.

    Shape: `(meter * parts,)`. Moments where the true target is silent are left out.
    """
    mixture, truth = (np.square(x).mean(0) for x in (case.mixture, case.reference))
    power = np.square(target).mean(0)
    edges = []
    for a, b, position in zip(found.times[:-1], found.times[1:], found.positions[:-1], strict=True):
        for part in range(parts):
            moments = (a + (b - a) * np.array([part, part + 1]) / parts) * case.rate
            edges.append((*moments.astype(int), (position - 1) * parts + part))
    sums = np.zeros((2, found.meter * parts))
    loud = truth.mean() * 1e-2
    for start, stop, place in edges:
        if stop > start and truth[start:stop].mean() > loud:
            sums[0, place] += power[start:stop].sum()
            sums[1, place] += mixture[start:stop].sum()
    return 10 * np.log10((sums[0] + 1e-12) / (sums[1] + 1e-12))


def first_beat(profile: NDArray[np.float64], meter: int) -> float:
    """How much louder the first beat comes out than the others (dB), the mixture's own accents taken away."""
    levels = profile.reshape(meter, -1).mean(1)
    return float(levels[0] - levels[1:].mean())


def queries(model: Any, case: Case, seconds: float = 6.0, count: int = 12) -> dict[str, Any]:
    """Gains on an excerpt for many queries of the same guitar from elsewhere in the song, alone and averaged."""
    part = excerpt(case, *EXCERPT)
    length = round(seconds * case.rate)
    power = np.square(case.reference).mean(0)
    clips, places = [], []
    for start in np.linspace(0, case.mixture.shape[1] - length, 4 * count).astype(int):
        inside = start < EXCERPT[1] * case.rate and start + length > EXCERPT[0] * case.rate
        if not inside and power[start : start + length].mean() > 0.1 * power.mean():
            clips.append(case.reference[:, start : start + length])
            places.append(start / case.rate)
    chosen = np.linspace(0, len(clips) - 1, min(count, len(clips))).astype(int)
    clips, places = [clips[i] for i in chosen], [places[i] for i in chosen]

    def score(*those: Array) -> float:
        conditioning = model.condition(list(those), case.rate)
        return gain(part, model.estimate(part.mixture, conditioning, case.rate))

    rng = np.random.default_rng(0)
    averaged = {
        str(size): [score(*(clips[i] for i in rng.permutation(len(clips))[:size])) for _ in range(4)]
        for size in (3, 5)
        if size < len(clips)
    }
    shorter = {}
    for brief in (1.0, 3.0):
        cuts = [clip[:, (at := steadiest(clip, case.rate, brief)) : at + round(brief * case.rate)] for clip in clips]
        shorter[f"{brief:g}"] = [score(cut) for cut in cuts]
    return {
        "from (s)": places,
        "alone": [score(clip) for clip in clips],
        "averaged": averaged,
        "all": score(*clips),
        "shorter": shorter,
        "way": OURS,
    }


def held_back(model: Any, cases: list[Case]) -> list[dict[str, Any]]:
    """Gains without and with a clip of the loudest other instrument, where a mixture has one that is asked for too."""
    rows = []
    for case in cases:
        others = [
            other
            for other in cases
            if np.array_equal(other.mixture, case.mixture) and not np.array_equal(other.reference, case.reference)
        ]
        if others:
            loudest = max(others, key=lambda other: float(np.square(other.reference).mean()))
            without, held = (
                gain(
                    case,
                    model.separate(case.mixture, case.queries, case.rate, unlike=unlike, residual_pass=False).target,
                )
                for unlike in ((), loudest.queries)
            )
            rows.append({"song": case.song, "without": without, "with": held})
    return rows


def crowds(model: Any, alone: list[Clip], together: list[Clip]) -> dict[str, float]:
    """How well the model tells clips of one instrument from mixtures, as the warning of `separate` has it.

    Returns:
        `area` under the ROC curve; shares of `false alarms` among the clips and of `hits` among the mixtures.
    """
    odds = [np.array([model.polyphony_logit(model.encode(*clip)) for clip in clips]) for clips in (alone, together)]
    above = (odds[1][:, None] > odds[0]) + 0.5 * (odds[1][:, None] == odds[0])
    return {
        "clips": len(alone),
        "mixtures": len(together),
        "area": float(above.mean()),
        "false alarms": float(np.mean(odds[0] > POLYPHONIC_LOGIT)),
        "hits": float(np.mean(odds[1] > POLYPHONIC_LOGIT)),
    }
