"""Loudness of a sound over its active parts, and the levelling of what voices play."""

from __future__ import annotations

import numpy as np

from fewshot_sep.levels import active, frame_power
from fewshot_sep.loops.instruments.voice import Sound, fade_ends
from fewshot_sep.loops.library import SAMPLE_RATE

MIN_PIECE_ACTIVE, MIN_PIECE_DBFS = 0.25, -50.0
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
    fade_ends(out, 32, round(0.015 * SAMPLE_RATE))
    return out


def is_played(sound: Sound, min_active: float) -> bool:
    """True if a part, at whatever level, plays for long enough; see `activity`."""
    active, rms = activity(sound)
    return bool(active >= min_active and rms > 1e-5 and np.isfinite(sound).all())


def is_faint(piece: Sound) -> bool:
    """True if too little of a piece sounds for it to be learnt from."""
    active, rms = activity(piece)
    return active < MIN_PIECE_ACTIVE or rms < 10 ** (MIN_PIECE_DBFS / 20) or not np.isfinite(piece).all()
