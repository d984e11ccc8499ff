"""Measures what a run folder holds and writes report.md, metrics.json and the figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress

from fewshot_sep.experiments.kit import curves
from fewshot_sep.experiments.mnist import classifier as judges
from fewshot_sep.experiments.mnist import evaluate, figures, trainer
from fewshot_sep.experiments.mnist.digits import Digits
from fewshot_sep.experiments.mnist.run import VARIANTS
from fewshot_sep.experiments.mnist.tasks import Drawer


def write(folder: Path, learn: Digits, test: Digits, tasks: int) -> Path:
    """The report on every variant trained in `folder`; returns the path of report.md."""
    names = [name for name in VARIANTS if (folder / name / "run.json").is_file()]
    clean, unread = Drawer(learn), Drawer(test)
    with Progress(transient=True) as bar:
        line = bar.add_task("training the judge", total=1.0)
        judge = judges.train(
            clean.images, torch.from_numpy(learn.labels), progress=lambda done: bar.update(line, completed=done)
        )
        accuracy = float((judge.read(unread.images).numpy() == test.labels).mean())
        metrics: dict[str, Any] = {"judge_accuracy": accuracy, "tasks": tasks, "variants": {}}
        example, outputs = Drawer(test, 10, seed=evaluate.TEST_SEED).draw(0), {}
        losses = {}
        for name in bar.track(names, description="measuring"):
            system, facts = trainer.load(folder / name)
            measured = evaluate.measure_all(system, judge, test, facts["unseen"], tasks)
            parameters = sum(p.numel() for n, p in system.named_parameters() if not n.startswith("judge."))
            metrics["variants"][name] = {
                **facts,
                "unseen_classes": facts["unseen"],
                "parameters": parameters,
                **{"unseen": None, **measured},
            }
            losses[name] = curves.losses(sorted((folder / name).glob("log/*/metrics.csv")), figures.EPOCH)
            with torch.inference_mode():
                outputs[name] = system(example.mixture, example.queries)
            steps, kept = trainer.read_snapshots(folder / name)
            figures.evolution(trainer.read_example(folder / name), steps, kept, folder / f"evolution-{name}.png")
    figures.task(example, folder / "task.png")
    figures.gallery(example, outputs, folder / "gallery.png")
    figures.by_count(metrics["variants"], folder / "by_count.png")
    # The adversarial loss is another quantity: it would hide the others' curves.
    shown = {name: curve for name, curve in losses.items() if name != "gan"} or losses
    curves.loss_per_epoch(shown, figures.EPOCH, (1, 5, 10), folder / "loss.png", columns=3)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1), encoding="utf-8")
    path = folder / "report.md"
    path.write_text(_text(metrics), encoding="utf-8")
    return path


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _text(metrics: dict[str, Any]) -> str:
    variants: dict[str, dict[str, Any]] = metrics["variants"]
    first = next(iter(variants.values()))
    count = first["digits"]
    lines = [
        "# Pick a digit out of an overlay, by an example in another hand",
        "",
        f"{metrics['tasks']:,} test tasks a figure, digits that no training saw. A mixture is the pixel-wise maximum "
        f"of {count} digits of distinct classes; the judge is a classifier trained on clean digits alone "
        f"({_percent(metrics['judge_accuracy'])} right on clean test digits).",
        "",
        "![a task](task.png)",
        "",
        "| variant | parameters | iterations | minutes | PSNR (dB) | read as the query's class | unseen classes | "
        "wrong query: still the target | wrong query: followed |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, entry in variants.items():
        seen, unseen = entry["seen"], entry.get("unseen")
        held = f"{_percent(unseen['agreement'])} ({', '.join(map(str, entry['unseen_classes']))})" if unseen else ""
        lines.append(
            f"| {name} | {entry['parameters'] / 1e6:.2f} M | {entry['steps']:,} x {entry['batch']} | "
            f"{entry['seconds'] / 60:.1f} | {seen['psnr_db']:.1f} | {_percent(seen['agreement'])} | {held} | "
            f"{_percent(seen['wrong_query'])} | {_percent(seen['wrong_query_followed'])} |"
        )
    lines += [
        f"| the mixture itself | | | | {first['seen']['mixture_psnr_db']:.1f} | "
        f"{_percent(first['seen']['mixture_agreement'])} | | | |",
        f"| the true target | | | | | {_percent(first['seen']['target_agreement'])} | | | |",
        "",
        "PSNR is the median. *Wrong query*: another digit of the mixture is asked for; chance is 10 %.",
        "*Unseen classes*: never in a training mixture, target or query; in the test, asked for in mixtures of all.",
        "",
        "![the same tasks through every variant](gallery.png)",
        "",
        "![agreement and PSNR by number of digits](by_count.png)",
        "",
        "## The thesis's figures",
        "",
        "Loss per epoch of 100 iterations, and its mean and standard deviation over 5 and 10 epochs (figure 4):",
        "",
        "![loss](loss.png)",
        "",
        "Outputs for five tasks as training goes on (figure 3):",
        "",
        *(f"{name}\n\n![{name}](evolution-{name}.png)\n" for name in variants),
        f"Width {first['width']} (64 in the thesis), seed {first['seed']}. Made by `fewshot-sep mnist"
        + "".join(f" --variant {name}" for name in variants)
        + f" --width {first['width']} --steps {first['steps']}`.",
        "",
    ]
    return "\n".join(lines)
