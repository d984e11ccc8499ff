"""The thesis's figures 2, 3 and 4, and the report's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fewshot_sep import plots
from fewshot_sep.experiments.mnist.tasks import Overlays

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EPOCH = 100  # iterations, as in the thesis


def _show(axes: Axes, image: Tensor | NDArray[np.float32], title: str = "") -> None:
    axes.imshow(np.asarray(image).squeeze(), cmap="gray", vmin=0, vmax=1)
    axes.set_axis_off()
    axes.set_title(title, fontsize=9)


def task(example: Overlays, picture: Path) -> None:
    """Figure 2: target, mixture, query."""
    figure, axes = plots.new_figure(1, 3, 6, 2.4)
    shown = {"target": example.target[0], "mixture": example.mixture[0], "query": example.queries[0, 0]}
    for panel, (title, image) in zip(axes[0], shown.items(), strict=True):
        _show(panel, image, title)
    figure.savefig(picture, dpi=110)


def evolution(
    example: Overlays, steps: Sequence[int], outputs: NDArray[np.float32], picture: Path, most: int = 11
) -> None:
    """Figure 3: outputs for five tasks as training goes on; `outputs` is `(steps, tasks, 1, 32, 32)`."""
    kept = np.unique(np.linspace(0, len(steps) - 1, min(most, len(steps))).astype(int))
    count = min(5, len(example.mixture))
    figure, axes = plots.new_figure(count, 3 + len(kept), 0.9 * (3 + len(kept)), count + 0.3)
    for row in range(count):
        first = {"mixture": example.mixture[row], "query": example.queries[row, 0], "target": example.target[row]}
        for panel, (title, image) in zip(axes[row], first.items(), strict=False):
            _show(panel, image, title if row == 0 else "")
        for panel, place in zip(axes[row, 3:], kept, strict=True):
            _show(panel, outputs[place, row], f"{steps[place]}" if row == 0 else "")
    figure.savefig(picture, dpi=90)


def by_count(metrics: dict[str, Any], picture: Path) -> None:
    """Agreement and PSNR against the number of digits in the mixture."""
    figure, axes = plots.new_figure(1, 2, 10, 3.6)
    for name, entry in metrics.items():
        counts = [int(count) for count in entry["by_count"]]
        values = list(entry["by_count"].values())
        axes[0, 0].plot(counts, [100 * value["agreement"] for value in values], marker="o", label=name)
        axes[0, 1].plot(counts, [value["psnr_db"] for value in values], marker="o", label=name)
    axes[0, 0].set(xlabel="digits in the mixture", ylabel="read as the query's class (%)", ylim=(0, 101))
    axes[0, 1].set(xlabel="digits in the mixture", ylabel="median PSNR (dB)")
    for panel in axes[0]:
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    figure.savefig(picture, dpi=100)


def gallery(example: Overlays, outputs: dict[str, Tensor], picture: Path, count: int = 10) -> None:
    """The same test tasks through every model, side by side."""
    rows = {"mixture": example.mixture, "query": example.queries, "target": example.target, **outputs}
    figure, axes = plots.new_figure(len(rows), count, count, len(rows) + 0.2)
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for column, panel in enumerate(line):
            _show(panel, images[column, 0])
        line[0].set_title(name, fontsize=9, loc="left")
    figure.savefig(picture, dpi=90)
