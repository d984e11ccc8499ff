"""Training of any system: one LightningModule, checkpoints to resume from, averaged weights, logs and a curve."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import logging
import multiprocessing
import pickle
import sys
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
from torch.utils.flop_counter import FlopCounterMode

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
        steps, minutes: how long, one of both. The minutes are those of all sessions of a run, validation included.
        learning_rate: at its peak: it rises over `warm_up` steps (with `minutes`, over a tenth of them if that is
            less) and falls linearly to zero over the last `cool_down` share of the training.
        ema_decay: of the exponential moving average of the weights, per step.
        target_first: steps at the beginning in which a target is its own query: the network learns to separate first.
        check_every: steps between validations, each with a checkpoint.
        device: auto, cpu, cuda or mps.
        devices, nodes: GPUs, or on the CPU forked processes of one thread each, on so many machines; every one has
            batches of its own, gradients are averaged (Lightning's DDP; gloo on the CPU, NCCL on GPUs). With several
            machines each is started by itself: MASTER_ADDR, MASTER_PORT and NODE_RANK say which it is.
    """

    steps: int | None = None
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
    devices: int = 1
    nodes: int = 1
    minutes: float | None = None

    @property
    def processes(self) -> int:
        """How many train together."""
        return self.devices * self.nodes

    @property
    def forked(self) -> bool:
        """Whether they are forks of this process."""
        return self.device == "cpu" and self.devices > 1 and self.nodes == 1

    def progress(self, step: int, seconds: float) -> float:
        """Share of the training that is done after so many steps and seconds."""
        return step / self.steps if self.steps else seconds / (60 * self.minutes) if self.minutes else 1.0


MAX_WARM_UP = 0.1
"""Of a training whose length is given in minutes."""


def rate_factor(step: int, progress: float, options: TrainingOptions) -> float:
    """Share of the learning rate at a step, at which so much of the training is done.

    >>> options = TrainingOptions(steps=1000, warm_up=100, cool_down=0.5)
    >>> [round(rate_factor(step, options.progress(step, 0.0), options), 3) for step in (0, 49, 100, 500, 750, 1000)]
    [0.01, 0.5, 1.0, 1.0, 0.5, 0.0]
    """
    rise = (step + 1) / max(1, options.warm_up)
    if options.minutes:
        rise = max(rise, progress / MAX_WARM_UP)
    fall = (1 - progress) / max(options.cool_down, 1 / options.steps if options.steps else 1e-9)
    return max(0.0, min(1.0, rise, fall))


