"""Trains one variant in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fewshot_sep import training
from fewshot_sep.experiments.kit import variants
from fewshot_sep.experiments.mnist import models
from fewshot_sep.experiments.mnist.digits import Digits
from fewshot_sep.experiments.mnist.settings import HELD_OUT, Settings, Variant
from fewshot_sep.experiments.mnist.snapshots import Snapshots
from fewshot_sep.experiments.mnist.tasks import Drawer

HELD_BACK = 500  # of the training digits, for validation and snapshots
SNAPSHOTS = 10
ABSENT, REFUSED = 0.1, 0.3  # shares of the tasks
LEARNING_RATE, EASY = 3e-3, 500


def train(variant: Variant, settings: Settings, digits: Digits, invented: Digits, run: Path) -> models.DigitSystem:
    """Train `variant` in `run`, resumed where it stopped; `invented` are glyphs that some variants see too.

    Raises:
        FewshotSepError: `run` holds a training with other settings.
    """
    learnt = Digits(*(part[:-HELD_BACK] for part in digits))
    held_back = Digits(*(part[-HELD_BACK:] for part in digits))
    if variant.invented:
        learnt = Digits(*(np.concatenate(parts) for parts in zip(learnt, invented, strict=True)))
    seen = np.setdiff1d(learnt.labels, HELD_OUT).tolist()
    known = [label for label in seen if label < 10]
    drawer = Drawer(
        *(learnt, settings.batch, settings.digits, seen, seen, settings.seed),
        absent=ABSENT,
        refused=REFUSED,
        warped=True,
        fewer=True,
        easy=min(EASY, settings.steps // 3),
    )
    checks = Drawer(held_back, 64, settings.digits, known, known, seed=settings.seed + 1)
    every = max(1, settings.steps // SNAPSHOTS)
    options = training.TrainingOptions(
        settings.steps,
        learning_rate=LEARNING_RATE,
        warm_up=min(100, settings.steps // 10),
        cool_down=0.5,
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
        drawer.stream,
        [checks.draw(0)],
        options,
        callbacks=lambda system: [Snapshots(system, example, every, run)],
    )
