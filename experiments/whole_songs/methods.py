"""The ways of a song that are compared."""

from __future__ import annotations

from typing import Any, NamedTuple

from fewshot_sep import SongSeparator


class Way(NamedTuple):
    """Settings of `SongSeparator`, and what they stand for."""

    grid: str
    tempo: str
    about: str
    context: float | None = None

    def separator(self, model: Any) -> SongSeparator:
        return SongSeparator(model, tempo=self.tempo, context=self.context)


WAYS = {
    "plain": Way("none", "none", "no bars: overlapping segments of fixed length"),
    "thesis": Way("beat", "audio", "bars from the first beat found, stretched there and back, without overlap", 0.0),
    "audio": Way("auto", "audio", "bars from downbeats with context; sound stretched there and back"),
    "mask": Way("auto", "mask", "the same; the mask goes back to native time and is laid on the song's spectrum"),
    "none": Way("auto", "none", "the same bars at their own tempo"),
    "hop": Way("auto", "hop", "the same; the hop of the STFT brings each bar to the common tempo: the default"),
}
OURS = "hop"
