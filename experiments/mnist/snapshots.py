"""What a network puts out for a few fixed tasks as its training goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray

from fewshot_sep import files
from fewshot_sep.experiments.mnist import figures
from fewshot_sep.experiments.mnist.models import DigitSystem
from fewshot_sep.experiments.mnist.tasks import Overlays

FILE, PREVIEW = "snapshots.npz", "preview.png"
TASKS = 5


class Snapshots(Callback):
    """Keeps the outputs at regular steps, on disk, and draws them as the preview."""

    def __init__(self, system: DigitSystem, example: Overlays, every: int, run: Path) -> None:
        self.system, self.every, self.run = system, every, run
        self.example = Overlays(*(part[:TASKS] for part in example))

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.global_step == 0:
            self._keep(0)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % self.every == 0:
            self._keep(trainer.global_step)

    @torch.inference_mode()
    def _keep(self, step: int) -> None:
        self.system.eval()
        told = (part.to(self.system.device) for part in self.example.told)
        output = self.system.answer(*told)[0].float().cpu().numpy()
        self.system.train()
        steps, outputs = read(self.run)
        earlier = [place for place, known in enumerate(steps) if known < step]
        steps = [*(steps[place] for place in earlier), step]
        outputs = np.concatenate([outputs[earlier], output[None]])
        with files.replacing(self.run / FILE) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, steps=steps, outputs=outputs)
        figures.evolution(self.example, steps, outputs, self.run / PREVIEW)


def read(run: Path) -> tuple[list[int], NDArray[np.float32]]:
    """Steps and outputs `(steps, tasks, 1, 32, 32)` kept so far."""
    path = run / FILE
    if not path.is_file():
        return [], np.zeros((0, TASKS, 1, 32, 32), np.float32)
    with np.load(path) as stored:
        return stored["steps"].tolist(), stored["outputs"]
