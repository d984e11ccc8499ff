"""The thesis's figures 3 and 4, and the report's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewshot_sep import plots
from fewshot_sep.experiments.mnist.digits import Digits
from fewshot_sep.experiments.mnist.glyphs import warp
from fewshot_sep.experiments.mnist.tasks import Overlays

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EPOCH = 100  # iterations, as in the thesis


def _show(axes: Axes, image: Tensor | NDArray[np.float32], title: str = "") -> None:
    axes.imshow(np.asarray(image).squeeze(), cmap="gray", vmin=0, vmax=1)
    axes.set_axis_off()
    axes.set_title(title, fontsize=9)


def glyphs(invented: Digits, picture: Path, rows: int = 8, columns: int = 6) -> None:
    """Writings of some invented classes, left as they are and right as training sees them."""
    labels = np.unique(invented.labels)
    chosen = labels[np.linspace(0, len(labels) - 1, 2 * rows).astype(int)]
    images = np.concatenate([invented.images[invented.labels == label][:columns] for label in chosen])
    drawn = torch.from_numpy(images.astype(np.float32) / 255)[:, None]
    both = torch.stack([drawn, warp(drawn, torch.Generator().manual_seed(0))]).view(
        2, 2, rows, columns, *drawn.shape[2:]
    )
    sheet = both.permute(2, 4, 1, 0, 3, 5).flatten(2).flatten(0, 1)  # rows and height; half, hand, column and width
    figure, axes = plots.new_figure(1, 1, columns * 2, rows / 2)
    _show(axes[0, 0], sheet)
    figure.savefig(picture, dpi=90)


def evolution(
    example: Overlays, steps: Sequence[int], outputs: NDArray[np.float32], picture: Path, most: int = 11
) -> None:
    """Figure 3: outputs for a few tasks as training goes on; `outputs` is `(steps, tasks, 1, 32, 32)`."""
    kept = np.unique(np.linspace(0, len(steps) - 1, min(most, len(steps))).astype(int))
    count = len(example.mixture)
    figure, axes = plots.new_figure(count, 3 + len(kept), 0.9 * (3 + len(kept)), count + 0.3)
    for row in range(count):
        first = {"mixture": example.mixture[row], "query": example.queries[row, 0], "target": example.target[row]}
        for panel, (title, image) in zip(axes[row], first.items(), strict=False):
            _show(panel, image, title if row == 0 else "")
        for panel, place in zip(axes[row, 3:], kept, strict=True):
            _show(panel, outputs[place, row], f"{steps[place]}" if row == 0 else "")
    figure.savefig(picture, dpi=90)


def by_count(metrics: Mapping[str, Any], picture: Path) -> None:
    """Agreement, and how well presence is told, against the number of digits in the mixture."""
    shown = {"agreement": "read as the query's class (%)", "area": "there or absent: area (%)"}
    figure, axes = plots.new_figure(2, 2, 10, 6.4)
    for row, (key, label) in zip(axes, shown.items(), strict=True):
        for panel, (part, title) in zip(row, {"unseen": "held out", "seen": "seen"}.items(), strict=True):
            for name, entry in metrics.items():
                values = {int(count): 100 * found[key] for count, found in entry["by_count"][part].items()}
                panel.plot(list(values), list(values.values()), marker="o", label=name)
            panel.set(xlabel="digits in the mixture", ylabel=label, ylim=(0, 101), title=title)
            panel.grid(alpha=0.3)
    axes[0, 0].legend(fontsize=8)
    figure.savefig(picture, dpi=100)


def gallery(example: Overlays, outputs: Mapping[str, Tensor], picture: Path, count: int = 10) -> None:
    """The same test tasks through every model, side by side."""
    rows = {"mixture": example.mixture, "query": example.queries, "target": example.target, **outputs}
    figure, axes = plots.new_figure(len(rows), count, count, len(rows) + 0.2)
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for column, panel in enumerate(line):
            _show(panel, images[column, 0])
        line[0].set_title(name, fontsize=9, loc="left")
    figure.savefig(picture, dpi=90)
