"""Training of any system: one LightningModule, checkpoints to resume from, averaged weights, logs and a curve."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, Protocol

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, LambdaCallback, ModelCheckpoint, WeightAveraging
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from torch import Tensor
from torch.utils.data import DataLoader

from fewshot_sep import plots
from fewshot_sep.errors import FewshotSepError
from fewshot_sep.evidence import ALONE, Evidence
from fewshot_sep.muon import Muon
from fewshot_sep.objectives import Objective, TrainableT
from fewshot_sep.training_progress import TrainingProgress

STREAM_STRIDE = 10_000_000
"""Batches between the first ones of two processes: more than any training has steps, so that none is drawn twice."""

Optimizer = Literal["adamw", "muon"]


class Batch(Protocol):
    """Training examples, shapes as in `Objective`; `fewshot_sep.loops.tasks.mixing.Tasks` is one."""

    @property
    def mixture(self) -> Tensor: ...
    @property
    def evidence(self) -> Evidence: ...
    @property
    def target(self) -> Tensor: ...


Stream = Callable[[int], Iterator[Batch]]
"""Called with the number of the first batch wanted, gives an endless stream of batches from there on."""


class TrainingOptions(NamedTuple):
    """How long, how fast, how often.

    Attributes:
        learning_rate: at its peak: it rises over `warm_up` steps and falls linearly to zero over the last `cool_down`
            share of the `steps`.
        ema_decay: of the exponential moving average of the weights, per step.
        target_first: steps at the beginning in which a target is its own query: the network learns to separate first.
        check_every: steps between validations, each with a checkpoint.
        device: auto, cpu, cuda or mps.
        processes: on the CPU, forked, of one thread each: each has a batch of its own, gradients are averaged.
    """

    steps: int
    learning_rate: float = 1e-3
    warm_up: int = 500
    cool_down: float = 0.3
    weight_decay: float = 1e-2
    ema_decay: float = 0.998
    target_first: int = 0
    check_every: int = 500
    log_every: int = 50
    seed: int = 0
    optimizer: Optimizer = "adamw"
    device: str = "auto"
    compile: bool = False
    processes: int = 1


def rate_factor(step: int, options: TrainingOptions) -> float:
    """Share of the learning rate at a step.

    >>> options = TrainingOptions(steps=1000, warm_up=100, cool_down=0.5)
    >>> [round(rate_factor(step, options), 3) for step in (0, 49, 100, 500, 750, 1000)]
    [0.01, 0.5, 1.0, 1.0, 0.5, 0.0]
    """
    rise = (step + 1) / max(1, options.warm_up)
    fall = (options.steps - step) / max(1.0, options.cool_down * options.steps)
    return max(0.0, min(1.0, rise, fall))


class _Prefetched:
    """An iterable that starts at the batch the trainer has reached and draws the next during a step.

    `waited`: seconds for which a step had to wait for its batch.
    """

    def __init__(self, start: Callable[[], Iterator[Batch]]) -> None:
        self.start, self.waited = start, 0.0

    def __iter__(self) -> Iterator[Batch]:
        batches = self.start()
        # One thread for drawing: more would only take the cores from the step.
        with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as drawing:
            ahead = drawing.submit(next, batches)
            while True:
                began = time.perf_counter()
                batch = ahead.result()
                self.waited += time.perf_counter() - began
                ahead = drawing.submit(next, batches)
                yield batch


class Training(L.LightningModule, Generic[TrainableT]):
    """Minimises an objective over an endless stream of batches, see `train`."""

    def __init__(
        self,
        system: TrainableT,
        objective: Objective[TrainableT],
        batches: Stream,
        validation: Sequence[Batch],
        options: TrainingOptions,
    ) -> None:
        super().__init__()
        self.system, self.objective, self.options = system, objective, options
        self._validation = validation
        self._data = _Prefetched(lambda: batches(self.global_step + STREAM_STRIDE * self.global_rank))
        self._worked = 0.0
        self._began = time.perf_counter()  # less what earlier sessions took, up to the checkpoint that is resumed

    def setup(self, stage: str) -> None:
        if self.options.processes > 1:
            torch.set_num_threads(1)  # a forked process that starts OpenMP's threads anew hangs

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["seconds"] = time.perf_counter() - self._began

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        groups = checkpoint["optimizer_states"][0]["param_groups"]
        begun = "muon" if any("orthogonal" in group for group in groups) else "adamw"
        if begun != self.options.optimizer:
            raise FewshotSepError(
                f"the run was begun with the optimizer {begun}, not {self.options.optimizer}; "
                "start another run from its weights"
            )
        self._began = time.perf_counter() - checkpoint.get("seconds", 0.0)

    def train_dataloader(self) -> Any:
        return self._data

    def val_dataloader(self) -> Any:
        return DataLoader(self._validation, batch_size=None)  # type: ignore[arg-type]

    def configure_optimizers(self) -> Any:
        optimizer = self._optimizer()
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(step, self.options))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _optimizer(self) -> torch.optim.Optimizer:
        rate, decay = self.options.learning_rate, self.options.weight_decay
        if self.options.optimizer == "muon":
            half = self.trainer.precision == "bf16-mixed"
            return Muon(self.parameters(), rate, decay, precision=torch.bfloat16 if half else torch.float32)
        groups: list[dict[str, Any]] = [
            {"params": [p for p in self.parameters() if p.dim() > 1]},
            {"params": [p for p in self.parameters() if p.dim() <= 1], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, rate, weight_decay=decay)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        evidence = targets_as_queries(batch) if self.global_step < self.options.target_first else batch.evidence
        loss: Tensor
        loss, parts = self.objective(self.system, batch.mixture, evidence, batch.target)
        self.log_dict({f"train/{name}": value.detach() for name, value in {"loss": loss, **parts}.items()})
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        loss, parts = self.objective(self.system, batch.mixture, batch.evidence, batch.target)
        values = {f"valid/{name}": value for name, value in {"loss": loss, **parts}.items()}
        self.log_dict(values, batch_size=len(batch.mixture), sync_dist=True)

    def on_train_batch_start(self, batch: Any, index: int) -> None:
        self._step_began = time.perf_counter()

    def on_train_batch_end(self, outputs: Any, batch: Any, index: int) -> None:
        self._worked += time.perf_counter() - self._step_began
        if (index + 1) % 50 == 0:
            elapsed = self._data.waited + self._worked
            self.log("speed/examples_per_s", 50 * len(batch.mixture) * self.options.processes / elapsed)
            self.log("speed/waiting_for_data", self._data.waited / elapsed)
            self._data.waited = self._worked = 0.0


def targets_as_queries(batch: Batch) -> Evidence:
    """Evidence in which every target is each of its clips alone; where it is silent, and in other roles, they stay."""
    evidence, target = batch.evidence, batch.target.mean(1, keepdim=True)
    replaced = batch.target.flatten(1).any(1)[evidence.task] & (evidence.role == ALONE)
    clips = torch.where(replaced[:, None, None], target[evidence.task], evidence.clips)
    return evidence._replace(clips=clips)


def _ema(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Exponential moving average whose memory grows with the steps done, so that a short run forgets its beginning."""

    def mix(average: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
        return average + (1 - min(decay, (1 + float(updates)) / (10 + float(updates)))) * (current - average)

    return mix


def _precision(device: str) -> str:
    """Half precision where the hardware multiplies it: bf16 on recent GPUs and CPUs, else full."""
    if device in ("auto", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    if device in ("auto", "cpu") and torch.cpu._is_avx512_bf16_supported():
        return "bf16-mixed"
    return "32-true"


@contextlib.contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Without Lightning's notes on hardware, tips and how it ended: `TrainingProgress` says what there is to say."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        yield


def _loggers(run: Path) -> list[Logger]:
    """A version for each session, as Lightning would overwrite one shared file."""
    table = CSVLogger(run, name="log")
    if importlib.util.find_spec("tensorboard") is None:
        return [table]
    return [table, TensorBoardLogger(run, name="log", version=table.version)]


@_quiet_lightning()
def train(
    system: TrainableT,
    objective: Objective[TrainableT],
    batches: Stream,
    validation: Sequence[Batch],
    options: TrainingOptions,
    run: Path,
    callbacks: Sequence[Callback] = (),
) -> float:
    """Train `system`, and an objective's own parameters, in folder `run`; a checkpoint in that folder is resumed.

    Writes `checkpoints/last.ckpt`, `log/version_*` (`metrics.csv`, and TensorBoard events if that is installed) and
    `curve.png`. Afterwards, and in validation on a few fixed batches, the weights are the exponential moving average.

    Returns:
        Seconds spent in all sessions of the run.

    Raises:
        FewshotSepError: several processes on another device than the CPU; a run begun with another optimizer.
    """
    if options.processes > 1 and options.device != "cpu":
        raise FewshotSepError(f"several processes train on the CPU only, not on device '{options.device}'")
    L.seed_everything(options.seed, verbose=False)
    module = Training(system, objective, batches, validation, options)
    if options.compile:
        system.network.compile()
    checkpoint = ModelCheckpoint(
        run / "checkpoints",
        every_n_train_steps=options.check_every,
        save_last=True,
        save_top_k=0,
        enable_version_counter=False,  # or a run folder that was moved is saved to another name than it is read from
    )
    last = run / "checkpoints" / "last.ckpt"
    trainer = L.Trainer(
        max_steps=options.steps,
        accelerator=options.device,
        devices=options.processes,
        strategy="ddp_fork" if options.processes > 1 else "auto",
        precision=_precision(options.device),  # type: ignore[arg-type]
        gradient_clip_val=5.0,
        callbacks=[
            # Before `WeightAveraging` puts the average in the weights' place, so that more steps can follow.
            LambdaCallback(on_train_end=lambda trainer, module: trainer.save_checkpoint(last)),
            WeightAveraging(use_buffers=True, avg_fn=_ema(options.ema_decay)),
            checkpoint,
            TrainingProgress(options.steps, options.log_every, options.processes),
            *callbacks,
        ],
        logger=_loggers(run),
        val_check_interval=options.check_every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        log_every_n_steps=options.log_every,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    trainer.fit(module, ckpt_path=last if last.exists() else None, weights_only=False)
    # Also where no step was left to take: the checkpoint's `state_dict` is the average.
    saved = torch.load(last, map_location="cpu", weights_only=False)
    module.load_state_dict(saved["state_dict"])
    plots.loss_curve(sorted(run.glob("log/*/metrics.csv")), run / "curve.png")
    return float(saved["seconds"])
