"""Beat activations from librosa's onset strength: free for any use, less accurate than a trained network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fewshot_sep import files
from fewshot_sep.beats.activations import ACTIVATION_FLOOR, FRAMES_PER_SECOND, SAMPLE_RATE


def activations(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Beats where librosa's dynamic programming puts them (D. Ellis, 2007); downbeats where the bass enters.

    Shape: see `fewshot_sep.beats.activations.Tracker`.
    """
    with files.first_time_alone("librosa"):
        return _activations(samples)


def _activations(samples: NDArray[np.float32]) -> NDArray[np.float32]:
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
    height = np.clip(_regularity(flux) * flux[beats] / (flux[beats].mean() + 1e-12), 0.06, 0.9)
    for shift, fall in ((-2, 0.4), (0, 0.4), (-1, 1.0)):  # the flux rises one frame after the sound
        at = np.clip(beats + shift, 0, len(result) - 1)
        result[at] = fall * np.stack([height * (1 - share), height * share], axis=1)
    return np.maximum(result, ACTIVATION_FLOOR)


def _regularity(flux: NDArray[np.float32]) -> float:
    """How regular the onsets are, 0 to 1: the highest autocorrelation over the lags that a beat can have."""
    import librosa

    correlation = librosa.autocorrelate(flux - flux.mean(), max_size=110)
    return float(correlation[28:].max(initial=0) / (correlation[0] + 1e-12))
