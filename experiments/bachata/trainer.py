"""Trains one variant on the clips, in a folder of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file, save_file

from fewshot_sep import training
from fewshot_sep.experiments.bachata.clips import PRESET, only
from fewshot_sep.experiments.bachata.models import ThesisSystem
from fewshot_sep.experiments.bachata.run import INSTRUMENTS, Settings, Variant
from fewshot_sep.loops.library import Library
from fewshot_sep.loops.tasks.mixing import PLAIN, AudioPool, TaskMixer
from fewshot_sep.loops.tasks.train import computing_device
from fewshot_sep.loops.workers import spread

WEIGHTS = "weights.safetensors"
ALWAYS = 1e9  # an instrument this much more likely than the others is always the one asked for


class Job(NamedTuple):
    """A training for a process of its own; arguments of `train`."""

    name: str
    variant: Variant
    settings: Settings
    shelf: Library
    run: Path
    device: str
    threads: int


def train_all(
    variants: dict[str, Variant],
    settings: Settings,
    shelf: Library,
    output: Path,
    device: str = "auto",
    workers: int | None = None,
) -> Generator[str, None, None]:
    """Train variants in folders below `output`; their names as they end.

    workers: processes on a CPU, one for each core if None: networks this small gain nothing from a second thread.
    """
    count = (workers or os.cpu_count() or 1) if computing_device(device) == "cpu" else 1
    threads = 1 if count > 1 else torch.get_num_threads()
    jobs = [Job(name, v, settings, shelf, output / name, device, threads) for name, v in variants.items()]
    yield from spread(_train, jobs, count)


def _train(job: Job) -> str:
    torch.set_num_threads(job.threads)
    train(job.variant, job.settings, job.shelf, job.run, job.device)
    return job.name


def train(variant: Variant, settings: Settings, shelf: Library, run: Path, device: str = "auto") -> None:
    """Train `variant` in `run`, or go on there; `run.json` says that it is done, and what of it is to be known."""
    if (run / "run.json").is_file():
        return
    epochs, iterations = settings.length(variant)
    steps = epochs * iterations
    torch.manual_seed(settings.seed)
    system = ThesisSystem(variant, settings.width)
    pool = AudioPool(heard(variant, shelf), "train", system.preset.sample_rate, computing_device(device))
    options = training.TrainingOptions(
        steps,
        warm_up=min(100, steps // 10),
        ema_decay=0.99,
        check_every=max(1, steps // 4),
        log_every=1,
        seed=settings.seed,
        device=device,
    )
    check = mixer(variant, settings.batch, pool, settings.seed + 1).draw(0)
    seconds = training.train(
        system, lambda first: iter(mixer(variant, settings.batch, pool, settings.seed, first)), [check], options, run
    )
    save_file({name: value.contiguous() for name, value in system.state_dict().items()}, run / WEIGHTS)
    known = {
        **variant._asdict(),
        "epochs": epochs,
        "iterations": iterations,
        "parameters": sum(parameter.numel() for parameter in system.network.parameters()),
        "seconds": round(seconds),
    }
    (run / "run.json").write_text(json.dumps(known), encoding="utf-8")


def heard(variant: Variant, shelf: Library) -> Library:
    """The clips that a variant may hear."""
    return only(shelf, lambda row: row.instrument != variant.without and variant.section in ("", row.section))


def mixer(variant: Variant, batch: int, pool: AudioPool, seed: int, first: int = 0) -> TaskMixer:
    """The tasks of a variant: one clip of every instrument, as in the thesis, one of them asked for."""
    emphasis = ((variant.only, ALWAYS),) if variant.only else ()
    mixing = replace(PLAIN, sources=(len(INSTRUMENTS), len(INSTRUMENTS)), emphasis=emphasis)
    return TaskMixer(pool, batch, PRESET.segment, 1, mixing, seed, first)


def load(run: Path, variant: Variant, width: int) -> ThesisSystem:
    """A trained variant, ready for use."""
    system = ThesisSystem(variant, width)
    system.load_state_dict(load_file(run / WEIGHTS))
    return system.eval()