class Spent(NamedTuple):
    """What all sessions of a run took."""

    steps: int
    seconds: float


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
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        super().__init__()
        self.system, self.objective, self.options = system, objective, options
        self._clock = clock
        # Behind a function, so that the averaged copy of this module has no copy of it.
        self._validation: Callable[[], Sequence[Batch]] = lambda: validation
        self._data = _Prefetched(lambda: batches(self.global_step + STREAM_STRIDE * self.global_rank))
        self._worked = 0.0
        self._began = clock()  # less what earlier sessions took, up to the checkpoint that is resumed
        self._at_peak: float | None = None  # seconds that a step would take at the card's peak, where that is known

    def setup(self, stage: str) -> None:
        if self.options.forked:
            torch.set_num_threads(1)  # a forked process that starts OpenMP's threads anew hangs

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["seconds"] = self._clock() - self._began

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        groups = checkpoint["optimizer_states"][0]["param_groups"]
        begun = "muon" if any("orthogonal" in group for group in groups) else "adamw"
        if begun != self.options.optimizer:
            raise FewshotSepError(
                f"the run was begun with the optimizer {begun}, not {self.options.optimizer}; "
                "start another run from its weights"
            )
        self._began = self._clock() - checkpoint.get("seconds", 0.0)

    def train_dataloader(self) -> Any:
        return self._data

    def val_dataloader(self) -> Any:
        return DataLoader(self._validation(), batch_size=None)  # type: ignore[arg-type]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        rate, decay = self.options.learning_rate, self.options.weight_decay
        if self.options.optimizer == "muon":
            half = self.trainer.precision == "bf16-mixed"
            return Muon(self.parameters(), rate, decay, precision=torch.bfloat16 if half else torch.float32)
        groups: list[dict[str, Any]] = [
            {"params": [p for p in self.parameters() if p.dim() > 1]},
            {"params": [p for p in self.parameters() if p.dim() <= 1], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, rate, weight_decay=decay, foreach=True)

    @property
    def progress(self) -> float:
        """Share of the training that is done, by this process's clock."""
        return self.options.progress(self.global_step, self._clock() - self._began)

    def _agreed_progress(self) -> float:
        """That of the first process: all must go at one rate and stop at one step."""
        if self.options.minutes and self.options.processes > 1:
            return float(self.trainer.strategy.broadcast(self.progress))
        return self.progress

    def on_train_start(self) -> None:
        self._progress = self._agreed_progress()
        if peak := peak_flops(self.device):
            self._at_peak = 3 * self._forward_flops() / peak

    @torch.no_grad()
    def _forward_flops(self) -> int:
        """Of one forward pass over as many examples as the first validation batch has."""
        batch = self.trainer.strategy.batch_to_device(self._validation()[0])
        self.eval()
        counter = FlopCounterMode(display=False)
        with counter, torch.compiler.set_stance("force_eager"):
            self.objective(self.system, batch.mixture, batch.evidence, batch.target)
        self.train()
        return int(counter.get_total_flops())

    def training_step(self, batch: Batch, index: int) -> Tensor:
        evidence = targets_as_queries(batch) if self.global_step < self.options.target_first else batch.evidence
        loss: Tensor
        loss, parts = self.objective(self.system, batch.mixture, evidence, batch.target)
        self.log_dict({f"train/{name}": value.detach() for name, value in {"loss": loss, **parts}.items()})
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        loss, parts = self.objective(self.system, batch.mixture, batch.evidence, batch.target)
        for name, value in {"loss": loss, **parts}.items():
            # Improvements are of what sounds in a process's own batches: one that has none must not be waited for.
            everywhere = not name.startswith("si_sdri_db")
            self.log(f"valid/{name}", value, batch_size=len(batch.mixture), sync_dist=everywhere)

    def on_train_batch_start(self, batch: Any, index: int) -> None:
        self._step_began = time.perf_counter()
        rate = self.options.learning_rate * rate_factor(self.global_step, self._progress, self.options)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate

    def on_train_batch_end(self, outputs: Any, batch: Any, index: int) -> None:
        self._worked += time.perf_counter() - self._step_began
        if (index + 1) % 50 == 0:
            elapsed = self._data.waited + self._worked
            self.log("speed/examples_per_s", 50 * len(batch.mixture) * self.options.processes / elapsed)
            self.log("speed/waiting_for_data", self._data.waited / elapsed)
            if self._at_peak:
                self.log("speed/share_of_bf16_peak", 50 * self._at_peak / elapsed)
            self._data.waited = self._worked = 0.0
        self._progress = self._agreed_progress()
        if self._progress >= 1:
            self.trainer.should_stop = True  # after a validation, as Lightning has it


def targets_as_queries(batch: Batch) -> Evidence:
    """Evidence in which every target is each of its clips alone; where it is silent, and in other roles, they stay."""
    evidence, target = batch.evidence, batch.target.mean(1, keepdim=True)
    replaced = batch.target.flatten(1).any(1)[evidence.task] & (evidence.role == ALONE)
    clips = torch.where(replaced[:, None, None], target[evidence.task], evidence.clips)
    return evidence._replace(clips=clips)


def _ema(decay: float) -> Callable[[list[Tensor], list[Tensor], Tensor], None]:
    """Exponential moving average whose memory grows with the steps done, so that a short run forgets its beginning."""

    def mix(averages: list[Tensor], current: list[Tensor], updates: Tensor) -> None:
        if not averages[0].is_floating_point():
            torch._foreach_copy_(averages, current)  # counts
            return
        # A tensor, not a number: nothing waits for the device.
        weight = 1 - ((1 + updates) / (10 + updates)).clamp(max=decay)
        changes = torch._foreach_sub(current, averages)
        torch._foreach_mul_(changes, weight)
        torch._foreach_add_(averages, changes)

    return mix


BF16_PEAKS = {"H100 PCIe": 756e12, "H100 NVL": 835e12, "H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12}
"""Dense bf16 operations per second by a part of the card's name, the longer part first (NVIDIA's data sheets)."""


def peak_flops(device: torch.device) -> float | None:
    """The card's bf16 peak; None where it is unknown."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return next((peak for part, peak in BF16_PEAKS.items() if part in name), None)


def _keep_memory() -> None:
    """Let glibc keep freed memory: it gives it back at every step otherwise, and every step pays for fresh pages."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        # From malloc.h: M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX.
        for option, value in ((-1, 2**31 - 1), (-2, 500_000_000), (-4, 0)):
            libc.mallopt(option, value)


def _read(checkpoint: Path) -> dict[str, Any]:
    """A checkpoint of tensors, numbers and text. Raises FewshotSepError: damaged, or with other objects in it."""
    try:
        content: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise FewshotSepError(f"{checkpoint}: no checkpoint that can be trusted ({reason}); remove it") from error
    return content


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
    clock: Callable[[], float] = time.perf_counter,
) -> Spent:
    """Train `system`, and an objective's own parameters, in folder `run`; a checkpoint in that folder is resumed.

    Writes `checkpoints/last.ckpt`, `log/version_*` (`metrics.csv`, and TensorBoard events if that is installed) and
    `curve.png`. Afterwards, and in validation on a few fixed batches, the weights are the exponential moving average.
    It ends with a validation. A run that is called again with more steps or minutes goes on, at the rate that this
    length has there: one that had begun to cool rises again.

    Of several processes the first alone returns; `run` must be one folder for all.

    Args:
        clock: seconds, from any beginning.

    Raises:
        SystemExit: in the others.
        FewshotSepError: a run begun with another optimizer; a checkpoint that is damaged or holds more than tensors,
            numbers and text; not just one of steps and minutes.
    """
    if bool(options.steps) == bool(options.minutes):
        raise FewshotSepError("say how long to train: either a number of steps or of minutes")
    _keep_memory()
    L.seed_everything(options.seed, verbose=False)
    module = Training(system, objective, batches, validation, options, clock)
    last = run / "checkpoints" / "last.ckpt"
    saved = _read(last) if last.exists() else None
    if saved is None or options.progress(saved["global_step"], saved.get("seconds", 0.0)) < 1:
        if options.compile:
            system.network.compile()
        trainer = _trainer(options, run, callbacks, last)
        with _no_process_left():
            trainer.fit(module, ckpt_path=last if saved else None, weights_only=True)
        if trainer.global_rank:
            raise SystemExit  # the first one goes on alone, and writes
        saved = _read(last)
    module.load_state_dict(saved["state_dict"])  # the average
    plots.loss_curve(sorted(run.glob("log/*/metrics.csv")), run / "curve.png")
    return Spent(int(saved["global_step"]), float(saved.get("seconds", 0.0)))


@contextlib.contextmanager
def _no_process_left() -> Iterator[None]:
    """What ends this process ends the others: they would go on alone, and this one wait for them."""
    try:
        yield
    except BaseException:
        for process in multiprocessing.active_children():
            process.kill()
            process.join()
        raise


def _trainer(options: TrainingOptions, run: Path, callbacks: Sequence[Callback], last: Path) -> L.Trainer:
    checkpoint = ModelCheckpoint(
        run / "checkpoints",
        every_n_train_steps=options.check_every,
        save_last=True,
        save_top_k=0,
        enable_version_counter=False,  # or a run folder that was moved is saved to another name than it is read from
    )
    return L.Trainer(
        max_epochs=-1,  # `Training` says when to stop
        accelerator=options.device,
        devices=options.devices,
        num_nodes=options.nodes,
        strategy="ddp_fork" if options.forked else "ddp" if options.processes > 1 else "auto",
        precision=_precision(options.device),  # type: ignore[arg-type]
        gradient_clip_val=5.0,
        callbacks=[
            # Before `WeightAveraging` puts the average in the weights' place, so that more steps can follow.
            LambdaCallback(on_train_end=lambda trainer, module: trainer.save_checkpoint(last)),
            WeightAveraging(use_buffers=True, multi_avg_fn=_ema(options.ema_decay)),
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
