"""How the thesis separates a whole song: clips of four beats from the first beat on, none overlapping another."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from fewshot_sep import audio
from fewshot_sep.experiments.bachata.examples import Array, tensor
from fewshot_sep.loops.curation.conform import BEATS
from fewshot_sep.stretch import stretch
from fewshot_sep.systems import ImageSystem

Times = NDArray[np.float64]


def edges(beats: Times, first: int = 0) -> Times:
    """Where the clips begin, and the last one ends: every fourth beat from beat number `first` on, in seconds."""
    return beats[first::BEATS]


@torch.inference_mode()
def separate(
    system: ImageSystem,
    song: Array,
    sample_rate: int,
    cuts: Times,
    queries: Mapping[str, Array],
) -> dict[str, Array]:
    """Each clip at 11,025 Hz in the common tempo, through the network, back in its own tempo, one after the other.

    Args:
        song: `(1, samples)` at `sample_rate`. cuts: the clips' edges in seconds.
        queries: `(samples,)` at 11,025 Hz for each instrument.

    Returns:
        `(1, samples)` at 11,025 Hz for each instrument; silent before the first clip and after the last.
    """
    rate, segment = system.preset.sample_rate, system.preset.segment
    mono = audio.resample(song, sample_rate, rate)
    conditionings = {name: system.condition(tensor(system, query)[None, None]) for name, query in queries.items()}
    estimates = {name: np.zeros_like(mono) for name in queries}
    for start, stop in pairwise(np.clip(np.round(cuts * rate).astype(int), 0, mono.shape[1]).tolist()):
        stretched = stretch(mono[:, start:stop], segment, rate)
        for name, conditioning in conditionings.items():
            target = system(tensor(system, stretched[None]), conditioning)[0].cpu().numpy()
            estimates[name][:, start:stop] = stretch(target, stop - start, rate)
    return estimates
