"""The figure of a song: levels over all of it, spectrograms of an excerpt."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from fewshot_sep import files
from fewshot_sep.plots import mask_image, new_figure, spectrogram
from fewshot_sep.songs.monitor import FLOOR_DB, Monitor

Array = NDArray[np.float32]


def draw(monitor: Monitor, mixture: Array, target: Array, start: float, path: str | os.PathLike[str]) -> None:
    """Draw the levels over the whole song, and of an excerpt the mask and the spectrograms, with bar lines.

    Args:
        mixture, target: the excerpt, `(channels, n)`.
        start: of the excerpt in the song, in seconds.

    Raises:
        OutputError.
    """
    figure, grid = new_figure(5, 1, 12, 15)
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
    reference = spectrogram(axes[1], mixture, monitor.sample_rate, "mixture")
    mask_image(axes[2], mixture, target, monitor.sample_rate)
    spectrogram(axes[3], target, monitor.sample_rate, "target", reference)
    spectrogram(axes[4], mixture - target, monitor.sample_rate, "residual", reference)
    seconds = mixture.shape[1] / monitor.sample_rate
    for axis in axes[1:]:
        for line in lines[(lines > start) & (lines < start + seconds)]:
            axis.axvline(line - start, color="white", linewidth=0.6, linestyle="--")
        if start:
            axis.set_xlabel(f"time from {start:.1f} s (s)")
    with files.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
