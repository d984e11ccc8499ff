"""Writes what a run found into `report/`: report.md, metrics.json, the figures, and page.html to listen to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fewshot_sep import audio, plots, weights
from fewshot_sep.experiments.bachata import findings, trainer
from fewshot_sep.experiments.bachata.examples import Array, Example, draw, separate, tensor
from fewshot_sep.experiments.bachata.settings import INSTRUMENTS, VARIANTS, Settings
from fewshot_sep.experiments.kit import curves, document, variants
from fewshot_sep.experiments.kit.document import Sounds
from fewshot_sep.loops.instruments.material import Material
from fewshot_sep.loops.library import Library
from fewshot_sep.loops.tasks.pool import AudioPool
from fewshot_sep.loops.tasks.train import computing_device
from fewshot_sep.systems import ImageSystem

EXAMPLES = 5  # to listen to


def write(
    folder: Path, settings: Settings, library: Library, material: Material, measured: dict[str, Any], device: str
) -> Path:
    """The report on a finished run; returns the path of report.md."""
    target = folder / "report"
    target.mkdir(exist_ok=True)
    trainings = {name: variants.facts(folder / name) for name in VARIANTS}
    losses = {
        name: curves.losses(sorted((folder / name).glob("log/*/metrics.csv")), facts["iterations"])
        for name, facts in trainings.items()
    }
    system = trainer.load(folder, "thesis", settings.width).to(computing_device(device))
    pool = AudioPool(library, "valid", system.preset.sample_rate)
    examples = draw(pool, EXAMPLES, system.preset.segment)
    spectrograms(system, examples[0], target / "figure6.png")

    def draw_losses(number: int, names: Sequence[str], sizes: Sequence[int]) -> None:
        chosen = {name.replace("-", " "): losses[name] for name in names}
        fitting = [size for size in sizes if size <= min(map(len, chosen.values()))]
        picture = target / f"figure{number}.png"
        curves.loss_per_epoch(chosen, trainings[names[0]]["iterations"], fitting, picture, columns=min(2, len(fitting)))

    draw_losses(8, ("plain", "clipped", "thesis"), (1, 5))
    draw_losses(9, ("thesis",), (1, 5, 10, 20))
    draw_losses(10, [*(f"only-{name}" for name in INSTRUMENTS), "any-instrument"], (1, 5))
    metrics = {
        "settings": settings._asdict(),
        "material": material.summary(),
        "clips": {split: len(library.split(split)) for split in ("train", "valid")},
        "test_voices": _new_voices(library),
        "collections_of_the_shipped_model": _shared_collections(library),
        "trainings": trainings,
        "loss": losses,
        **measured,
    }
    blocks = findings.blocks(metrics, table_1(system, examples))
    return document.write(target, findings.TITLE, blocks, metrics, html=True)


@torch.inference_mode()
def spectrograms(system: ImageSystem, example: Example, picture: Path) -> None:
    """Figure 6: the images of a mixture and of the instruments in it; below them what the network predicts."""
    mixture, stems, queries = (
        tensor(system, x)[:, None] for x in (example.mixture[None], example.stems, example.queries)
    )
    predicted, true = system.images(mixture.expand(len(stems), -1, -1), queries, stems)
    rows = [system.image(mixture).image, *true], [None, *predicted]
    titles = ("mixture", *INSTRUMENTS), ("", *(f"{name}, predicted" for name in INSTRUMENTS))
    figure, axes = plots.new_figure(2, len(stems) + 1, 15, 5.4)
    preset = system.preset
    for panel, image, title in zip(axes.flat, chain(*rows), chain(*titles), strict=True):
        if image is None:
            panel.set_axis_off()
            continue
        extent = (0, image.shape[-1] * preset.hop / preset.sample_rate, 0, preset.sample_rate / 2000)
        pixels = image.squeeze().cpu().numpy()
        panel.imshow(pixels, origin="lower", aspect="auto", cmap="magma", vmin=0, vmax=1, extent=extent)
        panel.set_title(title, fontsize=9)
        panel.set(xlabel="time (s)", ylabel="frequency (kHz)")
    figure.savefig(picture, dpi=80)


def _new_voices(library: Library) -> list[str]:
    """The instruments whose test clips are played on voices that training never uses."""
    sources = {split: {(row.instrument, row.source) for row in library.split(split)} for split in ("train", "valid")}
    return sorted({name for name, _ in sources["valid"] - sources["train"]})


def _shared_collections(library: Library) -> list[str]:
    """The collections of the clips' sounds that the shipped model's training drew on too, by its card."""
    trained_on = weights.card(weights.bundled())["data"]["files_by_collection"]
    return sorted({row.source.split("/")[0] for row in library} & set(trained_on))


def table_1(system: ImageSystem, examples: Iterable[Example]) -> list[Sounds]:
    """Test mixtures, and each instrument as it is and as the thesis's network estimates it."""
    rate, found = system.preset.sample_rate, []
    for number, example in enumerate(examples, 1):
        clips = {"mixture": _mp3(example.mixture, rate)}
        estimates = separate(system, example.mixture, example.queries)
        for name, stem, estimate in zip(INSTRUMENTS, example.stems, estimates, strict=True):
            clips |= {f"{name}, true": _mp3(stem, rate), f"{name}, separated": _mp3(estimate, rate)}
        found.append(Sounds(f"Example {number}", clips))
    return found


def _mp3(samples: Array, rate: int) -> bytes:
    """Of mono samples, scaled to full scale where they would be clipped."""
    return audio.encode(samples[None] / np.float32(max(1.0, np.abs(samples).max())), rate)
