"""How fast tasks are mixed, beside how fast a training step consumes them."""

from __future__ import annotations

import csv
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch

from fewshot_sep import objectives, presets
from fewshot_sep.experiments.kit.document import Block, Heading, Table, Text
from fewshot_sep.experiments.kit.tables import number, percent
from fewshot_sep.loops import library
from fewshot_sep.loops.composing import make_library
from fewshot_sep.loops.tasks.mixing import TaskMixer, Tasks
from fewshot_sep.loops.tasks.options import MixingOptions
from fewshot_sep.loops.tasks.pool import AudioPool
from fewshot_sep.presets import Preset
from fewshot_sep.systems import build
from fewshot_sep.training import TrainingOptions, train

BATCH = 8


def measure(folder: Path | None, preset: str, steps: int) -> dict[str, Any]:
    """Three rates on one library, and how much of its time a training waits for data.

    Tasks per second of the mixer alone on one thread (as training runs it); examples per second of the step alone, on
    batches that are ready; and of both together in a training, whose own log tells the share of waiting.
    """
    settings = presets.get(preset)
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        shelf = library.read(folder) if folder else make_library.make(place / "library", songs=12)
        pool = AudioPool(shelf, "train", settings.sample_rate)
        mixer = TaskMixer(pool, BATCH, settings.segment, settings.channels, MixingOptions())
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        mixed = BATCH * _calls_per_second(mixer.draw, 20)
        torch.set_num_threads(threads)
        options = TrainingOptions(steps, check_every=steps, device="cpu")
        ready = [mixer.draw(number) for number in range(4)]
        alone, _ = _train(settings, lambda first: cycle(ready), options, place / "alone")
        together, waiting = _train(settings, lambda first: islice(mixer, first, None), options, place / "together")
    facts = {"preset": settings.name, "batch": BATCH, "segment_s": settings.segment / settings.sample_rate}
    facts |= {"sample_rate": settings.sample_rate, "channels": settings.channels}
    return {**facts, "mixer": mixed, "step": alone, "together": together, "waiting": waiting}


def _calls_per_second(work: Callable[[int], object], repeats: int) -> float:
    """Calls per second, after one that does not count."""
    work(0)
    started = time.perf_counter()
    for number_ in range(1, repeats + 1):
        work(number_)
    return repeats / (time.perf_counter() - started)


def _train(
    settings: Preset, batches: Callable[[int], Iterator[Tasks]], options: TrainingOptions, run: Path
) -> tuple[float, float]:
    """Examples per second and share of waiting, of the last 50 steps of a training."""
    system = build(settings)
    train(system, objectives.for_system(system), batches, [next(batches(0))], options, run)
    (log,) = run.glob("log/*/metrics.csv")
    rows = [row for row in csv.DictReader(log.read_text().splitlines()) if row.get("speed/examples_per_s")]
    return float(rows[-1]["speed/examples_per_s"]), float(rows[-1]["speed/waiting_for_data"])


def blocks(part: dict[str, Any]) -> list[Block]:
    """The section of the report."""
    lines = [
        ["mixer alone, one thread", f"{number(part['mixer'], 0)} tasks"],
        ["training step alone, tasks ready", f"{number(part['step'])} examples"],
        ["training, tasks mixed on the way", f"{number(part['together'])} examples"],
    ]
    return [
        Heading("Mixing tasks for training"),
        Text(
            f"Training waited for data {percent(part['waiting'], 1)} of its time. Preset `{part['preset']}`, batches "
            f"of {part['batch']} tasks of {part['segment_s']:.2f} s at {part['sample_rate']} Hz, {part['channels']} "
            f"channels, {part['cores']} cores; one run."
        ),
        Table(["", "per second"], lines),
    ]
