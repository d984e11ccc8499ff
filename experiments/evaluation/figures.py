"""The pictures of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fewshot_sep import plots
from fewshot_sep.experiments.evaluation import settings
from fewshot_sep.experiments.evaluation.runs import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOWEST_DB = -80.0  # of an axis of levels; silence is drawn there
DPI = 90
MARKERS = "o^sDvP*X<>p"  # one more than there are colours, so that no two methods share both


def boxes(rows: dict[str, list[Row]], picture: Path) -> None:
    """SI-SDRi where the target is there: by method, and by instrument for the first method. A dot is an item."""
    first, mine = next(iter(rows.items()))
    instruments = sorted({row["target"] for row in mine}, key=lambda name: -np.median(_si_sdri(mine, name)))
    height = 0.24 * (len(rows) + len(instruments)) + 2.4
    figure, axes = plots.new_figure(2, 1, 9, height)
    panels = axes[:, 0]
    panels[0].get_gridspec().set_height_ratios([len(rows) + 1, len(instruments) + 1])
    panels[1].sharex(panels[0])
    _boxes(panels[0], {name: _si_sdri(some) for name, some in rows.items()}, "by method")
    _boxes(panels[1], {name: _si_sdri(mine, name) for name in instruments}, f"by instrument: {first}")
    panels[1].set_xlabel("SI-SDR improvement (dB)")
    figure.savefig(picture, dpi=DPI)


def _si_sdri(rows: Sequence[Row], target: str = "") -> list[float]:
    return [row["si_sdri"] for row in rows if target in ("", row["target"])]


def _boxes(axes: Axes, groups: dict[str, list[float]], title: str) -> None:
    axes.boxplot(list(groups.values()), orientation="horizontal", widths=0.6, showfliers=False)
    for place, values in enumerate(groups.values(), 1):
        axes.plot(values, np.full(len(values), place), ".", color="tab:blue", alpha=0.6, markersize=5)
    axes.set_yticks(
        range(1, len(groups) + 1), [plots.plain(f"{name} ({len(values)})") for name, values in groups.items()]
    )
    axes.axvline(0, color="grey", linewidth=0.8)
    axes.invert_yaxis()
    axes.set_title(plots.plain(title))
    axes.grid(axis="x", alpha=0.3)


def level_against_sdri(rows: dict[str, list[Row]], picture: Path) -> None:
    """Level of the output re the mixture against SDRi: outputs that score by being quiet lie at the left."""
    figure, axes = plots.new_figure(1, 1, 8, 4.6)
    panel = axes[0, 0]
    for number, (name, some) in enumerate(rows.items()):
        levels = [max(row["level"], LOWEST_DB) for row in some]
        marker = MARKERS[number % len(MARKERS)]
        panel.plot(levels, [row["sdri"] for row in some], marker, label=plots.plain(name), alpha=0.6, markersize=5)
    panel.axvline(settings.COLLAPSED_DB, color="grey", linewidth=0.8, linestyle="--")
    panel.axhline(0, color="grey", linewidth=0.8)
    panel.set(xlabel="level of the output re the mixture (dB)", ylabel="SDR improvement (dB)")
    panel.set_title("target present; left of the dashed line an output counts as collapsed")
    panel.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    panel.grid(alpha=0.3)
    figure.savefig(picture, dpi=DPI)
