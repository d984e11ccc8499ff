"""What is compared on whole songs, and the numbers that are chosen for it."""

from __future__ import annotations

from typing import NamedTuple


class Method(NamedTuple):
    """Settings of `SongSeparator`, and what they stand for."""

    grid: str
    tempo: str
    about: str
    context: float | None = None


METHODS = {
    "plain": Method("none", "none", "no bars: overlapping segments of fixed length"),
    "thesis": Method("beat", "audio", "bars from the first beat found, stretched there and back, without overlap", 0.0),
    "audio": Method("auto", "audio", "bars from downbeats with context; sound stretched there and back"),
    "mask": Method("auto", "mask", "the same; the mask goes back to native time and is laid on the song's spectrum"),
    "none": Method("auto", "none", "the same bars at their own tempo"),
    "hop": Method("auto", "hop", "the same; the hop of the STFT brings each bar to the common tempo: the default"),
}
DEFAULT = "hop"
STAGES = ("tracking", "stretching", "network", "masking")

REFERENCE_CLIPS, REFERENCE_CLIP_S = 4, 4.0
"""Queries of a Frets on Fire song."""
