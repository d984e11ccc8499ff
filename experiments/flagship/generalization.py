"""Held-out instruments of a library against those that training knew: the same tasks for every system.

`python -m fewshot_sep.experiments.flagship.generalization LIBRARY WEIGHTS ...` says it of files of weights, and what they gain on the
library's chamber music when they are asked with a query and when they are asked with the target itself. `--control nmf`
says it of a baseline that was never trained: what it finds harder in held-out instruments is not for want of training.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from fewshot_sep import metrics, presets, weights
from fewshot_sep.experiments.evaluation.baselines import METHODS
from fewshot_sep.experiments.evaluation.case import Array, Case
from fewshot_sep.experiments.kit.document import Table, markdown
from fewshot_sep.loops import library as libraries
from fewshot_sep.loops.composing import chamber
from fewshot_sep.loops.library import Library, Row, is_held_out
from fewshot_sep.loops.tasks.mixing import AudioPool, MixingOptions, TaskMixer, TasksWithSources
from fewshot_sep.presets import Preset
from fewshot_sep.systems import System
from fewshot_sep.training import targets_as_queries

MIXING = MixingOptions(
    sources=(2, 4),
    absent=0,
    cross=0.6,
    same_recording=0,
    all_but_one=0,
    same_family_query=0,
    equalise=0,
    room=0,
    band_limit=0,
)
BATCH, SEED = 8, 77
SPLIT = "gap"


class Asked(NamedTuple):
    """Whom the tasks are given to: what it answers `(batch, channels, samples)`, and the preset that shapes them."""

    answer: Callable[[TasksWithSources], Array]
    preset: Preset


def network(system: System) -> Asked:
    """A trained system."""

    @torch.inference_mode()
    def answer(apart: TasksWithSources) -> Array:
        return system(apart.tasks.mixture, system.condition(apart.tasks.queries)).float().numpy()

    return Asked(answer, system.preset)


def control(name: str) -> Asked:
    """A baseline of the benchmark, on tasks as the shipped preset gets them."""
    preset, method = presets.get(presets.DEFAULT), METHODS[name]

    def answer(apart: TasksWithSources) -> Array:
        return np.stack([method(_case(apart, task, preset.sample_rate)) for task in range(BATCH)])

    return Asked(answer, preset)


def _case(apart: TasksWithSources, task: int, rate: int) -> Case:
    mixture, queries, target = (part[task].numpy() for part in apart.tasks)
    others = apart.sources[task, 1:].numpy()  # the first is the target: `MIXING` asks for none absent, and for no rest
    return Case(mixture, [(clip[None], rate) for clip in queries], rate, apart.asked[task], target, list(others))


class Gains(NamedTuple):
    """SI-SDRi in dB of tasks with a target of either sort."""

    seen: list[float]
    held_out: list[float]


def pool(library: Library, sample_rate: int) -> AudioPool:
    """The library's validation split and its held-out instruments, none of which training heard.

    Raises:
        BadLibrary: too few of them.
    """
    rows = [row for row in library if row.split == "valid" or is_held_out(row.instrument)]
    return AudioPool(Library(library.folder, tuple(replace(row, split=SPLIT) for row in rows)), SPLIT, sample_rate)


def chamber_music(sound: AudioPool) -> AudioPool | None:
    """The chamber music of a pool; None where it has none."""

    def bound(row: Row) -> bool:
        return row.song.startswith(chamber.PREFIX)

    return sound.only(bound) if any(map(bound, sound.rows)) else None


def gains(asked: Asked, sound: AudioPool, each: int) -> Gains:
    """Draw tasks until there are `each` of either sort."""
    held = [name for name in sound.instruments if is_held_out(name)]
    factor = len(sound.instruments) / max(1, len(held))  # so that about as many tasks ask for either sort
    mixing = replace(MIXING, emphasis=tuple((name, factor) for name in held))
    found = Gains([], [])
    for name, gain in _answers(asked, sound, mixing) if held else ():
        sort = found.held_out if is_held_out(name) else found.seen
        if len(sort) < each:
            sort.append(gain)
        if min(map(len, found)) == each:
            break
    return found


def coherent_gains(asked: Asked, sound: AudioPool, each: int, itself: bool = False) -> list[float]:
    """SI-SDRi in dB of `each` tasks whose sources play together; `itself`: every target is its own query."""
    answers = _answers(asked, sound, replace(MIXING, coherent=1.0), itself)
    return [gain for _, (_, gain) in zip(range(each), answers, strict=False)]


def _answers(
    asked: Asked, sound: AudioPool, mixing: MixingOptions, itself: bool = False
) -> Iterator[tuple[str, float]]:
    """The instrument asked for and the SI-SDRi of task after task, without end."""
    mixer = TaskMixer(sound, BATCH, asked.preset.segment, asked.preset.channels, mixing, SEED)
    for index in count():
        apart = mixer.draw_apart(index)
        if itself:
            apart = apart._replace(tasks=apart.tasks._replace(queries=targets_as_queries(apart.tasks)))
        mixture, _, target = (part.numpy() for part in apart.tasks)
        for name, x, s, e in zip(apart.asked, mixture, target, asked.answer(apart), strict=True):
            if s.any():
                yield name, metrics.si_sdr(s, e) - metrics.si_sdr(s, x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path, help="a loop library, see fewshot-sep make-library")
    parser.add_argument("weights", type=Path, nargs="*")
    parser.add_argument("--control", choices=METHODS, action="append", default=[], help="a baseline besides")
    parser.add_argument("--tasks", type=int, default=200, help="of each sort")
    given = parser.parse_args()
    if not given.weights and not given.control:
        parser.error("give WEIGHTS, or --control METHOD")
    banks, lines = cache(partial(pool, libraries.read(given.library))), []
    all_asked = [(path.name, network(weights.load(path).eval())) for path in given.weights]
    all_asked += [(name, control(name)) for name in given.control]
    for name, asked in all_asked:
        sound = banks(asked.preset.sample_rate)
        bound, sorts = chamber_music(sound), [*gains(asked, sound, given.tasks)]
        sorts += [coherent_gains(asked, bound, given.tasks, itself) if bound else [] for itself in (False, True)]
        cells = (f"{np.median(some):.2f} / {np.mean(some):.2f}" if some else "" for some in sorts)
        lines.append([name, *cells])
    head = ["weights", "seen instruments", "held-out instruments", "chamber music", "the same, target as query"]
    print(markdown([Table(head, lines)]))


if __name__ == "__main__":
    main()
