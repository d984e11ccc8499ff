from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fewshot_sep import audio
from fewshot_sep.loops.instruments.voice import Sound
from fewshot_sep.loops.library import SAMPLE_RATE


@pytest.fixture(scope="session")
def tone() -> Callable[[float, float], Sound]:
    """A sine of a MIDI pitch, so many seconds long."""

    def make(pitch: float, seconds: float) -> Sound:
        t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
        return (0.5 * np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * t)).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def tone_file(tone: Callable[[float, float], Sound]) -> Callable[..., str]:
    """A wav of a sine; its folder is made."""

    def write(path: Path, pitch: float = 60, seconds: float = 0.1) -> str:
        path.parent.mkdir(parents=True, exist_ok=True)
        audio.write(path, tone(pitch, seconds), SAMPLE_RATE)
        return str(path)

    return write


@pytest.fixture(scope="session")
def pitch_of() -> Callable[[Sound], float]:
    """The MIDI pitch of the strongest frequency."""

    def measure(sound: Sound) -> float:
        power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 8 * len(sound)))
        return float(69 + 12 * np.log2(np.argmax(power) / (8 * len(sound)) * SAMPLE_RATE / 440))

    return measure
