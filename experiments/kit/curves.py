"""Losses per epoch, from the logs of `fewshot_sep.training`, as the thesis draws them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fewshot_sep import plots


def losses(logs: Sequence[Path], epoch: int, column: str = "train/loss") -> list[float]:
    """Mean of what a column holds over each epoch of `epoch` iterations that was begun."""
    groups: dict[int, list[float]] = {}
    for log in logs:
        for record in csv.DictReader(log.read_text().splitlines()):
            if record.get(column):
                groups.setdefault(int(record["step"]) // epoch, []).append(float(record[column]))
    return [float(np.mean(groups[number])) for number in sorted(groups)]


def grouped(curve: Sequence[float], size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Last epoch, mean and standard deviation of every `size` whole epochs.

    >>> [part.tolist() for part in grouped([1.0, 3.0, 5.0, 5.0, 9.0], 2)]
    [[2, 4], [2.0, 5.0], [1.0, 0.0]]
    """
    whole = np.array(curve[: len(curve) // size * size]).reshape(-1, size)
    return size * (np.arange(len(whole)) + 1), whole.mean(1), whole.std(1)


def loss_per_epoch(
    curves: Mapping[str, Sequence[float]], epoch: int, sizes: Sequence[int], picture: Path, columns: int
) -> None:
    """The loss of each epoch of `epoch` iterations, and its mean and standard deviation over several, a panel each."""
    rows = -(-len(sizes) // columns)
    figure, axes = plots.new_figure(rows, columns, 13 / 3 * columns, 3.6 * rows)
    for panel, size in zip(axes.flat, sizes, strict=False):
        for name, curve in curves.items():
            place, mean, deviation = grouped(curve, size)
            if size == 1:
                panel.plot(place, mean, label=name)
            else:
                panel.errorbar(place, mean, deviation, capsize=2, label=name)
        panel.set(xlabel=f"epoch of {epoch} iterations", ylabel="loss", yscale="log")
        title = "each epoch" if size == 1 else f"mean and standard deviation of {size} epochs"
        panel.set_title(title, fontsize=10)
        panel.grid(alpha=0.3)
    axes.flat[0].legend(fontsize=8)
    figure.savefig(picture, dpi=100)
