"""One driver for experiments that train variants of a system: each in a folder of its own, resumed where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning.pytorch.callbacks import Callback
from safetensors.torch import load_file, save_file

from fewshot_sep import files, training, weights
from fewshot_sep.errors import WeightsError
from fewshot_sep.experiments.kit import resume
from fewshot_sep.objectives import Objective
from fewshot_sep.systems import Trainable

WEIGHTS, FACTS = "weights.safetensors", "run.json"

TrainableT = TypeVar("TrainableT", bound=Trainable)


def train(
    run: Path,
    settings: Mapping[str, Any],
    build: Callable[[], TrainableT],
    objective: Objective[TrainableT],
    batches: Callable[[int], Iterator[training.Batch]],
    validation: Sequence[training.Batch],
    options: training.TrainingOptions,
    *,
    free: Collection[str] = ("steps", "device"),
    callbacks: Callable[[TrainableT], Sequence[Callback]] = lambda system: (),
    finish: Callable[[TrainableT], None] = lambda system: None,
) -> TrainableT:
    """Train what `build` makes, seeded by `options.seed`, in the folder `run`, or resume there.

    Writes weights.safetensors with their card, and run.json (settings, parameters, seconds) beside what
    `training.train` writes.

    Args:
        settings: all that the outcome depends on; a run with others is refused, but for those in `free`.
        callbacks: Lightning's, for the system that was built.
        finish: called with the trained system, before its weights are written.

    Raises:
        FewshotSepError: `run` holds a training with other settings.
    """
    resume.same_as_before(run, settings, free)
    torch.manual_seed(options.seed)
    system = build()
    spent = training.train(system, objective, batches, validation, options, run, callbacks(system))
    finish(system)
    with files.replacing(run / WEIGHTS) as temporary:
        save_file({name: value.contiguous() for name, value in system.state_dict().items()}, temporary)
    parameters = sum(parameter.numel() for parameter in system.parameters())
    found = {**settings, "parameters": parameters, "seconds": round(spent.seconds)}
    card = {**found, "minutes": round(spent.seconds / 60, 1), "sha256": weights.sha256(run / WEIGHTS)}
    files.write_json((run / WEIGHTS).with_suffix(".json"), card)
    files.write_json(run / FACTS, found)
    return system.eval()


def facts(run: Path) -> dict[str, Any]:
    """What `train` noted of a finished run; empty where there is none."""
    path = run / FACTS
    return dict(files.read_json(path)) if path.is_file() else {}


def load(run: Path, system: TrainableT) -> TrainableT:
    """`system` with the weights of a finished run, ready for use.

    Raises:
        WeightsError: missing, damaged, or of another system.
    """
    weights.verify(run / WEIGHTS)
    try:
        system.load_state_dict(load_file(run / WEIGHTS))
    except RuntimeError as error:
        raise WeightsError(f"{run / WEIGHTS}: does not fit: {str(error).splitlines()[-1].strip()}") from error
    return system.eval()
