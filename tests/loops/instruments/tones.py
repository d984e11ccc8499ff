"""Sines of a MIDI pitch, as arrays and files, and the pitch of what came of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fewshot_sep import audio
from fewshot_sep.loops.instruments.voice import Sound
from fewshot_sep.loops.library import SAMPLE_RATE


def make(pitch: float, seconds: float) -> Sound:
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (0.5 * np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * t)).astype(np.float32)


def write(*paths: Path, pitch: float = 60, seconds: float = 0.1) -> str:
    for path in paths:
        audio.write(path, make(pitch, seconds), SAMPLE_RATE)
    return str(paths[-1])


def pitch_of(sound: Sound) -> float:
    """Of the strongest frequency."""
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 8 * len(sound)))
    return float(69 + 12 * np.log2(np.argmax(power) / (8 * len(sound)) * SAMPLE_RATE / 440))
