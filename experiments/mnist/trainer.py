"""Trains one variant in a folder of its own, with snapshots of what it puts out on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from safetensors.torch import load_file, save_file

from fewshot_sep import training
from fewshot_sep.experiments.kit import resume
from fewshot_sep.experiments.mnist import figures
from fewshot_sep.experiments.mnist.digits import Digits
from fewshot_sep.experiments.mnist.models import DigitSystem
from fewshot_sep.experiments.mnist.run import Variant
from fewshot_sep.experiments.mnist.tasks import Drawer, Overlays

HELD_BACK = 500  # of the training digits, for validation and snapshots
SNAPSHOTS = 10
WEIGHTS, SNAPSHOT_FILE = "weights.safetensors", "snapshots.npz"


class Settings(NamedTuple):
    """What all variants of a run share."""

    width: int
    steps: int
    batch: int
    digits: int
    seed: int
    device: str


def train(variant: Variant, settings: Settings, digits: Digits, run: Path) -> float:
    """Train `variant` in `run`, or go on there; returns the seconds spent in all.

    Raises:
        FewshotSepError: `run` holds a training with other settings.
    """
    resume.same_as_before(run, {**settings._asdict(), **variant._asdict()}, free=("steps", "device"))
    torch.manual_seed(settings.seed)
    system = DigitSystem(variant.model, settings.width, variant.adversarial)
    seen = [label for label in range(10) if label not in variant.unseen]
    learn = Digits(digits.images[:-HELD_BACK], digits.labels[:-HELD_BACK])
    held = Digits(digits.images[-HELD_BACK:], digits.labels[-HELD_BACK:])
    drawer = Drawer(learn, settings.batch, settings.digits, seen, seen, settings.seed)
    checks = Drawer(held, 64, settings.digits, seen, seen, seed=settings.seed + 1)
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
    snapshots = _Snapshots(system, checks.draw(1000), every, run)
    seconds = training.train(system, drawer.stream, [checks.draw(0)], options, run, [snapshots])
    save_file(system.state_dict(), run / WEIGHTS)
    return seconds


def load(run: Path) -> tuple[DigitSystem, dict[str, Any]]:
    """A trained variant and what `run.json` says of it."""
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    system = DigitSystem(facts["model"], facts["width"], facts["adversarial"])
    system.load_state_dict(load_file(run / WEIGHTS))
    return system.eval(), facts


class _Snapshots(Callback):
    """Keeps the outputs for a few fixed tasks at regular steps, on disk, and draws them as the preview."""

    def __init__(self, system: DigitSystem, example: Overlays, every: int, run: Path) -> None:
        self.system, self.every, self.run = system, every, run
        self.example = Overlays(*(part[:5] for part in example))

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.global_step == 0:
            self._keep(0, pl_module.device)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % self.every == 0:
            self._keep(trainer.global_step, pl_module.device)

    @torch.inference_mode()
    def _keep(self, step: int, device: torch.device) -> None:
        self.system.eval()
        mixture, queries = self.example.mixture.to(device), self.example.queries.to(device)
        output = self.system(mixture, queries).float().cpu().numpy()
        self.system.train()
        steps, outputs = read_snapshots(self.run)
        earlier = [place for place, known in enumerate(steps) if known < step]
        steps = [*(steps[place] for place in earlier), step]
        outputs = np.concatenate([outputs[earlier], output[None]])
        stored = {name: part.numpy() for name, part in self.example._asdict().items()}
        np.savez_compressed(self.run / SNAPSHOT_FILE, allow_pickle=False, steps=steps, outputs=outputs, **stored)
        figures.evolution(self.example, steps, outputs, self.run / "preview.png")


def read_snapshots(run: Path) -> tuple[list[int], np.ndarray]:
    """Steps and outputs `(steps, tasks, 1, 32, 32)` kept so far."""
    path = run / SNAPSHOT_FILE
    if not path.is_file():
        return [], np.zeros((0, 5, 1, 32, 32), np.float32)
    with np.load(path) as stored:
        return stored["steps"].tolist(), stored["outputs"]


def read_example(run: Path) -> Overlays:
    """The tasks of the snapshots."""
    with np.load(run / SNAPSHOT_FILE) as stored:
        return Overlays(*(torch.from_numpy(stored[name]) for name in Overlays._fields))
