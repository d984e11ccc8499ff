"""What is measured on songs: SI-SDRi, beats, shifts, boundaries, and how much the choice of query matters."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fewshot_sep import Separator, SongSeparator, audio, beats, presets
from fewshot_sep.beats import Beats
from fewshot_sep.experiments.whole_songs import settings
from fewshot_sep.experiments.whole_songs.material import Array, Case, Chart, steadiest
from fewshot_sep.experiments.whole_songs.settings import METHODS
from fewshot_sep.metrics import si_sdr
from fewshot_sep.songs.monitor import Monitor
from fewshot_sep.songs.pipeline import SongRun
from fewshot_sep.songs.queries import POLYPHONIC_LOGIT, Clip
from fewshot_sep.songs.settings import METERS
from fewshot_sep.spectral import Stft


def si_sdri(case: Case, target: Array) -> float:
    """Improvement in SI-SDR over the mixture, dB."""
    reference, mixture, estimate = (case.scored(x) for x in (case.reference, case.mixture, target))
    return si_sdr(reference, estimate) - si_sdr(reference, mixture)


def spectral_snri(case: Case, target: Array) -> float:
    """Improvement of the magnitudes' SNR over the mixture, dB: what stretching does to phases does not count."""
    stft = Stft(2048, 512)
    reference, mixture, estimate = (
        stft(torch.from_numpy(case.scored(x).mean(0))).abs() for x in (case.reference, case.mixture, target)
    )
    before, after = ((reference - x).square().sum() for x in (mixture, estimate))
    return float(10 * torch.log10(before / after))


def separate(model: Separator, method: str, case: Case, known: Beats | None = None) -> tuple[Array, Monitor]:
    """The target by one of `METHODS`, and the monitor of that run."""
    grid, tempo, _, context = METHODS[method]
    separator = SongSeparator(model, tempo=tempo, context=context)
    conditioning = model.condition(case.queries, case.rate)
    source = audio.ArraySource(case.mixture, case.rate)
    run = SongRun(separator, source, conditioning, grid, residual_pass=False, known=known)
    return np.concatenate([target for target, _ in run.stems()], axis=1), run.monitor


def track(case: Case) -> tuple[Beats, float]:
    """Beats of the mixture, and the seconds that took."""
    began = time.perf_counter()
    return beats.track(case.mixture, case.rate, meters=METERS), time.perf_counter() - began


def compare(model: Separator, cases: Iterable[Case], tell: Callable[[str], object] = print) -> list[dict[str, Any]]:
    """Every method on every case: improvements in dB, and seconds per second of audio of each stage."""
    rows: list[dict[str, Any]] = []
    tracked: dict[bytes, tuple[Beats, float]] = {}
    for case in cases:
        song = case.mixture.tobytes()
        found, tracking = tracked[song] = tracked.get(song) or track(case)
        duration = case.mixture.shape[1] / case.rate
        for name, method in METHODS.items():
            target, monitor = separate(model, name, case, found)
            seconds = {stage: spent / duration for stage, spent in monitor.seconds.items() if stage != "total"}
            seconds["tracking"] = tracking / duration if method.grid != "none" else 0.0
            kind = monitor.grid.kind if monitor.grid else "none"
            figures = {"si_sdri": si_sdri(case, target), "spectral_snri": spectral_snri(case, target)}
            rows.append({"song": case.song, "method": name, "grid": kind, **figures, "seconds": seconds})
        tell(f"{case.song}: " + ", ".join(f"{row['method']} {row['si_sdri']:.2f}" for row in rows[-len(METHODS) :]))
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


def shifts(model: Separator, case: Case, period: float, method: str) -> dict[str, float]:
    """SI-SDR (dB) of the same 50 s when the song begins some beats later, or after some beats of silence.

    The first 10 s of the excerpt are not scored; key "0" is the excerpt as it is. period: seconds per beat.
    """
    part, lead = excerpt(case, *settings.EXCERPT_S), round(settings.UNSCORED_S * case.rate)
    reference, results = part.reference[:, lead:], {}
    for count in range(-settings.MAX_SHIFT_BEATS, settings.MAX_SHIFT_BEATS + 1):
        shift = round(abs(count) * period * case.rate)
        mixture = part.mixture[:, shift:] if count < 0 else np.pad(part.mixture, ((0, 0), (shift, 0)))
        target, _ = separate(model, method, part._replace(mixture=mixture))
        start = lead + (shift if count > 0 else -shift)
        results[f"{count:+d}" if count else "0"] = si_sdr(reference, target[:, start:])
    return results


class Identity:
    """A separator whose target is the mixture: what the song's target lacks is the fault of the boundaries."""

    sample_rate = 44100
    preset = presets.get(presets.DEFAULT)

    def condition(self, queries: object, sample_rate: int) -> None:
        return None

    def estimate(self, mixture: Array, conditioning: None, sample_rate: int, time_scale: float = 1.0) -> Array:
        return mixture.copy()


