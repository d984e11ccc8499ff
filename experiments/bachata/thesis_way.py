"""The thesis's way through a whole song: clips of four beats from the first beat on, none overlapping another."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from experiments.bachata.examples import tensor
from fewshot_sep import audio
from fewshot_sep.stretch import stretch
from fewshot_sep.systems import ImageSystem
from loops.normalise import BEATS

Array = NDArray[np.float32]


def edges(times: NDArray[np.float64], first: int = 0) -> NDArray[np.float64]:
    """Where the clips begin, and the last one ends: every fourth beat from beat number `first` on, in seconds."""
    return times[first::BEATS]


@torch.inference_mode()
def separate(
    system: ImageSystem, song: Array, sample_rate: int, cuts: NDArray[np.float64], conditionings: dict[str, Any]
) -> dict[str, Array]:
    """Each clip at 11,025 Hz in the common tempo, through the network, back in its own tempo, one after the other.

    Args:
        song: `(1, samples)` at `sample_rate`. cuts: the clips' edges in seconds. conditionings: what `system.condition`
            says of the query for each instrument.

    Returns:
        `(1, samples)` at 11,025 Hz for each instrument; silent before the first clip and after the last.
    """
    rate, segment = system.preset.sample_rate, system.preset.segment
    mono = audio.resample(song, sample_rate, rate)
    places = np.clip(np.round(cuts * rate).astype(int), 0, mono.shape[1])
    found = {name: np.zeros_like(mono) for name in conditionings}
    for start, stop in pairwise(places):
        clip = tensor(system, stretch(mono[:, start:stop], segment, rate))
        for name, conditioning in conditionings.items():
            target = system(clip[None], conditioning)[0].cpu().numpy()
            found[name][:, start:stop] = stretch(target, stop - start, rate)
    return found
