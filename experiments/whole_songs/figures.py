"""Figures of the songs report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fewshot_sep.plots import new_figure


def draw(metrics: dict[str, Any], folder: Path) -> None:
    """`boundaries.png` and `queries.png`, of what was measured."""
    if "profiles" in metrics:
        _seams(metrics["profiles"], folder / "boundaries.png")
    if "queries" in metrics:
        _queries(metrics["queries"], folder / "queries.png")


def _seams(profiles: dict[str, Any], path: Path) -> None:
    figure, axes = new_figure(len(profiles), 1, 9, 2.4 * len(profiles))
    for axis, (song, profile) in zip(axes[:, 0], profiles.items(), strict=True):
        meter = int(profile["meter"])
        for name, line in profile.items():
            if name != "meter":
                levels = np.array(line)
                beats = 1 + (np.arange(len(levels)) + 0.5) * meter / len(levels)
                style = {"color": "black", "linestyle": ":"} if name == "truth" else {}
                axis.plot(beats, levels - levels.mean(), label=name, marker="." if name != "truth" else "", **style)
        axis.set(title=song, xlabel="beat of the bar", ylabel="target re mixture (dB)")
        axis.set_xticks(range(1, meter + 2))
        axis.grid(alpha=0.3)
    axes[0, 0].legend(ncols=4)
    figure.savefig(path, dpi=100)


def _queries(songs: dict[str, Any], path: Path) -> None:
    figure, axes = new_figure(1, 1, 9, 4)
    axis = axes[0, 0]
    offsets = {"1 s": -0.3, "3 s": -0.15, "6 s": 0.0, "3 averaged": 0.15, "5 averaged": 0.3}
    for place, found in enumerate(songs.values()):
        groups = {f"{seconds} s": gains for seconds, gains in found["shorter"].items()}
        groups["6 s"] = found["alone"]
        groups |= {f"{count} averaged": gains for count, gains in found["averaged"].items()}
        for number, (name, gains) in enumerate(groups.items()):
            label = name if not place else None
            axis.plot([place + offsets[name]] * len(gains), gains, ".", color=f"C{number}", alpha=0.7, label=label)
            axis.plot(place + offsets[name], np.mean(gains), "_", color=f"C{number}", markersize=14)
        label = "all averaged" if not place else None
        axis.plot(place + 0.42, found["all"], "*", color="black", markersize=9, label=label)
    axis.axhline(0, color="black", linewidth=0.5)
    axis.set_xticks(range(len(songs)), list(songs))
    axis.set(
        ylabel="SI-SDRi of the guitar (dB)", title="the same minute, asked for by different clips of the same guitar"
    )
    axis.legend(ncols=6, fontsize="small")
    axis.grid(axis="y", alpha=0.3)
    figure.savefig(path, dpi=100)
