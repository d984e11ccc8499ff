"""Other ways through a song than the default's, as methods of the evaluation."""

from __future__ import annotations

from functools import cache, partial

from fewshot_sep import Prompt, Separator, SongSeparator
from fewshot_sep.experiments.evaluation.case import Array, Case


def separate(grid: str, tempo: str, context: float | None, case: Case) -> Array:
    """The target by bars of `grid`, brought to a common tempo by `tempo`; `context` beside each in seconds."""
    prompt = Prompt(case.queries, case.among, case.absent)
    separator = SongSeparator(shipped(), tempo=tempo, context=context)
    return separator.separate(case.mixture, prompt, case.sample_rate, grid, residual_pass=False).target


@cache
def shipped() -> Separator:
    """The bundled weights, read once."""
    return Separator.from_pretrained()


plain = partial(separate, "none", "none", None)
"""No bars: overlapping segments of fixed length."""
thesis = partial(separate, "beat", "audio", 0.0)
"""Bars from the first beat found, stretched there and back, without overlap."""
audio = partial(separate, "auto", "audio", None)
"""Bars from downbeats with context; sound stretched there and back."""
mask = partial(separate, "auto", "mask", None)
"""The same; the mask goes back to native time and is laid on the song's spectrum."""
native = partial(separate, "auto", "none", None)
"""The same bars at their own tempo."""
hop = partial(separate, "auto", "hop", None)
"""The same; the hop of the STFT brings each bar to the common tempo: the default."""
