"""Held-out instruments of a library against those that training knew: the same tasks for every method."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from itertools import count, islice
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer

from fewshot_sep import cli, metrics, presets, weights
from fewshot_sep.experiments.evaluation.baselines import METHODS
from fewshot_sep.experiments.evaluation.case import Array, Case
from fewshot_sep.experiments.flagship.settings import MIXING_OF_CLEAN_TASKS as MIXING
from fewshot_sep.experiments.kit.document import Table, markdown
from fewshot_sep.loops import library as libraries
from fewshot_sep.loops.composing import chamber
from fewshot_sep.loops.library import Library, Row, is_held_out
from fewshot_sep.loops.tasks.mixing import TaskMixer, TasksWithSources
from fewshot_sep.loops.tasks.options import MixingOptions
from fewshot_sep.loops.tasks.pool import AudioPool
from fewshot_sep.presets import Preset
from fewshot_sep.systems import AnySystem
from fewshot_sep.training import targets_as_queries

BATCH, SEED = 8, 77
SPLIT = "not trained on"
HEAD = ("weights", "seen instruments", "held-out instruments", "chamber music", "the same, target as query")


class Method(NamedTuple):
    """What is given the tasks: its targets `(batch, channels, samples)`, and the preset that shapes the tasks."""

    separate: Callable[[TasksWithSources], Array]
    preset: Preset


class Improvements(NamedTuple):
    """SI-SDRi in dB of tasks whose target training knew, or did not."""

    seen: list[float]
    held_out: list[float]


def generalization(
    library: Annotated[Path, typer.Argument(help="A loop library, see `fewshot-sep make-library`.")],
    weights_files: Annotated[list[Path] | None, typer.Argument(metavar="[WEIGHTS]...", help="Trained weights.")] = None,
    control: Annotated[
        list[str] | None,
        typer.Option(help=f"A method that was never trained besides: {', '.join(METHODS)}. May be repeated."),
    ] = None,
    tasks: Annotated[int, typer.Option(min=1, help="Of each sort.")] = 200,
) -> None:
    """Print the SI-SDRi on a library's seen and held-out instruments, and on its chamber music.

    Chamber music is queried with a clip, and with the target itself. What a control finds harder in held-out
    instruments is not for want of training. Every cell is median / mean in dB.

    Example:
    python -m fewshot_sep.experiments.flagship.generalization LIBRARY weights.safetensors --control nmf --control irm
    """
    controls = control or []
    if unknown := [name for name in controls if name not in METHODS]:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(METHODS)}", param_hint="--control")
    if not weights_files and not controls:
        raise typer.BadParameter("give WEIGHTS, or --control METHOD")
    methods = [(path.name, network(weights.load(path).eval())) for path in weights_files or []]
    methods += [(name, untrained(name)) for name in controls]
    pool_at = cache(partial(audio_pool, libraries.read(library)))
    lines = [[name, *_cells(method, pool_at(method.preset.sample_rate), tasks)] for name, method in methods]
    typer.echo(markdown([Table(HEAD, lines)]))


def _cells(method: Method, pool: AudioPool, tasks: int) -> Iterator[str]:
    chamber_music = chamber_pool(pool)
    columns = [*improvements(method, pool, tasks)]
    for oracle_query in (False, True):
        columns.append(coherent_improvements(method, chamber_music, tasks, oracle_query) if chamber_music else [])
    for values in columns:
        yield f"{np.median(values):.2f} / {np.mean(values):.2f}" if values else ""


def network(system: AnySystem) -> Method:
    """A trained system."""

    @torch.inference_mode()
    def separate(batch: TasksWithSources) -> Array:
        found: Array = system(batch.tasks.mixture, system.condition(batch.tasks.evidence.alone)).float().numpy()
        return found

    return Method(separate, system.preset)


def untrained(name: str) -> Method:
    """A baseline or an upper bound of the evaluation, on tasks as the shipped preset gets them."""
    preset, method = presets.get(presets.DEFAULT), METHODS[name]

    def separate(batch: TasksWithSources) -> Array:
        return np.stack([method(_case(batch, task, preset.sample_rate)) for task in range(BATCH)])

    return Method(separate, preset)


def _case(batch: TasksWithSources, task: int, rate: int) -> Case:
    mixture, queries, target = (
        part[task].numpy() for part in (batch.tasks.mixture, batch.tasks.evidence.alone, batch.tasks.target)
    )
    others = batch.sources[task, 1:].numpy()  # the first is the target: `MIXING` has no absent or joint targets
    queried = batch.queried[task]
    return Case(mixture, [(clip[None], rate) for clip in queries], rate, queried, target, list(others))


def audio_pool(library: Library, sample_rate: int) -> AudioPool:
    """The library's validation split and its held-out instruments: nothing that training used.

    Raises:
        BadLibrary: too few of them.
    """
    rows = [row for row in library if row.split == "valid" or is_held_out(row.instrument)]
    return AudioPool(Library(library.folder, tuple(replace(row, split=SPLIT) for row in rows)), SPLIT, sample_rate)


def chamber_pool(pool: AudioPool) -> AudioPool | None:
    """The chamber music of a pool; None where it has none."""

    def is_chamber_music(row: Row) -> bool:
        return row.song.startswith(chamber.PREFIX)

    return pool.only(is_chamber_music) if any(map(is_chamber_music, pool.rows)) else None


def improvements(method: Method, pool: AudioPool, tasks: int) -> Improvements:
    """Draw tasks until there are so many of either sort."""
    held_out = [name for name in pool.instruments if is_held_out(name)]
    factor = len(pool.instruments) / max(1, len(held_out))  # so that about as many tasks query either sort
    mixing = replace(MIXING, emphasis=tuple((name, factor) for name in held_out))
    found = Improvements([], [])
    for instrument, si_sdri in _measured(method, pool, mixing) if held_out else ():
        sort = found.held_out if is_held_out(instrument) else found.seen
        if len(sort) < tasks:
            sort.append(si_sdri)
        if min(map(len, found)) == tasks:
            break
    return found


def coherent_improvements(method: Method, pool: AudioPool, tasks: int, oracle_query: bool = False) -> list[float]:
    """SI-SDRi in dB of tasks whose sources play together; `oracle_query`: every target is its own query."""
    measured = _measured(method, pool, replace(MIXING, coherent=1.0), oracle_query)
    return [si_sdri for _, si_sdri in islice(measured, tasks)]


def _measured(
    method: Method, pool: AudioPool, mixing: MixingOptions, oracle_query: bool = False
) -> Iterator[tuple[str, float]]:
    """The queried instrument and the SI-SDRi of task after task, without end."""
    mixer = TaskMixer(pool, BATCH, method.preset.segment, method.preset.channels, mixing, SEED)
    for index in count():
        batch = mixer.draw_with_sources(index)
        if oracle_query:
            batch = batch._replace(tasks=batch.tasks._replace(evidence=targets_as_queries(batch.tasks)))
        mixture, target = batch.tasks.mixture.numpy(), batch.tasks.target.numpy()
        for name, x, s, e in zip(batch.queried, mixture, target, method.separate(batch), strict=True):
            if s.any():
                yield name, metrics.si_sdr(s, e) - metrics.si_sdr(s, x)


if __name__ == "__main__":
    cli.run(generalization)
