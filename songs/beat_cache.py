"""The beats of a song, kept beside its results, so that the next query need not track them again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from fewshot_sep.beats import Beats

_VERSION = 1  # of the decoder: raise it when the same activations give other beats

Fingerprint = dict[str, object]


def fingerprint(song: Path, tracker: str, meters: tuple[int, ...]) -> Fingerprint:
    """What beats depend on: the file as it is now, and how it is tracked."""
    facts = song.stat()
    return {
        "version": _VERSION,
        "bytes": facts.st_size,
        "changed": facts.st_mtime_ns,
        "tracker": tracker,
        "meters": list(meters),
    }


def load(path: Path, wanted: Fingerprint) -> Beats | None:
    """The beats in `path`; None if they were kept under another fingerprint than `wanted`, or are damaged."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["of"] != wanted:
            return None
        return Beats(
            np.array(stored["seconds"], dtype=np.float64),
            np.array(stored["places in bar"], dtype=np.int64),
            np.array(stored["strengths"], dtype=np.float64),
            int(stored["meter"]),
            str(stored["tracker"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def to_json(beats: Beats, of: Fingerprint) -> dict[str, object]:
    """What `load` reads, and others may: beats in seconds, places in the bar from 1."""
    return {
        "of": of,
        "tracker": beats.tracker,
        "meter": beats.meter,
        "seconds": [round(float(time), 4) for time in beats.times],
        "places in bar": beats.positions.tolist(),
        "strengths": [round(float(strength), 6) for strength in beats.strengths],
    }
