"""From a library to weights: pool, tasks, training, model card."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from fewshot_sep import presets, weights
from fewshot_sep.errors import BadLibrary
from fewshot_sep.loops import library as libraries
from fewshot_sep.loops.tasks.mixing import TaskMixer
from fewshot_sep.loops.tasks.options import PLAIN, PROMPTED, USUAL, MixingOptions
from fewshot_sep.loops.tasks.pool import AudioPool
from fewshot_sep.objectives import Objective, for_system
from fewshot_sep.systems import AnySystem, build
from fewshot_sep.training import Spent, TrainingOptions
from fewshot_sep.training import train as fit

WARM_UP = 500
"""Steps in which the learning rate rises, or a tenth of them all if that is less."""
TARGET_FIRST = 250
"""Steps of a training from nothing in which targets are their own queries (`experiments/flagship/ablation.py`)."""
VALIDATION_BATCHES = 8
VALIDATION_SEED = 20_260_000  # a stream of its own: no training seed draws the validation tasks


def train(
    folder: Path,
    run: Path,
    *,
    preset: str,
    batch: int,
    emphasis: tuple[tuple[str, float], ...] = (),
    start: Path | None = None,
    options: dict[str, Any],
) -> Path:
    """Train `preset` on the library in `folder`; resumes what is in `run`.

    start: weights to begin with; tensors that this network has not, or in another shape, are left out.

    Returns:
        The path of the weights; their card lies beside them.

    Raises:
        BadLibrary: too little to draw tasks from.
    """
    settings = presets.get(preset)
    masks = settings.predicts_mask
    training = TrainingOptions(
        **{"warm_up": min(WARM_UP, (options.get("steps") or 10 * WARM_UP) // 10), **options},
        target_first=TARGET_FIRST if masks and not start else 0,
        optimizer="muon" if masks else "adamw",
    )
    library = libraries.read(folder)
    device = computing_device(training.device)
    pool = AudioPool(library, "train", settings.sample_rate, device)
    held_back = validation_pool(library, pool)
    torch.manual_seed(training.seed)  # several machines begin with one network
    system = build(settings)
    usual = PROMPTED if system.knows_roles else USUAL
    mixing = replace(usual, emphasis=emphasis) if masks else PLAIN
    if start:
        weights.load_what_fits(system, start)
    spent = train_on(pool, held_back, system, for_system(system), mixing, batch, training, run)
    path = run / "weights.safetensors"
    weights.save(system, path, _facts(library, settings.name, batch, mixing, training, spent, start))
    return path


def validation_pool(library: libraries.Library, pool: AudioPool) -> AudioPool:
    """That of the library's validation split; the training's own where the split is too small to draw tasks from."""
    try:
        return AudioPool(library, "valid", pool.sample_rate, pool.device)
    except BadLibrary:
        return pool


def computing_device(name: str) -> str:
    """`auto` resolved: a GPU where there is one; of several, that of this process."""
    name = ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    return name


def train_on(
    pool: AudioPool,
    held_back: AudioPool,
    system: AnySystem,
    objective: Objective[Any],
    mixing: MixingOptions,
    batch: int,
    training: TrainingOptions,
    run: Path,
) -> Spent:
    """Train a system on tasks from `pool`, validated on a few from `held_back`; resumes what is in `run`."""
    preset = system.preset

    def mixer(pool: AudioPool, seed: int, first: int) -> TaskMixer:
        return TaskMixer(pool, batch, preset.segment, preset.channels, mixing, seed, first)

    checks = mixer(held_back, VALIDATION_SEED, 0)
    validation = [checks.draw(index) for index in range(VALIDATION_BATCHES)]
    return fit(system, objective, lambda first: iter(mixer(pool, training.seed, first)), validation, training, run)


def _facts(
    library: libraries.Library,
    preset: str,
    batch: int,
    mixing: MixingOptions,
    training: TrainingOptions,
    spent: Spent,
    start: Path | None,
) -> dict[str, Any]:
    """What the model card says of the training; figures of the evaluation are added by who measures them."""
    rows = library.split("train").rows
    command = f"fewshot-sep train LIBRARY -o RUN --preset {preset} --batch {batch}"
    command += f" --steps {training.steps}" if training.steps else f" --minutes {training.minutes:g}"
    command += f" --learning-rate {training.learning_rate:g} --seed {training.seed}"
    command += f" --{'processes' if training.device == 'cpu' else 'devices'} {training.devices}" * (
        training.devices > 1
    )
    command += f" --nodes {training.nodes}" * (training.nodes > 1)
    command += " --start WEIGHTS" * bool(start)
    return {
        "command": command + "".join(f" --emphasise '{name}={factor:g}'" for name, factor in mixing.emphasis),
        **({"start": f"{start.name}, SHA-256 {weights.sha256(start)}"} if start else {}),
        **({"minutes": training.minutes} if training.minutes else {}),
        "steps": spent.steps,
        "examples": spent.steps * batch * training.processes,
        "hours": round(spent.seconds / 3600, 2),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "seed": training.seed,
        "optimizer": training.optimizer,
        "data": {
            "files": len(rows),
            "instruments": len({row.instrument for row in rows}),
            "files_by_collection": dict(Counter(row.source.split("/")[0] for row in rows).most_common()),
            "files_by_licence": dict(Counter(row.licence for row in rows).most_common()),
            "held_out": sorted(libraries.HELD_OUT),
        },
    }
