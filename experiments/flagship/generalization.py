"""Held-out instruments of a library against those that training knew: the same tasks for all weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
import typer

from fewshot_sep import cli, metrics, weights
from fewshot_sep.experiments.evaluation.case import Array
from fewshot_sep.experiments.flagship.settings import MIXING_OF_CLEAN_TASKS as MIXING
from fewshot_sep.experiments.kit.document import Table, markdown
from fewshot_sep.experiments.kit.tables import median_mean
from fewshot_sep.loops import library as libraries
from fewshot_sep.loops.library import Library, is_held_out
from fewshot_sep.loops.tasks.mixing import TaskMixer, Tasks
from fewshot_sep.loops.tasks.pool import AudioPool
from fewshot_sep.presets import Preset
from fewshot_sep.systems import AnySystem

BATCH, SEED = 8, 77
SPLIT = "not trained on"

Separate = Callable[[Tasks], Array]
"""Of tasks the targets, `(batch, channels, samples)`."""


class Improvements(NamedTuple):
    """SI-SDRi in dB of tasks whose target training knew, or did not."""

    seen: list[float]
    held_out: list[float]


def generalization(
    library: Annotated[Path, typer.Argument(help="A loop library, see `fewshot-sep make-library`.")],
    weights_files: Annotated[list[Path], typer.Argument(metavar="WEIGHTS...", help="Trained weights.")],
    tasks: Annotated[int, typer.Option(min=1, help="Of each sort.")] = 200,
) -> None:
    """Print the SI-SDRi on a library's seen and held-out instruments, median / mean in dB.

    Example:
    python -m fewshot_sep.experiments.flagship.generalization LIBRARY weights.safetensors
    """
    measure = of_weights(libraries.read(library), tasks)
    lines = [[path.name, *map(median_mean, measure(path))] for path in weights_files]
    typer.echo(markdown([Table(("weights", "seen instruments", "held-out instruments"), lines)]))


def of_weights(library: Library, tasks: int) -> Callable[[Path], Improvements]:
    """What measures weights on a library, which is read once for each sample rate."""
    pool_at = cache(partial(audio_pool, library))

    def measure(path: Path) -> Improvements:
        system = weights.load(path)
        return improvements(network(system), pool_at(system.preset.sample_rate), system.preset, tasks)

    return measure


def network(system: AnySystem) -> Separate:
    """What a trained system gives."""

    @torch.inference_mode()
    def separate(tasks: Tasks) -> Array:
        found: Array = system(tasks.mixture, system.condition(tasks.evidence.alone)).float().numpy()
        return found

    return separate


def audio_pool(library: Library, sample_rate: int) -> AudioPool:
    """The library's validation split and its held-out instruments: nothing that training used.

    Raises:
        BadLibrary: too few of them.
    """
    rows = [row for row in library if row.split == "valid" or is_held_out(row.instrument)]
    return AudioPool(Library(library.folder, tuple(replace(row, split=SPLIT) for row in rows)), SPLIT, sample_rate)


def improvements(separate: Separate, pool: AudioPool, preset: Preset, tasks: int) -> Improvements:
    """Draw tasks of the preset's form until there are so many of either sort."""
    held_out = [name for name in pool.instruments if is_held_out(name)]
    factor = len(pool.instruments) / max(1, len(held_out))  # so that about as many tasks query either sort
    mixing = replace(MIXING, emphasis=tuple((name, factor) for name in held_out))
    mixer = TaskMixer(pool, BATCH, preset.segment, preset.channels, mixing, SEED)
    found, numbers = Improvements([], []), count()
    while held_out and min(map(len, found)) < tasks:
        batch = mixer.draw_with_sources(next(numbers))
        mixture, target = batch.tasks.mixture.numpy(), batch.tasks.target.numpy()
        for name, x, s, e in zip(batch.queried, mixture, target, separate(batch.tasks), strict=True):
            sort = found.held_out if is_held_out(name) else found.seen
            if s.any() and len(sort) < tasks:
                sort.append(metrics.si_sdr(s, e) - metrics.si_sdr(s, x))
    return found


if __name__ == "__main__":
    cli.run(generalization)
