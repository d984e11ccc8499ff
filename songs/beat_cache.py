"""The beats of a song, kept beside its results, so that the next query need not track them again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fewshot_sep import files
from fewshot_sep.beats import Beats
from fewshot_sep.beats.tracking import ODD_METERS

_VERSION = 2  # of the decoder: raise it when the same activations give other beats

Fingerprint = dict[str, object]


def fingerprint(song: str, tracker: str, meters: tuple[int, ...]) -> Fingerprint:
    """What beats depend on: the song, by its digest, and how it is tracked."""
    return {"version": _VERSION, "song": song, "tracker": tracker, "meters": list(meters)}


def load(path: Path, wanted: Fingerprint, duration: float) -> Beats | None:
    """The beats in `path`, of a song of so many seconds; None if their fingerprint is another, or they are damaged."""
    try:
        stored = files.read_json(path)
        if stored["of"] != wanted:
            return None
        times, strengths = (np.array(stored[name], dtype=np.float64) for name in ("seconds", "strengths"))
        positions = np.array(stored["places in bar"], dtype=np.int64)
        meter, tracker, likely = stored["meter"], stored["tracker"], stored["likely meter"]
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None
    whole = times.ndim == 1 and times.shape == positions.shape == strengths.shape
    named = isinstance(tracker, str) and type(meter) is int is type(likely)
    named = named and meter in stored["of"]["meters"] and likely in (0, meter, *ODD_METERS)
    if not whole or not named:
        return None
    rising = ((times >= 0) & (times <= duration)).all() and (np.diff(times) > 0).all()
    within = ((positions >= 1) & (positions <= meter)).all() and ((strengths >= 0) & (strengths <= 1)).all()
    return Beats(times, positions, strengths, meter, tracker, likely) if rising and within else None


def to_json(beats: Beats, of: Fingerprint) -> dict[str, object]:
    """What `load` reads, and others may: beats in seconds, places in the bar from 1."""
    return {
        "of": of,
        "tracker": beats.tracker,
        "meter": beats.meter,
        "likely meter": beats.likely_meter,
        "seconds": [round(float(time), 4) for time in beats.times],
        "places in bar": beats.positions.tolist(),
        "strengths": [round(float(strength), 6) for strength in beats.strengths],
    }
