"""Query clips from files and passages, and what is to be said of their quality."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_sep import audio, levels
from fewshot_sep.errors import BadQuery
from fewshot_sep.songs.jobs import sound_files

Array = NDArray[np.float32]
Span = tuple[float, float]
Clip = tuple[Array, int]

SHORT_SECONDS = 1.5
QUIET_DBFS = -45.0
RANGE_DB = 40.0  # below the clip's loudest frame it does not sound
FRAME_SECONDS = 0.05
POLYPHONIC_LOGIT = 0.0


def parse_span(text: str) -> Span:
    """ "0:12-0:18" or "12.5-18" -> seconds (from, to). Raises ValueError, which says what is wrong."""
    moment = r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)"
    found = re.fullmatch(rf"\s*{moment}\s*-\s*{moment}\s*", text)
    if not found:
        raise ValueError(f"{text!r} is no passage: write it like 0:12-0:18")
    values = [float(group or 0) for group in found.groups()]
    start, stop = (h * 3600 + m * 60 + s for h, m, s in (values[:3], values[3:]))
    if stop <= start:
        raise ValueError(f"{text!r} ends before it begins")
    return start, stop


def clip_files(path: Path) -> list[Path]:
    """The file itself, or the sound files in a folder."""
    return sound_files(path) if path.is_dir() else [path]


def read_span(source: audio.AudioFile, span: Span) -> Clip:
    """A passage of an open song. Raises BadQuery where it ends after the song."""
    start, stop = (round(seconds * source.sample_rate) for seconds in span)
    if stop > source.frames:
        length = source.frames / source.sample_rate
        raise BadQuery(
            f"{source.path}: --query-at {span[0]:g}-{span[1]:g} s ends after the song, which lasts {length:.2f} s"
        )
    return source.read(start, stop), source.sample_rate


def examine(samples: Array, sample_rate: int, polyphony_logit: float | None = None) -> dict[str, Any]:
    """What can be told of a query clip `(channels, samples)`: its figures, and what its user should know.

    Args:
        polyphony_logit: log odds that more than one instrument plays, where a model can tell.

    Returns:
        `sound (s)`: how long it sounds, silence left out; `level (dBFS)` of what sounds; `polyphony_logit`, where it is
        known; `remarks`, one line each.
    """
    frame = max(round(FRAME_SECONDS * sample_rate), 1)
    power = levels.frame_power(samples, frame)
    sounding = levels.active(power, RANGE_DB)
    seconds = float(min(sounding.sum() * frame, samples.shape[1]) / sample_rate)
    level = float(10 * np.log10(power[sounding].mean())) if sounding.any() else -120.0
    remarks = []
    if seconds < SHORT_SECONDS:
        remarks.append(f"only {seconds:.1f} s of it sound; 2 to 10 s are better")
    if level < QUIET_DBFS:
        remarks.append(f"it is quiet ({level:.0f} dBFS): noise may be taken for the instrument")
    if polyphony_logit is not None and polyphony_logit > POLYPHONIC_LOGIT:
        remarks.append("more than one instrument seems to play in it: what is found may be any of them")
    known = {} if polyphony_logit is None else {"polyphony_logit": round(polyphony_logit, 2)}
    return {"sound (s)": round(seconds, 2), "level (dBFS)": round(level, 1), **known, "remarks": remarks}
