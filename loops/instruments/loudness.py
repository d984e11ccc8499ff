"""Loudness of a sound over its active parts, and the levelling of what voices play."""

from __future__ import annotations

import numpy as np

from fewshot_sep.levels import active, frame_power
from fewshot_sep.loops.instruments.voice import Sound
from fewshot_sep.loops.library import SAMPLE_RATE

_FRAME_S = 0.25
_SILENCE_DBFS = -120.0  # voices play at any level


def activity(sound: Sound) -> tuple[float, float]:
    """Share of the time that is active, in whole quarters of a second, and the RMS over it.

    >>> activity(np.concatenate([np.ones(44100), np.zeros(44100)]).astype(np.float32))
    (0.5, 1.0)
    """
    frame = max(1, min(round(_FRAME_S * SAMPLE_RATE), len(sound)))
    power = frame_power(sound[: len(sound) // frame * frame], frame)
    sounding = active(power, floor_dbfs=_SILENCE_DBFS)
    return (float(sounding.mean()), float(np.sqrt(power[sounding].mean()))) if sounding.any() else (0.0, 0.0)


def level(sound: Sound, rms_dbfs: float = -20.0, peak: float = 0.95) -> Sound:
    """Scale to this RMS over the active parts, less where the peak would pass `peak`; 15 ms fade at the end."""
    _, rms = activity(sound)
    sound = sound - np.float32(sound.mean())
    gain = min(10 ** (rms_dbfs / 20) / max(rms, 1e-9), peak / max(float(np.abs(sound).max(initial=0)), 1e-9))
    out = (sound * np.float32(gain)).astype(np.float32)
    fade = min(len(out), round(0.015 * SAMPLE_RATE))
    out[len(out) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    out[:32] *= np.linspace(0, 1, 32, dtype=np.float32)[: len(out)]
    return out
