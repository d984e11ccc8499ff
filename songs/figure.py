"""The figure of a song: levels over all of it, spectrograms of an excerpt."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from fewshot_sep import files
from fewshot_sep.plots import mask_image, new_figure, spectrogram
from fewshot_sep.prompt import ByRole
from fewshot_sep.songs.monitor import FLOOR_DB, LEVELS_PER_S, Monitor
from fewshot_sep.songs.queries import Span

Array = NDArray[np.float32]

MARKS = {
    "alone": ("#0072B2", "mark: it plays alone"),
    "among": ("#F0E442", "mark: it plays with others"),
    "absent": ("#D55E00", "mark: it does not play"),
}
"""Colour (of Okabe & Ito 2008, whose palette the colour-blind can tell apart) and name of the marks of each role."""
NO_MARKS: ByRole[Span] = ByRole()
MARKS_TOP_DB, MARKS_BOTTOM_DB = 8, 3  # where they are drawn, over the levels


def draw(
    monitor: Monitor,
    mixture: Array,
    target: Array,
    start: float,
    path: str | os.PathLike[str],
    marks: ByRole[Span] = NO_MARKS,
) -> None:
    """Draw the levels over the whole song with the marks, and of an excerpt mask and spectrograms, with bar lines.

    Args:
        mixture, target: the excerpt, `(channels, n)`.
        start: of the excerpt in the song, in seconds.
        marks: passages of the song by role, in seconds.

    Raises:
        OutputError.
    """
    figure, grid = new_figure(5, 1, 12, 15)
    axes = grid[:, 0]
    lines = np.array(monitor.grid.boundaries if monitor.grid else []) / monitor.sample_rate
    moments = (np.arange(monitor.levels_db().shape[1]) + 0.5) / LEVELS_PER_S
    for name, level in zip(("mixture", "target", "residual"), monitor.levels_db(), strict=True):
        axes[0].plot(moments, level, linewidth=0.8, label=name)
    axes[0].set(title="level over the song", xlabel="time (s)", ylabel="level (dB re loudest)")
    axes[0].set_ylim(FLOOR_DB, MARKS_TOP_DB if any(marks) else MARKS_BOTTOM_DB)
    for role, spans in marks._asdict().items():
        if spans:
            (color, label), places = MARKS[role], [(begin, end - begin) for begin, end in spans]
            height = MARKS_TOP_DB - MARKS_BOTTOM_DB
            axes[0].broken_barh(places, (MARKS_BOTTOM_DB, height), color=color, label=label)
    axes[0].set_xlim(0, max(monitor.frames / monitor.sample_rate, 1e-3))
    axes[0].legend(loc="lower right", ncols=2)
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
