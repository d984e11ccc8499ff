"""What is measured on songs: SI-SDRi, time and beats."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from fewshot_sep import Separator, SongSeparator, audio, beats
from fewshot_sep.beats import Beats
from fewshot_sep.experiments.whole_songs.material import Array, Case
from fewshot_sep.experiments.whole_songs.settings import METHODS
from fewshot_sep.metrics import si_sdr
from fewshot_sep.songs.monitor import Monitor
from fewshot_sep.songs.pipeline import SongRun
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


def compare(model: Separator, cases: Iterable[Case]) -> list[dict[str, Any]]:
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
    return rows


def beat_figures(found: Beats, bpm: float, seconds: float) -> dict[str, float]:
    """F-measures (70 ms) of beats and downbeats against a constant tempo, whose delay (median) is taken away first.

    Source: M. Davies, N. Degara, M. Plumbley, "Evaluation Methods for Musical Audio Beat Tracking Algorithms", 2009.
    """
    import mir_eval.beat

    period = 60 / bpm
    truth = np.arange(0, seconds, period)
    delay = float(np.median((found.times + period / 2) % period - period / 2))
    times, downbeats = found.times - delay, found.times[found.positions == 1] - delay
    phases = [mir_eval.beat.f_measure(truth[phase::4], downbeats) for phase in range(4)]
    return {
        "beats": float(mir_eval.beat.f_measure(truth, times)),
        "downbeats": float(max(phases)),
        "delay (ms)": 1000 * delay,
        "meter": float(found.meter),
    }
