"""Figures: spectrograms with axes and units, training curves."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from fewshot_sep import levels
from fewshot_sep.spectral import Stft

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure


def new_figure(rows: int, columns: int, width: float, height: float) -> tuple[Figure, np.ndarray]:
    """A figure that needs no screen, and its axes `(rows, columns)`; sizes in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def spectrogram(
    axes: Axes, samples: np.ndarray, sample_rate: int, title: str, reference: float | None = None, columns: int = 1200
) -> float:
    """Draw a log-frequency spectrogram, 80 dB deep.

    Args:
        samples: `(channels, samples)` or `(samples,)`; channels are averaged.
        reference: magnitude of 0 dB; the plot's own maximum if not given.
        columns: about how many time steps to draw, so that a long file stays a small picture.

    Returns:
        The reference used, to draw another sound on the same scale.
    """
    times, frequency, magnitude = _magnitudes(samples, sample_rate, columns)
    reference = reference or float(magnitude.max()) or 1.0
    level_db = 20 * np.log10(np.maximum(magnitude / reference, 1e-5))
    image = axes.pcolormesh(times, frequency[1:], level_db[1:], vmin=-80, vmax=0, cmap="magma", rasterized=True)
    _label(axes, image, sample_rate, title, "level (dB)")
    return reference


def mask_image(axes: Axes, mixture: np.ndarray, target: np.ndarray, sample_rate: int, columns: int = 1200) -> None:
    """Draw which share of the mixture's magnitude the target has in each cell: both `(channels, samples)`."""
    times, frequency, magnitude = _magnitudes(mixture, sample_rate, columns)
    floor = 1e-6 * (magnitude.max() or 1.0)
    share = np.clip(_magnitudes(target, sample_rate, columns)[2] / np.maximum(magnitude, floor), 0, 1)
    image = axes.pcolormesh(times, frequency[1:], share[1:], vmin=0, vmax=1, cmap="gray", rasterized=True)
    _label(axes, image, sample_rate, "mask", "share")


def plain(text: str) -> str:
    """A name as matplotlib shows it as it is: no mathematics between dollars, no surrogates, which it cannot draw.

    >>> plain("$5")
    '\\\\$5'
    """
    return text.encode("utf-8", "replace").decode().replace("$", r"\$")


def _label(axes: Axes, image: QuadMesh, sample_rate: int, title: str, scale: str) -> None:
    axes.set(yscale="log", ylim=(40, sample_rate / 2), title=plain(title), xlabel="time (s)", ylabel="frequency (Hz)")
    axes.figure.colorbar(image, ax=axes, label=scale, pad=0.01)


def _magnitudes(samples: np.ndarray, sample_rate: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times in s, frequencies in Hz, and magnitudes `(freq, time)` of the channels' mean, see `levels.downmix`."""
    mono = levels.downmix(np.atleast_2d(samples)).astype(np.float32)
    n_fft = 4096 if sample_rate > 30000 else 2048
    hop = max(n_fft // 4, len(mono) // columns)
    magnitude = Stft(n_fft, hop)(torch.from_numpy(mono)).abs().numpy()
    return np.arange(magnitude.shape[1]) * hop / sample_rate, np.fft.rfftfreq(n_fft, 1 / sample_rate), magnitude


def loss_curve(logs: Sequence[Path], picture: Path) -> None:
    """Draw every quantity of training logs (CSV) against the step: one panel each, training and validation together.

    The logs may come in any order.
    """
    records = [record for log in logs for record in csv.DictReader(log.read_text().splitlines())]
    names = sorted(
        {name.split("/", 1)[1] for record in records for name in record if name.startswith(("train/", "valid/"))}
    )
    if not names:
        return
    figure, axes = new_figure(len(names), 1, 9, 2.6 * len(names))
    for panel, name in zip(axes[:, 0], names, strict=True):
        for part, style in (("train", {"alpha": 0.5}), ("valid", {"marker": "o", "markersize": 3})):
            points = [(int(r["step"]), float(r[f"{part}/{name}"])) for r in records if r.get(f"{part}/{name}")]
            if points:
                panel.plot(*zip(*sorted(points), strict=True), label=part, **style)
        panel.set(xlabel="step", ylabel=plain(name).replace("_db", " (dB)").replace("_", " "))
        panel.legend()
        panel.grid(alpha=0.3)
    figure.savefig(picture, dpi=110)
