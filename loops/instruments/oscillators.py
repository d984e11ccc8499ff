"""What invented instruments are made of: oscillators, envelopes, moving pitch, and filters that change over time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import convolve1d

from fewshot_sep.loops.instruments.voice import Sound, fade_ends
from fewshot_sep.loops.library import SAMPLE_RATE
from fewshot_sep.loops.score import Note

Curve = NDArray[np.float64]

HOP = 256
"""Samples from one value of a control curve to the next."""


def frequency(pitch: NDArray[np.floating] | float) -> NDArray[np.float32]:
    """Hz of a MIDI pitch.

    >>> float(frequency(69.0))
    440.0
    """
    return np.asarray(440.0 * 2.0 ** ((np.asarray(pitch, np.float32) - 69) / 12), np.float32)


def times(frames: int) -> Sound:
    """When each of so many samples sounds, in seconds."""
    return np.arange(frames, dtype=np.float32) / np.float32(SAMPLE_RATE)


def times_within(seconds: float) -> Sound:
    """As `times`, for so many seconds; at least 64 samples."""
    return times(max(64, int(seconds * SAMPLE_RATE)))


def sine(cycles: NDArray[np.floating]) -> Sound:
    """Sine of a phase in cycles, exact for large phases in float32."""
    phase = np.asarray(cycles - np.floor(cycles), np.float32)
    return np.asarray(np.sin(phase * np.float32(2 * np.pi)), np.float32)


def saw(cycles: Curve, step: Curve, duty: float = 0.0) -> Sound:
    """Sawtooth of a phase in cycles, its jump smoothed by a polynomial (PolyBLEP, Valimaki & Huovilainen 2007)."""
    phase = (cycles + duty) % 1.0
    out = 2 * phase - 1
    early, late = phase < step, phase > 1 - step
    x = phase[early] / step[early]
    out[early] -= x + x - x * x - 1
    x = (phase[late] - 1) / step[late]
    out[late] -= x * x + x + x + 1
    return out.astype(np.float32)


@dataclass(frozen=True)
class Envelope:
    """Attack, decay, sustain level and release; seconds, except sustain in [0, 1]."""

    attack: float
    decay: float
    sustain: float
    release: float

    @classmethod
    def draw(cls, patch: Generator) -> Envelope:
        """A third of them with a soft attack."""
        soft = bool(patch.random() < 0.35)
        attack = patch.uniform(0.04, 0.3) if soft else 10 ** patch.uniform(-3, -1.6)
        decay = 10 ** patch.uniform(-1.1, 0.5)
        sustain = 0.0 if patch.random() < 0.35 and not soft else patch.uniform(0.25, 1.0)
        return cls(attack, decay, sustain, 10 ** patch.uniform(-1.6, -0.2))

    def curve(self, held: float, room: int) -> Sound:
        """Gain over a note held for `held` seconds and its release, at most `room` samples long."""
        t = times_within(min(held + 4 * self.release, max(room, 64) / SAMPLE_RATE))
        level: Sound = self.sustain + (1 - self.sustain) * np.exp(-np.maximum(t - self.attack, 0) / self.decay)
        level *= np.minimum(t / self.attack, 1)
        release(level, t, held, self.release)
        fade_ends(level, 0, 64)
        return level


def release(level: Sound, t: Sound, held: float, seconds: float) -> None:
    """Let `level` die away from `held` on, by 1/e in so many seconds, in place; `t` are its times."""
    after = t > held
    level[after] *= np.exp(-(t[after] - held) / seconds)


class Pitch:
    """The way a patch's pitch moves: vibrato after a delay, an onset glide, bends that the note brings."""

    def __init__(self, patch: Generator) -> None:
        self.rate, self.delay = patch.uniform(3.5, 7.5), patch.uniform(0, 0.5)
        self.depth = patch.uniform(0.05, 0.45) if patch.random() < 0.45 else 0.0
        self.glide = float(patch.choice((0, 0, 0, 0, 0.3, -0.5, 1.0, -2.0)))
        self.glide_time = patch.uniform(0.01, 0.08)

    def cycles(self, note: Note, frames: int, rng: Generator) -> tuple[Curve, Curve]:
        """Phase in cycles, and the step from sample to sample."""
        t = times(frames)
        pitch = np.full(frames, note.pitch + rng.normal(0, 0.03), np.float32)
        if self.depth:
            swell = np.clip((t - self.delay) / 0.3, 0, 1)
            pitch += self.depth * swell * np.sin(2 * np.pi * self.rate * t + rng.uniform(0, 6.28))
        if self.glide or note.bend:
            pitch += self.glide * np.exp(-t / self.glide_time) + note.bend * np.exp(-t / 0.08)
        step = frequency(pitch).astype(np.float64) / SAMPLE_RATE
        return np.cumsum(step), step


def formants(patch: Generator, hz: Curve) -> Sound:
    """A random spectral envelope at these frequencies: a tilt and a few broad peaks."""
    tilt = patch.uniform(0.3, 1.6)
    gain = (np.maximum(hz, 60) / 300) ** -tilt
    for _ in range(int(patch.integers(1, 5))):
        centre, width, peak = 10 ** patch.uniform(2.3, 3.9), patch.uniform(0.08, 0.4), patch.uniform(1, 8)
        gain *= 1 + peak * np.exp(-((np.log10(np.maximum(hz, 20) / centre) / width) ** 2))
    return gain.astype(np.float32)


def shape(signal: Sound, response: Callable[[Sound, NDArray[np.int64]], NDArray[np.floating]]) -> Sound:
    """Filter by a zero-phase magnitude that changes every `HOP`: `response(hz (1, F), frame (T, 1)) -> (T, F)`."""
    size = 4 * HOP
    window = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)
    count = -(-len(signal) // HOP) + 3
    padded = np.zeros((count + 3) * HOP, np.float32)
    padded[3 * HOP : 3 * HOP + len(signal)] = signal
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::HOP][:count]
    hz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE).astype(np.float32)[None]
    magnitude = response(hz, np.maximum(np.arange(count)[:, None] - 1, 0)).astype(np.float32)
    done = np.fft.irfft(np.fft.rfft(frames * window, axis=1) * magnitude, axis=1).astype(np.float32) * (window / 2)
    out = np.zeros((count + 3) * HOP, np.float32)
    for part in range(4):
        out[part * HOP : part * HOP + count * HOP] += done[:, part * HOP : (part + 1) * HOP].reshape(-1)
    return out[3 * HOP : 3 * HOP + len(signal)]


def smooth(curve: Curve, seconds: float) -> Curve:
    """Centred moving average (Hann) along the first axis of a control curve."""
    size = max(1, int(seconds * 2 * SAMPLE_RATE / HOP)) | 1
    if size == 1:
        return curve
    kernel = np.hanning(size + 2)[1:-1]
    smoothed: Curve = convolve1d(curve, kernel / kernel.sum(), axis=0, mode="nearest")
    return smoothed
