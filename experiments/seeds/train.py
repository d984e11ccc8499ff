"""Trains seed systems on a library, each with the same budget: `python -m fewshot_sep.experiments.seeds.train LIBRARY`.

A run that was interrupted goes on. The budget is wall-clock time of training: how many steps fit into it is measured on
a few steps first, so that the learning rate knows its end; or it is given in steps.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from fewshot_sep.experiments.seeds.about import NAMES, about

if TYPE_CHECKING:
    from fewshot_sep.experiments.seeds.labels import Labels
    from fewshot_sep.experiments.seeds.tasks import LabelStream
    from fewshot_sep.loops.library import Library
    from fewshot_sep.loops.tasks.mixing import AudioPool

PILOT = 12
"""Steps whose time tells how many fit into the budget; the first four do not count."""
VALIDATION_BATCHES = 4
VALIDATION_SEED = 20_260_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path, help="a loop library, see fewshot-sep make-library")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the runs, one for each system")
    parser.add_argument("--system", action="append", choices=NAMES, help="one to train, may be repeated; all if none")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, default=30.0, help="of training for each system")
    budget.add_argument("--steps", type=int, help="for each system, instead of minutes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    arguments = parser.parse_args()
    names = arguments.system or list(NAMES)
    for path in train(
        arguments.library,
        arguments.output,
        names,
        minutes=arguments.minutes,
        steps=arguments.steps,
        seed=arguments.seed,
        device=arguments.device,
    ):
        print(path)


def train(
    folder: Path,
    output: Path,
    names: list[str],
    *,
    minutes: float = 30.0,
    steps: int | None = None,
    seed: int = 0,
    device: str = "auto",
) -> list[Path]:
    """Train systems, or go on; the weights of each lie in `output / name`, their card beside them.

    Raises:
        BadLibrary: too little to draw tasks from.
        FewshotSepError: no such system, or a run there that was trained for other labels.
    """
    from fewshot_sep.errors import FewshotSepError
    from fewshot_sep.experiments.seeds import systems
    from fewshot_sep.experiments.seeds.labels import of_library
    from fewshot_sep.loops import library as libraries
    from fewshot_sep.loops.tasks.mixing import AudioPool
    from fewshot_sep.loops.tasks.train import computing_device

    for name in names:
        about(name)
    library = libraries.read(folder)
    labels = of_library(library)
    if not labels.names:
        raise FewshotSepError(f"{folder}: no instrument with a name in its training split; give another library")
    place = computing_device(device)
    rates = {name: systems.build(name, labels).preset.sample_rate for name in names}
    paths = []
    for rate in dict.fromkeys(rates.values()):  # one pool at a time: it holds the whole library
        pool = AudioPool(library, "train", rate, place)
        held = AudioPool(library, "valid", rate, place) if _can_draw(library, "valid") else pool
        for name in (name for name in names if rates[name] == rate):
            options = {"seed": seed, "device": device}
            paths.append(_train(name, library, labels, pool, held, output / name, minutes, steps, options))
    return paths


def _can_draw(library: Library, split: str) -> bool:
    counts = Counter(row.instrument for row in library if row.split == split)
    return sum(count > 1 for count in counts.values()) > 1


def _train(
    name: str,
    library: Library,
    labels: Labels,
    pool: AudioPool,
    held: AudioPool,
    run: Path,
    minutes: float,
    steps: int | None,
    options: dict[str, Any],
) -> Path:
    import torch

    from fewshot_sep import weights
    from fewshot_sep.experiments.seeds import systems
    from fewshot_sep.experiments.seeds.tasks import LabelStream
    from fewshot_sep.loops.tasks.mixing import MixingOptions, TaskMixer
    from fewshot_sep.systems import System
    from fewshot_sep.training import TrainingOptions
    from fewshot_sep.training import train as fit

    torch.manual_seed(options["seed"])
    system, batch = systems.build(name, labels), systems.RECIPES[name].batch
    samples = systems.example_samples(name, system)

    mixing = MixingOptions(
        same_recording=0, all_but_one=0
    )  # who asks by name has no other passage, and the rest has no name

    def stream(pool: AudioPool, seed: int, first: int) -> LabelStream:
        mixer = TaskMixer(pool, batch, samples, system.preset.channels, mixing, seed, first)
        return LabelStream(mixer, labels, system.asks)

    settings = _settings(run, labels, options["seed"])
    if steps is None:
        steps = settings.get("steps") or max(
            1, round(60 * minutes / _seconds_per_step(name, labels, stream(pool, 1, 0), options))
        )
    run.mkdir(parents=True, exist_ok=True)
    note = {"system": name, "labels": labels.names, "seed": options["seed"], "steps": steps}
    (run / "settings.json").write_text(json.dumps(note), encoding="utf-8")

    checks = stream(held, VALIDATION_SEED, 0)
    validation = [checks.draw(index) for index in range(VALIDATION_BATCHES)]
    every = max(1, steps // 10)
    training = TrainingOptions(steps, warm_up=min(500, steps // 10), check_every=every, log_every=10, **options)
    seconds = fit(system, lambda first: iter(stream(pool, training.seed, first)), validation, training, run)
    rows = [row for row in library if row.split == "train"]
    facts = {
        "system": name,
        "labels": labels.names,
        "steps": steps,
        "examples": steps * batch,
        "example_seconds": round(samples / system.preset.sample_rate, 3),
        "minutes": round(seconds / 60, 1),
        "device": torch.cuda.get_device_name() if pool.device.type == "cuda" else "cpu",
        "seed": training.seed,
        "data": {"files": len(rows), "instruments": len({row.instrument for row in rows})},
    }
    path = run / systems.FILE
    weights.save(cast(System, system), path, facts)
    return path


def _settings(run: Path, labels: Labels, seed: int) -> dict[str, Any]:
    """What an earlier session noted, nothing if there was none."""
    from fewshot_sep.errors import FewshotSepError

    note = run / "settings.json"
    if not note.is_file():
        return {}
    settings = json.loads(note.read_text(encoding="utf-8"))
    if tuple(settings["labels"]) != labels.names or settings["seed"] != seed:
        raise FewshotSepError(f"{run}: holds a training with other labels or another seed; give another --output")
    return settings


def _seconds_per_step(name: str, labels: Labels, tasks: LabelStream, options: dict[str, Any]) -> float:
    """Median time of a training step, measured on a system that is thrown away."""
    from lightning.pytorch.callbacks import LambdaCallback

    from fewshot_sep.experiments.seeds import systems
    from fewshot_sep.training import TrainingOptions
    from fewshot_sep.training import train as fit

    ends: list[float] = []
    clock = LambdaCallback(on_train_batch_end=lambda *_: ends.append(time.perf_counter()))
    with tempfile.TemporaryDirectory() as folder:
        training = TrainingOptions(PILOT, check_every=PILOT, **options)
        fit(systems.build(name, labels), lambda first: iter(tasks), [tasks.draw(0)], training, Path(folder), [clock])
    gaps = sorted(after - before for before, after in itertools.pairwise(ends[3:]))
    return gaps[len(gaps) // 2]


if __name__ == "__main__":
    main()
