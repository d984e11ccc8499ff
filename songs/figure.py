"""The picture of a song: levels over all of it, spectrograms of an excerpt."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from fewshot_sep import files
from fewshot_sep.plots import mask_image, new_figure, spectrogram
from fewshot_sep.songs.monitor import FLOOR_DB, Monitor

Array = NDArray[np.float32]

MASK = "mask"


def draw(monitor: Monitor, excerpts: dict[str, Array], start: float, path: str | os.PathLike[str]) -> None:
    """Draw levels over the whole song, and spectrograms of excerpts (title -> (channels, n)) from `start` seconds on.

    After the mixture comes the share of it that the target has in each cell, and bar lines are drawn over all of them.
    Raises OutputError.
    """
    if "mixture" in excerpts and "target" in excerpts:
        mixture = {"mixture": excerpts["mixture"], MASK: excerpts["target"]}
        excerpts = {**mixture, **excerpts}
    rows = 1 + len(excerpts)
    figure, grid = new_figure(rows, 1, 12, 3 * rows)
    axes = grid[:, 0]
    lines = np.array(monitor.grid.boundaries if monitor.grid else []) / monitor.sample_rate
    moments = (np.arange(monitor.levels_db().shape[1]) + 0.5) * monitor.hop / monitor.sample_rate
    for name, level in zip(("mixture", "target", "residual"), monitor.levels_db(), strict=True):
        axes[0].plot(moments, level, linewidth=0.8, label=name)
    axes[0].set(title="level over the song", xlabel="time (s)", ylabel="level (dB re loudest)", ylim=(FLOOR_DB, 3))
    axes[0].set_xlim(0, max(monitor.frames / monitor.sample_rate, 1e-3))
    axes[0].legend(loc="lower right")
    if len(lines) <= 400:
        for line in lines:
            axes[0].axvline(line, color="black", linewidth=0.3, alpha=0.5)
    reference: float | None = None
    for axis, (title, samples) in zip(axes[1:], excerpts.items(), strict=True):
        if title == MASK:
            mask_image(axis, excerpts["mixture"], samples, monitor.sample_rate)
        else:
            reference = spectrogram(axis, samples, monitor.sample_rate, title, reference)
        seconds = samples.shape[1] / monitor.sample_rate
        for line in lines[(lines > start) & (lines < start + seconds)]:
            axis.axvline(line - start, color="white", linewidth=0.6, linestyle="--")
        if start:
            axis.set_xlabel(f"time from {start:.1f} s (s)")
    with files.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
