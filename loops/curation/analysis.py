"""What one raw loop sounds like, whatever its name: damage, silence, clipping, onsets, tempo, fingerprint."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from fewshot_sep import audio, beats, files, levels
from fewshot_sep.errors import BadAudio, EngineMissing

Samples = NDArray[np.float32]

PADDING_DB = 50.0  # below the peak: quieter ends are taken for padding
TRACKED_SECONDS = 16.0  # a loop is repeated to about this length for the tracker
MAX_SECONDS = 120.0
RATE = 11025
BANDS, COLUMNS = 24, 64


@dataclass(frozen=True)
class Analysis:
    """Measures of one file.

    error: why it cannot be used, else empty (all that follows is 0 then). cut_short: it promises more than it holds.
    peak, rms: of full scale. clipped: share of samples in flat tops. head_s, tail_s: padding at the ends, in seconds.
    onsets: how many. decays: it ends at least 40 dB below its loudest. bpm: as tracked, 0 for none. strength: 0 to 1,
    of the tracked beats. steadiness: share of the tracked intervals near their median. sha256: of the file.
    fingerprint: of the sound, hexadecimal.
    """

    error: str = ""
    cut_short: bool = False
    sample_rate: int = 0
    channels: int = 0
    frames: int = 0
    peak: float = 0.0
    rms: float = 0.0
    clipped: float = 0.0
    head_s: float = 0.0
    tail_s: float = 0.0
    onsets: int = 0
    decays: bool = False
    bpm: float = 0.0
    strength: float = 0.0
    steadiness: float = 0.0
    sha256: str = ""
    fingerprint: str = ""

    @property
    def seconds(self) -> float:
        """The file's length."""
        return self.frames / self.sample_rate if self.sample_rate else 0.0


@files.first_time_alone("librosa")
def analyse(path: Path, tracker: str = "auto") -> Analysis:
    """Measure one file. What is wrong with it stands in the answer; raises nothing for bad audio."""
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with audio.open_audio(path) as file:
            rate, cut_short = file.sample_rate, bool(file.warnings)
            if file.frames > MAX_SECONDS * rate:
                return Analysis(f"lasts {file.frames / rate:.0f} s, a loop up to {MAX_SECONDS:.0f}", sha256=digest)
            samples = file.read(0, file.frames)
    except (BadAudio, EngineMissing, OSError) as error:
        return Analysis(error=str(error).replace(f"{path}: ", ""))
    peak = float(np.abs(samples).max())
    rms = float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))
    found = Analysis("", cut_short, rate, len(samples), samples.shape[1], peak, rms, sha256=digest)
    if peak < 1e-4:
        return found
    loud = np.flatnonzero(levels.active(np.square(samples, dtype=np.float64).max(0), PADDING_DB))
    first, last = int(loud[0]), int(loud[-1]) + 1
    mono = levels.downmix(samples)
    onsets, decays = _onsets(mono[first:last], rate)
    bpm, strength, steadiness = _track(mono[first:last], rate, tracker)
    return replace(
        found,
        clipped=clipped_share(samples),
        head_s=first / rate,
        tail_s=(len(mono) - last) / rate,
        onsets=onsets,
        decays=decays,
        bpm=bpm,
        strength=strength,
        steadiness=steadiness,
        fingerprint=fingerprint(mono[first:last], rate),
    )


def clipped_share(samples: Samples) -> float:
    """Share of the samples that lie in runs of four or more, level with the peak: tops that were cut off.

    A round top is twice as wide four times as far below the peak; what is not so wide there is flat.

    >>> wave = np.sin(np.arange(1000, dtype=np.float32) / 10)[None]
    >>> clipped_share(wave), bool(clipped_share(np.clip(3 * wave, -1, 1)) > 0.5)
    (0.0, True)
    """
    level = np.abs(samples)
    at_peak, below = (
        float(scipy.ndimage.binary_opening(level >= level.max() * (1 - depth), np.ones((1, 4))).mean())
        for depth in (0.001, 0.004)
    )
    return max(2 * at_peak - below, 0.0)


def _onsets(mono: Samples, rate: int) -> tuple[int, bool]:
    """How many onsets stand out, and whether the end is 40 dB below the loudest tenth of a second."""
    import librosa

    hop = max(1, rate // 100)
    count = max(1, len(mono) // (10 * hop))
    power = np.array([float(np.mean(part.astype(np.float64) ** 2)) for part in np.array_split(mono, count)])
    decays = not levels.active(power)[-1]
    flux = librosa.onset.onset_strength(y=np.pad(mono, (2048, 0)), sr=rate, hop_length=hop, n_fft=1024)
    found = librosa.onset.onset_detect(onset_envelope=flux, sr=rate, hop_length=hop, delta=0.1)
    return len(found), bool(decays)


def _track(mono: Samples, rate: int, tracker: str) -> tuple[float, float, float]:
    """Tempo, strength and steadiness of the sound, repeated seamlessly as a loop is."""
    times = max(1, round(TRACKED_SECONDS * rate / len(mono)))
    found = beats.track(np.tile(mono, times)[None], rate, tracker)
    intervals = np.diff(found.times)
    if len(intervals) < 3:
        return 0.0, 0.0, 0.0
    steady = np.abs(intervals / np.median(intervals) - 1) < 0.08
    return 60 / float(intervals[steady].mean()), found.confidence, float(steady.mean())


def fingerprint(mono: Samples, rate: int) -> str:
    """Shape of the sound over bands and time, whatever its level, rate and format: `COLUMNS` x `BANDS` bytes as hex."""
    import librosa

    low = audio.resample(np.asarray(mono, np.float32)[None], rate, RATE)[0]
    mel = librosa.feature.melspectrogram(y=low, sr=RATE, n_fft=512, hop_length=128, n_mels=BANDS, fmin=60, fmax=3500)
    level = np.maximum(librosa.power_to_db(mel, ref=np.max), -50)
    edges = np.linspace(0, level.shape[1], COLUMNS + 1).astype(int)
    shape = np.array([level[:, a : max(a + 1, b)].mean(1) for a, b in pairwise(edges)])
    shape = (shape - shape.mean()) / (shape.std() + 1e-9)
    return bytes(np.clip(np.round(shape * 32 + 128), 0, 255).astype(np.uint8)).hex()


def similarity(one: str, other: str) -> float:
    """Correlation of two fingerprints, -1 to 1."""
    a, b = (np.frombuffer(bytes.fromhex(text), np.uint8).astype(np.float64) - 128 for text in (one, other))
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / (np.sqrt((a @ a) * (b @ b)) + 1e-12))
