"""Query clips from files and passages, and what is to be said of their quality."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_sep import audio
from fewshot_sep.errors import BadQuery
from fewshot_sep.songs.jobs import sound_files

Array = NDArray[np.float32]
Span = tuple[float, float]
Clip = tuple[Array, int]

SHORT_SECONDS = 1.5
QUIET_DBFS = -45.0
SOUNDING_DB = -40.0  # of a moment, re the clip's loudest
MOMENT_SECONDS = 0.05
CROWDED = 0.0  # log odds


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


def examine(samples: Array, sample_rate: int, crowdedness: float | None = None) -> dict[str, Any]:
    """What can be told of a query clip `(channels, samples)`: its figures, and what its user should know.

    Args:
        crowdedness: log odds that more than one instrument plays, where a model can tell.

    Returns:
        `sound (s)`: how long it sounds, silence left out; `level (dBFS)` of what sounds; `crowdedness`, where it is
        known; `remarks`, one line each.
    """
    moment = max(round(MOMENT_SECONDS * sample_rate), 1)
    mono = np.pad(samples.mean(0, dtype=np.float64), (0, -samples.shape[1] % moment)).reshape(-1, moment)
    levels = 10 * np.log10(np.square(mono).mean(1) + 1e-12)
    sounding = levels > max(levels.max() + SOUNDING_DB, -90.0)
    seconds = float(min(sounding.sum() * moment, samples.shape[1]) / sample_rate)
    level = float(10 * np.log10(np.square(mono[sounding]).mean() + 1e-12)) if sounding.any() else -120.0
    remarks = []
    if seconds < SHORT_SECONDS:
        remarks.append(f"only {seconds:.1f} s of it sound; 2 to 10 s are better")
    if level < QUIET_DBFS:
        remarks.append(f"it is quiet ({level:.0f} dBFS): noise may be taken for the instrument")
    if crowdedness is not None and crowdedness > CROWDED:
        remarks.append("more than one instrument seems to play in it: what is found may be any of them")
    known = {} if crowdedness is None else {"crowdedness": round(crowdedness, 2)}
    return {"sound (s)": round(seconds, 2), "level (dBFS)": round(level, 1), **known, "remarks": remarks}
