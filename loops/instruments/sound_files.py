"""Sound files of material: which they are, how they are read, what they are called in a library."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soxr

from fewshot_sep import audio
from fewshot_sep.loops.instruments.voice import Sound
from fewshot_sep.loops.library import SAMPLE_RATE

AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".au"}


def among(paths: Iterable[Path]) -> list[Path]:
    """Those of the paths that are named as sound files, sorted."""
    return sorted(path for path in paths if path.suffix.lower() in AUDIO_SUFFIXES)


def read_mono(path: str | Path) -> Sound:
    """A sound file at `SAMPLE_RATE`, channels averaged. Raises `BadAudio`."""
    samples, rate = audio.read(path)
    mono: Sound = samples.mean(axis=0)
    return mono if rate == SAMPLE_RATE else soxr.resample(mono, rate, SAMPLE_RATE).astype(np.float32)


def slug(name: str) -> str:
    """A name as lower-case letters, digits and single hyphens.

    >>> slug("Tom High (12\\")")
    'tom-high-12'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "x"