def boundary_snr(case: Case, method: str, found: Beats) -> float:
    """SNR (dB) within 50 ms of the boundaries, when the model lets everything through."""
    target, monitor = separate(Identity(), method, case, found)  # type: ignore[arg-type]
    near = np.zeros(target.shape[1], dtype=bool)
    reach = round(settings.NEAR_BOUNDARY_S * case.rate)
    for boundary in monitor.grid.boundaries if monitor.grid else []:
        near[max(boundary - reach, 0) : boundary + reach] = True
    error = np.square(target[:, near] - case.mixture[:, near]).sum() + 1e-20
    return float(10 * np.log10(np.square(case.mixture[:, near]).sum() / error))


def bar_profile(case: Case, target: Array, found: Beats, parts: int = settings.PARTS_OF_BEAT) -> NDArray[np.float64]:
    """Level of the target re the mixture (dB) through the bar, from the first beat on: mean over all bars.

    Shape: `(meter * parts,)`. Moments where the true target is silent are left out.
    """
    mixture, truth, power = (np.square(x).mean(0) for x in (case.mixture, case.reference, target))
    sums = np.zeros((2, found.meter * parts))
    least = truth.mean() * 1e-2
    for a, b, position in zip(found.times[:-1], found.times[1:], found.positions[:-1], strict=True):
        edges = (np.linspace(a, b, parts + 1) * case.rate).astype(int)
        for part, (start, stop) in enumerate(pairwise(edges)):
            if stop > start and truth[start:stop].mean() > least:
                place = (position - 1) * parts + part
                sums[:, place] += power[start:stop].sum(), mixture[start:stop].sum()
    ratio: NDArray[np.float64] = 10 * np.log10((sums[0] + 1e-12) / (sums[1] + 1e-12))
    return ratio


def first_beat(profile: NDArray[np.float64], meter: int) -> float:
    """How much louder the first beat comes out than the others (dB), the mixture's own accents taken away."""
    levels = profile.reshape(meter, -1).mean(1)
    return float(levels[0] - levels[1:].mean())


def queries(model: Separator, case: Case) -> dict[str, Any]:
    """SI-SDRi on an excerpt by many queries of the same guitar from elsewhere in the song, alone and averaged."""
    part, (first, last) = excerpt(case, *settings.EXCERPT_S), settings.EXCERPT_S
    length = round(settings.QUERY_S * case.rate)
    power = np.square(case.reference).mean(0)
    starts = [
        int(start)
        for start in np.linspace(0, case.mixture.shape[1] - length, 4 * settings.QUERY_COUNT).astype(int)
        if (start >= last * case.rate or start + length <= first * case.rate)
        and power[start : start + length].mean() > 0.1 * power.mean()
    ]
    chosen = np.linspace(0, len(starts) - 1, min(settings.QUERY_COUNT, len(starts))).astype(int)
    starts = [starts[place] for place in chosen]
    clips = [case.reference[:, start : start + length] for start in starts]

    def score(*used: Array) -> float:
        conditioning = model.condition(list(used), case.rate)
        return si_sdri(part, model.estimate(part.mixture, conditioning, case.rate))

    def shorter(clip: Array, seconds: float) -> Array:
        start = steadiest(clip, case.rate, seconds)
        return clip[:, start : start + round(seconds * case.rate)]

    rng = np.random.default_rng(0)
    return {
        "from (s)": [start / case.rate for start in starts],
        "alone": [score(clip) for clip in clips],
        "averaged": {
            str(size): [score(*(clips[i] for i in rng.permutation(len(clips))[:size])) for _ in range(settings.DRAWS)]
            for size in settings.AVERAGED
            if size < len(clips)
        },
        "all": score(*clips),
        "shorter": {f"{s:g}": [score(shorter(clip, s)) for clip in clips] for s in settings.SHORT_QUERIES_S},
    }


def negative_queries(model: Separator, cases: list[Case]) -> list[dict[str, Any]]:
    """SI-SDRi without and with a clip of the loudest other instrument, where a mixture has one that is queried too."""
    rows = []
    for case in cases:
        others = [
            other
            for other in cases
            if np.array_equal(other.mixture, case.mixture) and not np.array_equal(other.reference, case.reference)
        ]
        if others:
            loudest = max(others, key=lambda other: float(np.square(other.reference).mean()))
            conditionings = [model.condition(case.queries, case.rate, clips) for clips in ([], loudest.queries)]
            before, after = (si_sdri(case, model.estimate(case.mixture, each, case.rate)) for each in conditionings)
            rows.append({"song": case.song, "without": before, "with": after})
    return rows


def several_instruments(model: Separator, single: list[Clip], several: list[Clip]) -> dict[str, float]:
    """How well the model tells clips of one instrument from mixtures, as the warning of `separate` has it.

    Returns:
        `area` under the ROC curve; rates of warnings among the clips (false positives) and the mixtures (true ones).
    """
    without, having = (
        np.array([model.polyphony_logit(model.encode(*clip)) for clip in clips]) for clips in (single, several)
    )
    above = (having[:, None] > without) + 0.5 * (having[:, None] == without)
    return {
        "clips": len(single),
        "mixtures": len(several),
        "area": float(above.mean()),
        "false positive rate": float(np.mean(without > POLYPHONIC_LOGIT)),
        "true positive rate": float(np.mean(having > POLYPHONIC_LOGIT)),
    }
