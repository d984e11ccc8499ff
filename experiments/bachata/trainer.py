"""Builds the thesis's system with the switches of its experiments, and trains each variant in a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from fewshot_sep import training
from fewshot_sep.experiments.bachata.settings import INSTRUMENTS, PRESET, VARIANTS, Settings, Variant
from fewshot_sep.experiments.kit import variants
from fewshot_sep.loops.library import Library
from fewshot_sep.loops.tasks.mixing import TaskMixer
from fewshot_sep.loops.tasks.options import PLAIN
from fewshot_sep.loops.tasks.pool import AudioPool
from fewshot_sep.loops.tasks.train import computing_device
from fewshot_sep.objectives import ImageObjective
from fewshot_sep.systems import ImageSystem
from fewshot_sep.systems.image import NormalisedImage
from fewshot_sep.unet import ConcatUNet
from fewshot_sep.workers import answers_of

ALWAYS = 1e9  # an instrument this much more likely than the others is always the one queried


class UnnormalisedSystem(ImageSystem):
    """The thesis's system before its equation 2: images keep their scale."""

    def image(self, wave: Tensor, time_scale: float = 1.0) -> NormalisedImage:
        image, spectrum, peak = super().image(wave, time_scale)
        return NormalisedImage(image * peak, spectrum, torch.ones_like(peak))


def build(variant: Variant, width: int = 64) -> ImageSystem:
    """An untrained system as `variant` says; the thesis's has width 64."""
    system = (ImageSystem if variant.normalise else UnnormalisedSystem)(replace(PRESET, widths=(width,)))
    network = ConcatUNet(width, variant.clip)
    system.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return system


def train_all(
    names: Sequence[str],
    settings: Settings,
    library: Library,
    output: Path,
    device: str = "auto",
    workers: int | None = None,
) -> Generator[str, None, None]:
    """Train variants in folders below `output`; their names as they end.

    workers: processes on a CPU, one for each core if None: networks this small gain nothing from a second thread.
    """
    count = (workers or os.cpu_count() or 1) if computing_device(device) == "cpu" else 1
    threads = 1 if count > 1 else torch.get_num_threads()
    yield from answers_of(partial(_train_one, settings, library, output, device, threads), names, count)


def _train_one(settings: Settings, library: Library, output: Path, device: str, threads: int, name: str) -> str:
    torch.set_num_threads(threads)
    train(VARIANTS[name], settings, library, output / name, device)
    return name


def train(variant: Variant, settings: Settings, library: Library, run: Path, device: str = "auto") -> None:
    """Train `variant` in `run`, resumed where it stopped; nothing is done where it is finished."""
    if variants.facts(run):
        return
    epochs, iterations = settings.length(variant)
    steps = epochs * iterations
    options = training.TrainingOptions(
        steps,
        warm_up=min(100, steps // 10),
        ema_decay=0.99,
        check_every=max(1, steps // 4),
        log_every=1,
        seed=settings.seed,
        device=device,
    )
    pool = training_pool(variant, library, computing_device(device))
    variants.train(
        run,
        {**variant._asdict(), "epochs": epochs, "iterations": iterations},
        lambda: build(variant, settings.width),
        ImageObjective(),
        lambda first: iter(mixer(variant, settings.batch, pool, settings.seed, first)),
        [mixer(variant, settings.batch, pool, settings.seed + 1).draw(0)],
        options,
    )


def training_pool(variant: Variant, library: Library, device: str = "cpu") -> AudioPool:
    """The clips that a variant is trained on."""
    pool = AudioPool(library, "train", PRESET.sample_rate, device)
    return pool.only(lambda row: row.instrument != variant.without)


def mixer(variant: Variant, batch: int, pool: AudioPool, seed: int, first: int = 0) -> TaskMixer:
    """The tasks of a variant: one clip of every instrument, as in the thesis, one of them queried."""
    emphasis = ((variant.only, ALWAYS),) if variant.only else ()
    mixing = replace(PLAIN, sources=(len(INSTRUMENTS), len(INSTRUMENTS)), emphasis=emphasis)
    return TaskMixer(pool, batch, PRESET.segment, 1, mixing, seed, first)


def load(folder: Path, name: str, width: int) -> ImageSystem:
    """A trained variant of the run in `folder`, ready for use."""
    return variants.load(folder / name, build(VARIANTS[name], width))
