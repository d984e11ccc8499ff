"""Held-out instruments of a library against those that training knew: the same tasks for every system."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch

from fewshot_sep import metrics
from fewshot_sep.systems import System
from loops.library import Library, is_held_out
from loops.mixing import Bank, MixingOptions, TaskMixer

MIXING = MixingOptions(sources=(2, 4), absent=0, kin=0, equalise=0, room=0, band_limit=0)
BATCH, SEED = 8, 77
SPLIT = "gap"


class Gains(NamedTuple):
    """SI-SDRi in dB of tasks with a target of either sort."""

    seen: list[float]
    held_out: list[float]


def bank(library: Library, sample_rate: int) -> Bank:
    """The library's validation split and its held-out instruments, none of which training heard.

    Raises:
        BadLibrary: too few of them.
    """
    rows = [row for row in library if row.split == "valid" or is_held_out(row.instrument)]
    return Bank(Library(library.folder, tuple(replace(row, split=SPLIT) for row in rows)), SPLIT, sample_rate)


@torch.inference_mode()
def gains(system: System, sound: Bank, each: int) -> Gains:
    """Draw tasks until there are `each` of either sort."""
    preset = system.preset
    held = [name for name in sound.instruments if is_held_out(name)]
    factor = len(sound.instruments) / max(1, len(held))  # so that about as many tasks ask for either sort
    mixing = replace(MIXING, emphasis=tuple((name, factor) for name in held))
    mixer = TaskMixer(sound, BATCH, preset.segment, preset.channels, mixing, SEED)
    found, index = Gains([], []), 0
    while held and min(map(len, found)) < each:
        apart = mixer.draw_apart(index)
        index += 1
        mixture, queries, target = apart.tasks
        estimate = system(mixture, system.condition(queries))
        for name, x, s, e in zip(apart.asked, mixture.numpy(), target.numpy(), estimate.float().numpy(), strict=True):
            sort = found.held_out if is_held_out(name) else found.seen
            if len(sort) < each and s.any():
                sort.append(metrics.si_sdr(s, e) - metrics.si_sdr(s, x))
    return found
