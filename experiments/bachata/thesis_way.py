"""The thesis's way through a whole song: clips of four beats from the first beat on, none overlapping another."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fewshot_sep import audio
from fewshot_sep.experiments.bachata.examples import tensor
from fewshot_sep.loops.curation.conform import BEATS
from fewshot_sep.presets import Preset
from fewshot_sep.songs.tempo import carry_mask
from fewshot_sep.stretch import stretch
from fewshot_sep.systems import ImageSystem

Array = NDArray[np.float32]
Times = NDArray[np.float64]


def edges(times: Times, first: int = 0) -> Times:
    """Where the clips begin, and the last one ends: every fourth beat from beat number `first` on, in seconds."""
    return times[first::BEATS]


@torch.inference_mode()
def separate(
    system: ImageSystem,
    song: Array,
    sample_rate: int,
    cuts: Times,
    conditionings: dict[str, Any],
    carried: bool = False,
) -> dict[str, Array]:
    """Each clip at 11,025 Hz in the common tempo, through the network, back in its own tempo, one after the other.

    Args:
        song: `(1, samples)` at `sample_rate`. cuts: the clips' edges in seconds. conditionings: what `system.condition`
            says of the query for each instrument. carried: take back a mask, as `songs` does, not stretched sound.

    Returns:
        `(1, samples)` at 11,025 Hz for each instrument; silent before the first clip and after the last.
    """
    rate, segment = system.preset.sample_rate, system.preset.segment
    mono = audio.resample(song, sample_rate, rate)
    found = {name: np.zeros_like(mono) for name in conditionings}
    for start, stop in _clips(cuts, mono, rate):
        paced = stretch(mono[:, start:stop], segment, rate)
        for name, conditioning in conditionings.items():
            target = system(tensor(system, paced[None]), conditioning)[0].cpu().numpy()
            found[name][:, start:stop] = (
                carry_mask(mono[:, start:stop], paced, target, rate) if carried else stretch(target, stop - start, rate)
            )
    return found


def there_and_back(stem: Array, sample_rate: int, preset: Preset, cuts: Times) -> Array:
    """What a network without error would give the thesis's way: the clips of the stem, stretched and stretched back."""
    mono = audio.resample(stem, sample_rate, preset.sample_rate)
    found = np.zeros_like(mono)
    for start, stop in _clips(cuts, mono, preset.sample_rate):
        paced = stretch(mono[:, start:stop], preset.segment, preset.sample_rate)
        found[:, start:stop] = stretch(paced, stop - start, preset.sample_rate)
    return found


def _clips(cuts: Times, mono: Array, rate: int) -> Iterator[tuple[int, int]]:
    return pairwise(np.clip(np.round(cuts * rate).astype(int), 0, mono.shape[1]).tolist())
