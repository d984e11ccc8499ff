"""Trains one variant in a folder of its own."""

from __future__ import annotations

from pathlib import Path

from fewshot_sep import training
from fewshot_sep.experiments.kit import variants
from fewshot_sep.experiments.mnist import models
from fewshot_sep.experiments.mnist.digits import Digits
from fewshot_sep.experiments.mnist.settings import Settings, Variant
from fewshot_sep.experiments.mnist.snapshots import Snapshots
from fewshot_sep.experiments.mnist.tasks import Drawer

HELD_BACK = 500  # of the training digits, for validation and snapshots
SNAPSHOTS = 10


def train(variant: Variant, settings: Settings, digits: Digits, run: Path) -> models.DigitSystem:
    """Train `variant` in `run`, resumed where it stopped.

    Raises:
        FewshotSepError: `run` holds a training with other settings.
    """
    seen = [label for label in range(10) if label not in variant.unseen]
    learnt = Digits(digits.images[:-HELD_BACK], digits.labels[:-HELD_BACK])
    held_back = Digits(digits.images[-HELD_BACK:], digits.labels[-HELD_BACK:])
    drawer = Drawer(learnt, settings.batch, settings.digits, seen, seen, settings.seed)
    checks = Drawer(held_back, 64, settings.digits, seen, seen, seed=settings.seed + 1)
    every = max(1, settings.steps // SNAPSHOTS)
    options = training.TrainingOptions(
        settings.steps,
        warm_up=min(200, settings.steps // 10),
        ema_decay=0.995,
        check_every=every,
        log_every=5,
        seed=settings.seed,
        device=settings.device,
    )
    return variants.train(
        run,
        {**settings._asdict(), **variant._asdict()},
        lambda: models.build(variant.model, settings.width),
        models.DigitObjective(),
        drawer.stream,
        [checks.draw(0)],
        options,
        callbacks=lambda system: [Snapshots(system, checks.draw(1000), every, run)],
    )
