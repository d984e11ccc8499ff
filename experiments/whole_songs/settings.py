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
PROFILED = ("plain", "thesis", DEFAULT)
"""Methods whose level through the bar is measured."""
STAGES = ("tracking", "stretching", "network", "masking")

REFERENCE_CLIPS, REFERENCE_CLIP_S = 4, 4.0
"""Queries of a Frets on Fire song."""
EXCERPT_S = (30.0, 90.0)
"""The minute of a song on which shifts, boundaries and queries are measured."""
UNSCORED_S = 10.0
"""Beginning of a shifted excerpt that is not scored."""
MAX_SHIFT_BEATS = 3
NEAR_BOUNDARY_S = 0.05
PARTS_OF_BEAT = 8
"""Into which the level through the bar is divided."""
QUERY_S, QUERY_COUNT = 6.0, 12
SHORT_QUERIES_S = (1.0, 3.0)
AVERAGED, DRAWS = (3, 5), 4
"""How many queries are averaged, and how often that is drawn."""
MIXTURE_CLIP_S = 4.0
"""Passages of mixtures that the detector of several instruments is given."""

OLD_KEYS = {
    "way": "method",
    "gain": "si_sdri",
    "spectral gain": "spectral_snri",
    "joins": "boundaries",
    "not": "negative query",
    "crowds": "several instruments",
    "false alarms": "false positive rate",
    "hits": "true positive rate",
}
"""Names in older metrics.json, and what they are called now."""
