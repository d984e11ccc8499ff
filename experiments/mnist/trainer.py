"""Trains one variant in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fewshot_sep import training
from fewshot_sep.experiments.kit import variants
from fewshot_sep.experiments.mnist import evaluate, models
from fewshot_sep.experiments.mnist.digits import Digits
from fewshot_sep.experiments.mnist.settings import HELD_OUT, Settings, Variant
from fewshot_sep.experiments.mnist.snapshots import Snapshots
from fewshot_sep.experiments.mnist.tasks import Drawer, Overlays
from fewshot_sep.loops.tasks.mixing import Tasks

HELD_BACK = 500  # of the training digits, for validation and snapshots
SNAPSHOTS = 10
ABSENT, REFUSED = 1 / 3, 0.3  # shares of the tasks
FALSELY_EMPTY = 0.05  # of the tasks whose class is there, by the threshold that is chosen after training
LEARNING_RATE = 3e-3


def lesson(tasks: Overlays) -> Tasks:
    """A batch of tasks as `fewshot_sep.training` takes it, with what `DigitObjective` must know."""
    return Tasks(tasks.mixture, tasks.evidence, tasks.truth)


def train(variant: Variant, settings: Settings, digits: Digits, invented: Digits, run: Path) -> models.DigitSystem:
    """Train `variant` in `run`, resumed where it stopped; `invented` are glyphs that some variants see too.

    Raises:
        FewshotSepError: `run` holds a training with other settings.
    """
    learnt = digits.those(slice(-HELD_BACK))
    held_back = digits.those(slice(-HELD_BACK, None))
    tuned = held_back
    if variant.invented:
        learnt, tuned = learnt.joined(invented), held_back.joined(invented)
    seen = np.setdiff1d(learnt.labels, HELD_OUT).tolist()
    known = [label for label in seen if label < 10]
    drawer = Drawer(
        *(learnt, settings.batch, settings.digits, seen, seen, settings.seed),
        absent=ABSENT,
        refused=REFUSED,
        warped=True,
        fewer=True,
    )
    checks = Drawer(held_back, 64, settings.digits, known, known, seed=settings.seed + 1)
    every = max(1, settings.steps // SNAPSHOTS)
    options = training.TrainingOptions(
        settings.steps,
        learning_rate=LEARNING_RATE,
        warm_up=min(50, settings.steps // 10),
        cool_down=0.7,
        ema_decay=0.99,
        check_every=every,
        log_every=5,
        seed=settings.seed,
        device=settings.device,
    )
    example = Drawer(held_back, 8, settings.digits, HELD_OUT, seed=settings.seed + 2).draw(0)
    return variants.train(
        run,
        {**settings._asdict(), **variant._asdict(), "held_out": HELD_OUT},
        lambda: models.build(variant.model, settings.width),
        models.DigitObjective(),
        lambda first: map(lesson, drawer.stream(first)),
        [lesson(checks.draw(0))],
        options,
        callbacks=lambda system: [Snapshots(system, example, every, run)],
        finish=lambda system: calibrate(system, Drawer(tuned, 64, settings.digits, seen, seen, seed=settings.seed + 3)),
    )


def calibrate(system: models.DigitSystem, tasks: Drawer, batches: int = 16) -> None:
    """Set the threshold so that of `tasks`, whose class is there, a share of `FALSELY_EMPTY` is left empty."""
    logits = evaluate.answers(system, tasks, batches * tasks.batch).logits
    system.threshold.copy_(logits.quantile(FALSELY_EMPTY))
