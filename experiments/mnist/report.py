"""Measures what a run folder holds and writes report.md, metrics.json and the figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from fewshot_sep import cli
from fewshot_sep.experiments.kit import curves, document, variants
from fewshot_sep.experiments.kit.document import Block, Heading, Picture, Points, Table, Text
from fewshot_sep.experiments.mnist import classifier as classifiers
from fewshot_sep.experiments.mnist import evaluate, figures, models, snapshots
from fewshot_sep.experiments.mnist.digits import Digits
from fewshot_sep.experiments.mnist.settings import UNSEEN, VARIANTS
from fewshot_sep.experiments.mnist.tasks import Drawer

TITLE = "Pick a digit out of an overlay, by an example in another hand"


def write(folder: Path, training: Digits, test: Digits, tasks: int) -> Path:
    """The report on every variant trained in `folder`; returns the path of report.md."""
    known = {name: variants.facts(folder / name) for name in VARIANTS}
    trained = {name: facts for name, facts in known.items() if facts}
    clean, unread = Drawer(training), Drawer(test)
    measured, outputs, losses = {}, {}, {}
    example = Drawer(test, 10, seed=evaluate.TEST_SEED).draw(0)
    with cli.progress("training the classifier") as tell:
        classifier = classifiers.train(clean.images, torch.from_numpy(training.labels), progress=tell)
    for name, facts in cli.tracked(list(trained.items()), "measuring"):
        run = folder / name
        system = variants.load(run, models.build(facts["model"], facts["width"]))
        measured[name] = {
            **facts,
            "unseen_classes": facts["unseen"],
            "unseen": None,
            **evaluate.measure_all(system, classifier, test, facts["unseen"], tasks),
        }
        losses[name] = curves.losses(sorted(run.glob("log/*/metrics.csv")), figures.EPOCH)
        with torch.inference_mode():
            outputs[name] = system(example.mixture, example.queries)
        figures.evolution(snapshots.read_example(run), *snapshots.read(run), folder / f"evolution-{name}.png")
    figures.task(example, folder / "task.png")
    figures.gallery(example, outputs, folder / "gallery.png")
    figures.by_count(measured, folder / "by_count.png")
    curves.loss_per_epoch(losses, figures.EPOCH, (1, 5, 10), folder / "loss.png", columns=3)
    accuracy = float((classifier.read(unread.images).numpy() == test.labels).mean())
    metrics = {"classifier_accuracy": accuracy, "tasks": tasks, "variants": measured}
    return document.write(folder, TITLE, blocks(metrics), metrics)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def blocks(metrics: Mapping[str, Any]) -> list[Block]:
    """The report, of what metrics.json holds."""
    measured: dict[str, dict[str, Any]] = metrics["variants"]
    name, first = next(iter(measured.items()))
    command = "fewshot-sep mnist" + "".join(f" --variant {name}" for name in measured)
    return [
        Text(
            f"A classifier reads {_percent(first['seen']['agreement'])} of the outputs of `{name}` as the query's "
            f"class, and {_percent(first['seen']['target_agreement'])} of the true targets."
        ),
        Picture("task.png", "a task"),
        _table(measured),
        Points(
            [
                f"A mixture is the pixel-wise maximum of {first['digits']} digits of distinct classes. Each figure is "
                f"over {metrics['tasks']:,} test tasks of digits that no training saw; PSNR is the median.",
                "The classifier is trained on clean digits alone. It reads "
                f"{_percent(metrics['classifier_accuracy'])} of the clean test digits right.",
                "Wrong query: the query is another digit of the mixture; chance is 10 %.",
                f"Unseen classes ({' and '.join(map(str, UNSEEN))}): never in a training mixture, target or query; "
                "queried in test mixtures of all.",
            ]
        ),
        Picture("gallery.png", "the same tasks through every variant"),
        Picture("by_count.png", "agreement and PSNR by number of digits"),
        Heading("Figure 4: loss per epoch of 100 iterations, and mean and standard deviation over 5 and 10"),
        Picture("loss.png", "loss"),
        Heading("Figure 3: outputs for five tasks as training goes on"),
        *(Picture(f"evolution-{name}.png", name) for name in measured),
        Text(
            f"Width {first['width']} (64 in the thesis), seed {first['seed']}. Made by `{command} --width "
            f"{first['width']} --steps {first['steps']}`; every number in `metrics.json`."
        ),
    ]


def _table(measured: Mapping[str, Mapping[str, Any]]) -> Table:
    columns: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "parameters": lambda entry: f"{entry['parameters'] / 1e6:.2f} M",
        "iterations": lambda entry: f"{entry['steps']:,} x {entry['batch']}",
        "minutes": lambda entry: f"{entry['seconds'] / 60:.1f}",
        "PSNR (dB)": lambda entry: f"{entry['seen']['psnr_db']:.1f}",
        "read as the query's class": lambda entry: _percent(entry["seen"]["agreement"]),
        "unseen classes": lambda entry: _percent(entry["unseen"]["agreement"]) if entry.get("unseen") else "",
        "wrong query: still the target": lambda entry: _percent(entry["seen"]["wrong_query"]),
        "wrong query: followed": lambda entry: _percent(entry["seen"]["wrong_query_followed"]),
    }
    rows = [[name, *(cell(entry) for cell in columns.values())] for name, entry in measured.items()]
    seen = next(iter(measured.values()))["seen"]
    mixture, target = (_percent(seen[key]) for key in ("mixture_agreement", "target_agreement"))
    rows.append(["the mixture itself", "", "", "", f"{seen['mixture_psnr_db']:.1f}", mixture, "", "", ""])
    rows.append(["the true target", "", "", "", "", target, "", "", ""])
    return Table(["variant", *columns], rows)
