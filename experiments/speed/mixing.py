"""How fast tasks are mixed, against what a training step of the default preset eats, into `report/mixing.md`.

Three figures from one process on one library: tasks per second of the mixer alone on one thread (as training runs it),
examples per second of the step alone on batches that are ready, and both together in a training run, with the share of
its time that was spent waiting for data (from the run's own log).
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path

import torch

from fewshot_sep import presets
from fewshot_sep.loops import library
from fewshot_sep.loops.composing import make_library
from fewshot_sep.loops.tasks.mixing import TaskMixer, Tasks
from fewshot_sep.loops.tasks.options import MixingOptions
from fewshot_sep.loops.tasks.pool import AudioPool
from fewshot_sep.presets import Preset
from fewshot_sep.systems import build
from fewshot_sep.training import TrainingOptions, train

REPORT = Path(__file__).parent / "report" / "mixing.md"
BATCH = 8


def rate(work: Callable[[int], object], repeats: int) -> float:
    """Calls per second of `work`, after one that does not count."""
    work(0)
    started = time.perf_counter()
    for number in range(1, repeats + 1):
        work(number)
    return repeats / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", type=Path, help="instead of 12 songs of invented instruments")
    parser.add_argument("--preset", default=presets.DEFAULT)
    parser.add_argument("--steps", type=int, default=100, help="of the training run; a multiple of 50")
    arguments = parser.parse_args()
    settings = presets.get(arguments.preset)
    with tempfile.TemporaryDirectory() as folder:
        shelf = (
            library.read(arguments.library)
            if arguments.library
            else make_library.make(Path(folder) / "library", songs=12)
        )
        pool = AudioPool(shelf, "train", settings.sample_rate)
        mixer = TaskMixer(pool, BATCH, settings.segment, settings.channels, MixingOptions())
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        mixed = BATCH * rate(mixer.draw, 20)
        torch.set_num_threads(threads)

        options = TrainingOptions(arguments.steps, check_every=arguments.steps, device="cpu")
        ready = [mixer.draw(number) for number in range(4)]
        alone = _train(settings, lambda first: cycle(ready), options, Path(folder) / "alone")
        together = _train(settings, lambda first: islice(mixer, first, None), options, Path(folder) / "together")

    lines = [
        "# Mixing tasks against eating them",
        "",
        f"Preset `{settings.name}`, batches of {BATCH} tasks of {settings.segment / settings.sample_rate:.2f} s at "
        f"{settings.sample_rate} Hz, {settings.channels} channels, on {os.cpu_count()} cores; one run.",
        "",
        "| | per second |",
        "|---|---|",
        f"| mixer alone, one thread | {mixed:.0f} tasks |",
        f"| training step alone, tasks ready | {alone[0]:.1f} examples |",
        f"| training, tasks mixed on the way | {together[0]:.1f} examples |",
        "",
        f"Share of the time that training waited for data: {100 * together[1]:.1f} %.",
        "",
        "Made by `python -m fewshot_sep.experiments.speed.mixing`.",
        "",
    ]
    REPORT.write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


def _train(
    settings: Preset, batches: Callable[[int], Iterator[Tasks]], options: TrainingOptions, run: Path
) -> tuple[float, float]:
    """Examples per second and share of waiting, of the last 50 steps of a training."""
    train(build(settings), batches, [next(batches(0))], options, run)
    (log,) = run.glob("log/*/metrics.csv")
    rows = [row for row in csv.DictReader(log.read_text().splitlines()) if row.get("speed/examples_per_s")]
    return float(rows[-1]["speed/examples_per_s"]), float(rows[-1]["speed/waiting_for_data"])


if __name__ == "__main__":
    main()
