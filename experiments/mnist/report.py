"""Measures what a run folder holds and writes report.md, metrics.json and the figures."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fewshot_sep import cli
from fewshot_sep.experiments.kit import curves, document, stats, tables, variants
from fewshot_sep.experiments.kit.document import Block, Heading, Picture, Points, Table, Text
from fewshot_sep.experiments.mnist import evaluate, figures, models, snapshots, trainer
from fewshot_sep.experiments.mnist.classifier import DigitClassifier
from fewshot_sep.experiments.mnist.digits import Digits
from fewshot_sep.experiments.mnist.settings import HELD_OUT, VARIANTS
from fewshot_sep.experiments.mnist.tasks import Drawer

TITLE = "Pick a glyph out of an overlay, by an example in another hand"
PICTURES = {
    "held-out.png": "held-out digits, in every variant",
    "seen.png": "seen digits, in every variant",
    "absent.png": "asked for what is not there",
}

Entry = Mapping[str, Any]


def write(folder: Path, classifier: DigitClassifier, invented: Digits, test: Digits, tasks: int) -> Path:
    """The report on every variant and seed trained in `folder`; returns the path of report.md."""
    runs = [run.parent for name in VARIANTS for run in sorted(folder.glob(f"{name}/*/{variants.FACTS}"))]
    measured: dict[str, dict[str, Entry]] = {}
    systems: dict[str, models.DigitSystem] = {}
    losses = {}
    for run in cli.tracked(runs, "measuring"):
        facts, name = variants.facts(run), run.parent.name
        system = variants.load(run, models.build(facts["model"], facts["width"]))
        found = evaluate.measure_all(system, classifier, test, HELD_OUT, tasks)
        measured.setdefault(name, {})[run.name] = {**facts, **found}
        if name not in systems:
            systems[name] = system
            losses[name] = curves.losses(sorted(run.glob("log/*/metrics.csv")), figures.EPOCH)
            shutil.copy(run / snapshots.PREVIEW, folder / f"evolution-{name}.png")
    seen = np.setdiff1d(range(10), HELD_OUT).tolist()
    for picture, queried, absent in zip(PICTURES, (HELD_OUT, seen, range(10)), (0.0, 0.0, 1.0), strict=True):
        example = Drawer(test, 10, queried=queried, seed=evaluate.TEST_SEED, absent=absent).draw(0)
        with torch.inference_mode():
            outputs = {name: system(*example.told) for name, system in systems.items()}
        figures.gallery(example, outputs, folder / picture)
    figures.glyphs(invented, folder / "glyphs.png")
    figures.by_count({name: next(iter(seeds.values())) for name, seeds in measured.items()}, folder / "by_count.png")
    curves.loss_per_epoch(losses, figures.EPOCH, (1, 5), folder / "loss.png", columns=2)
    clean = Drawer(test)
    accuracy = float((classifier.read(clean.images).numpy() == clean.labels).mean())
    classes = len(np.unique(invented.labels))
    metrics = {"classifier_accuracy": accuracy, "tasks": tasks, "invented": classes, "variants": measured}
    return document.write(folder, TITLE, blocks(metrics), metrics)


def _percent(share: float) -> str:
    return tables.percent(share, 1)


def _figure(entries: Sequence[Entry], part: str, key: str) -> str:
    """A share in percent or a level in dB, with its interval over several seeds; empty where it was not measured."""
    if key not in entries[0][part]:
        return ""
    values = [entry[part][key] * (1 if key.endswith("_db") else 100) for entry in entries]
    return tables.interval(stats.of_seeds(values)) if len(values) > 1 else tables.number(values[0])


def blocks(metrics: Mapping[str, Any]) -> list[Block]:
    """The report, of what metrics.json holds."""
    measured = {name: list(seeds.values()) for name, seeds in metrics["variants"].items()}
    name, entries = next(iter(measured.items()))
    first, count = entries[0], len(entries)
    held_out = " and ".join(map(str, HELD_OUT))

    def both(key: str) -> str:
        some = entries[:1] if key.startswith("query_") else entries
        return f"{_figure(some, 'unseen', key)} and {_figure(some, 'seen', key)} %"

    command = "fewshot-sep mnist" + "".join(f" --variant {name}" for name in measured)
    return [
        Text(
            f"Asked by an example for a digit that it was never trained on ({held_out}), and for one that it was, "
            f"`{name}` puts out what a classifier reads as that digit in {both('agreement')} of the tasks. "
            f"So does a mere copy of the query, where the mixture has ink, in {both('query_agreement')}; outputs are "
            f"nearest to the target in {both('nearest')}, copies in {both('query_nearest')}. Asked for an absent "
            f"digit, {both('empty')} of the outputs are empty; of the others {both('falsely_empty')} are, by mistake."
        ),
        Picture("held-out.png", PICTURES["held-out.png"]),
        _trained(measured),
        Heading(f"Classes that are held out: {held_out}"),
        _followed(measured, "unseen", HELD_OUT),
        Heading("Classes that are seen"),
        _followed(measured, "seen"),
        Points(
            [
                f"A mixture is the pixel-wise maximum of {first['digits']} digits of distinct classes, out of all ten. "
                f"Each figure is over {metrics['tasks']:,} test tasks of digits that no training saw; PSNR is "
                "the median. Brackets: 95 % interval of the mean over seeds (Student's t).",
                f"Held out: {held_out} are in no training mixture, target or query, in no rotation. Variants without "
                f"`-digits` see {metrics['invented']} invented classes beside the other eight.",
                "Read: by a classifier that is trained on digits alone, all ten, clean, faint, blurred and cut. It "
                f"reads {_percent(metrics['classifier_accuracy'])} of the clean test digits right. An output that "
                "copies the query reads right too.",
                "Nearest: by cosine, the output resembles the target more than any other digit of the mixture. That "
                f"needs no classifier; chance is {_percent(1 / first['digits'])}.",
                "`not`: an example of another digit of the mixture is given too, as what is not wanted.",
                "Another query: the query is another digit of the mixture; chance is 10 %.",
                "These are of outputs as if the class were there. Empty: a network for that finds it likelier absent "
                "than a threshold allows, and all is black. The threshold is chosen after training, on tasks of the "
                f"training's classes, so that {tables.percent(trainer.FALSELY_EMPTY)} of what is there is left empty. "
                "Area: under the ROC curve, how often a task whose class is there is thought likelier to have it than "
                "one whose class is not (chance is 50 %); as many digits lie over each other in both.",
            ]
        ),
        *(Picture(picture, PICTURES[picture]) for picture in ("seen.png", "absent.png")),
        Picture("glyphs.png", "invented classes, a row of writings each, and in another hand"),
        Picture("by_count.png", "by number of digits, seen and held out"),
        Heading("Loss per epoch of 100 iterations, and mean and standard deviation over 5"),
        Picture("loss.png", "loss"),
        Heading("Outputs for held-out digits as training goes on"),
        *(Picture(f"evolution-{name}.png", name) for name in measured),
        Text(
            f"Width {first['width']} (64 in the thesis). Made by `{command} --width {first['width']} --steps "
            f"{first['steps']} --batch {first['batch']} --seeds {count}`; every number in `metrics.json`."
        ),
    ]


def _trained(measured: Mapping[str, Sequence[Entry]]) -> Table:
    rows = [
        [
            *(name, f"{entries[0]['parameters'] / 1e6:.2f} M", f"{entries[0]['steps']:,} x {entries[0]['batch']}"),
            *(tables.median([entry["seconds"] / 60 for entry in entries]), f"{len(entries)}"),
        ]
        for name, entries in measured.items()
    ]
    return Table(["variant", "parameters", "iterations", "minutes", "seeds"], rows)


def _followed(measured: Mapping[str, Sequence[Entry]], part: str, classes: Sequence[int] = ()) -> Table:
    """How far an example is followed, and what three images are worth that no network made."""
    columns = {
        "read as the query's class (%)": "agreement",
        **{f"a {label} (%)": f"agreement_{label}" for label in classes},
        "nearest (%)": "nearest",
        "PSNR (dB)": "psnr_db",
        "with a `not`: read (%)": "refused_agreement",
        "with a `not`: nearest (%)": "refused_nearest",
        "another query: followed (%)": "wrong_query_followed",
        "absent: empty (%)": "empty",
        "there: empty (%)": "falsely_empty",
        "there or absent: area (%)": "area",
    }
    first = next(iter(measured.values()))[:1]
    images = {"mixture": "the mixture itself", "query": "the query, where there is ink", "target": "the true target"}
    rows = [
        *([name, *(_figure(entries, part, key) for key in columns.values())] for name, entries in measured.items()),
        *([name, *(_figure(first, part, f"{of}_{key}") for key in columns.values())] for of, name in images.items()),
    ]
    return Table(["variant", *columns], rows)
