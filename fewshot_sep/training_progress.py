"""What a training says while it runs: a progress bar on a terminal, a line for each validation elsewhere."""

from __future__ import annotations

import multiprocessing
import time
from datetime import timedelta
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column


class TrainingProgress(Callback):
    """Reports step, losses, speed and the time left on stderr; nothing in a worker of a pool, where lines would mix.

    The module says its `progress`, from 0 to 1. It looks at the loss `every` so many steps: each look makes a GPU wait.
    """

    def __init__(self, steps: int | None, every: int, processes: int = 1) -> None:
        self.steps, self.every, self.processes = steps, every, processes
        self._in_worker = multiprocessing.parent_process() is not None
        self._losses = ""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        console = Console(stderr=True, quiet=self._in_worker or not trainer.is_global_zero)
        self._bar = Progress(
            BarColumn(bar_width=10),
            TextColumn("{task.description}", table_column=Column(no_wrap=False)),
            console=console,
            disable=not console.is_terminal,
        )
        self._began, self._first, self._examples = time.perf_counter(), _done(pl_module), 0
        self._task = self._bar.add_task("starting", total=1.0)
        self._bar.start()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._examples += len(batch.mixture) * self.processes
        if trainer.global_step % self.every == 0:
            self._read_losses(trainer)
        self._bar.update(self._task, completed=_done(pl_module), description=self._line(pl_module))

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._read_losses(trainer)
        if not self._bar.console.is_terminal:
            self._bar.console.print(self._line(pl_module), soft_wrap=True, highlight=False)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._bar.stop()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        if hasattr(self, "_bar"):
            self._bar.stop()

    def _read_losses(self, trainer: L.Trainer) -> None:
        names = {"loss": "train/loss", "validation": "valid/loss"}
        values = {name: trainer.callback_metrics.get(key) for name, key in names.items()}
        self._losses = "".join(f", {name} {float(value):.4g}" for name, value in values.items() if value is not None)

    def _line(self, module: L.LightningModule) -> str:
        seconds, done = max(time.perf_counter() - self._began, 1e-9), _done(module)
        left = timedelta(seconds=round(seconds * max(1 - done, 0) / max(done - self._first, 1e-9)))
        of = f"/{self.steps}" if self.steps else ""
        return f"step {module.global_step}{of}{self._losses}, {self._examples / seconds:.3g} examples/s, {left} left"


def _done(module: L.LightningModule) -> float:
    """The share of the training that is done."""
    return float(module.progress)  # type: ignore[arg-type]
