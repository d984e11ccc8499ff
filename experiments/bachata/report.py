"""Writes what a run found: report.md, metrics.json, the figures and the page to listen to, in `report/`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from fewshot_sep import audio, weights
from fewshot_sep.experiments.bachata import figures, page, text
from fewshot_sep.experiments.bachata.examples import Example, draw, separate
from fewshot_sep.experiments.bachata.measure import model
from fewshot_sep.experiments.bachata.models import ThesisSystem
from fewshot_sep.experiments.bachata.run import VARIANTS, Settings
from fewshot_sep.experiments.bachata.song_tests import WAYS, queries, take_apart
from fewshot_sep.experiments.bachata.tunes import Tune, render
from fewshot_sep.experiments.kit import curves
from fewshot_sep.loops.instruments.material import Material
from fewshot_sep.loops.library import SAMPLE_RATE, Library
from fewshot_sep.loops.tasks.mixing import AudioPool
from fewshot_sep.loops.tasks.train import computing_device
from fewshot_sep.separator import Separator

CLIPS, INTROS_HEARD = 5, (0, 3)
GROUPS = (1, 5, 10, 20)


def write(
    folder: Path, settings: Settings, shelf: Library, material: Material, measured: dict[str, Any], device: str
) -> Path:
    """The report on a finished run; returns the path of report.md."""
    target = folder / "report"
    target.mkdir(exist_ok=True)
    monitor = {name: json.loads((folder / name / "run.json").read_text(encoding="utf-8")) for name in VARIANTS}
    losses = {
        name: curves.losses(
            sorted((folder / name).glob("log/*/metrics.csv")), monitor[name]["iterations"], "train/error"
        )
        for name in VARIANTS
    }
    system = model(folder, "thesis", settings, computing_device(device))
    pool = AudioPool(shelf, "valid", system.preset.sample_rate)
    examples = draw(pool, CLIPS, system.preset.segment)
    short = monitor["any-instrument"]["iterations"]
    figures.spectrograms(system, examples[0], target / "figure6.png")
    figures.clipping(losses, settings.iterations, target / "figure8.png")
    sizes = [size for size in GROUPS if size <= settings.epochs]
    curves.loss_per_epoch({"loss": losses["thesis"]}, settings.iterations, sizes, target / "figure9.png", columns=2)
    figures.instruments(losses, short, target / "figure10.png")
    figures.by_instrument(measured["test"], target / "test.png")
    figures.intros(measured["whole_songs"]["songs"], target / "intros.png")
    _page(target / "page.html", system, examples, render(material, 1, settings.bars, settings.seed), pool)
    metrics = {
        "settings": settings._asdict(),
        "material": material.summary(),
        "clips": {split: len(shelf.split(split)) for split in ("train", "valid")},
        "voices_never_heard": _new_voices(shelf),
        "collections_heard_by_the_shipped_model": _heard_before(shelf),
        "trainings": monitor,
        "loss": losses,
        **measured,
    }
    (target / "metrics.json").write_text(json.dumps(metrics, indent=1), encoding="utf-8")
    path = target / "report.md"
    path.write_text(text.report(metrics), encoding="utf-8")
    return path


def _new_voices(shelf: Library) -> list[str]:
    """The instruments whose test clips are played on voices that training never heard."""
    sources = {split: {(row.instrument, row.source) for row in shelf.split(split)} for split in ("train", "valid")}
    return sorted({name for name, _ in sources["valid"] - sources["train"]})


def _heard_before(shelf: Library) -> list[str]:
    """The collections of the clips' sounds that the shipped model's training drew on too, by its card."""
    heard = weights.card(weights.bundled())["data"]["files_by_collection"]
    return sorted({row.source.split("/")[0] for row in shelf} & set(heard))


def _page(path: Path, system: ThesisSystem, examples: list[Example], tunes: list[Tune], pool: AudioPool) -> None:
    rate = system.preset.sample_rate
    found = [separate(system, example.mixture, example.queries) for example in examples]
    shipped = Separator.from_pretrained(device=str(next(system.parameters()).device))
    songs: dict[str, tuple[Any, dict[str, Any]]] = {}
    for tune in tunes:
        if tune.intro not in INTROS_HEARD:
            continue
        heard = take_apart(tune, system, shipped, queries(pool, 0), (WAYS[0], WAYS[4]))
        mixture: np.ndarray = audio.resample(tune.mixture, SAMPLE_RATE, rate)[0]
        for way, taken in heard.items():
            stems = {name: stem[0] for name, stem in taken.stems.items()}
            songs[f"{tune.name}, intro of {tune.intro} beats: {way}"] = (mixture, stems)
    note = (
        f"True and found sound at {rate} Hz. Clips: the thesis's network. Songs: the thesis's way, and bars with the "
        "shipped model. Rendered by fewshot_sep.experiments.bachata from General MIDI voices; no recording."
    )
    page.write(path, examples, found, songs, rate, note)
