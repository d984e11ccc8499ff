"""The thesis's figures 6, 8 and 10; figure 9 is `kit.curves.loss_per_epoch`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from fewshot_sep import plots, spectral
from fewshot_sep.experiments.bachata.examples import Example, predict, tensor
from fewshot_sep.experiments.bachata.settings import INSTRUMENTS
from fewshot_sep.experiments.kit.curves import grouped
from fewshot_sep.systems import ImageSystem

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMOOTH = 5  # epochs to a point of a smoothed curve


def _show(axes: Axes, image: torch.Tensor, title: str, system: ImageSystem) -> None:
    """An image in [0, 1] as the network sees it, with seconds and kHz at its sides."""
    preset = system.preset
    seconds = image.shape[-1] * preset.hop / preset.sample_rate
    extent = (0, seconds, 0, preset.sample_rate / 2000)
    axes.imshow(image.cpu().numpy(), origin="lower", aspect="auto", cmap="magma", vmin=0, vmax=1, extent=extent)
    axes.set_title(title, fontsize=9)
    axes.set(xlabel="time (s)", ylabel="frequency (kHz)")


@torch.inference_mode()
def spectrograms(system: ImageSystem, example: Example, picture: Path) -> None:
    """Figure 6: the images of a mixture and of the instruments in it; below them what the network predicts."""
    image, _, peak = system.image(tensor(system, example.mixture)[None, None])
    true = spectral.log_compress(system.spectrum(tensor(system, example.stems)).abs()) / peak[0, 0]
    predicted = spectral.log_compress(predict(system, example.mixture, example.queries)[0]) / peak[0, 0]
    figure, axes = plots.new_figure(2, len(INSTRUMENTS) + 1, 15, 5.4)
    _show(axes[0, 0], image[0, 0], "mixture", system)
    axes[1, 0].set_axis_off()
    for column, name in enumerate(INSTRUMENTS, 1):
        _show(axes[0, column], true[column - 1], name, system)
        _show(axes[1, column], predicted[column - 1], f"{name}, predicted", system)
    figure.savefig(picture, dpi=80)


def _curve(axes: Axes, curve: Sequence[float], label: str = "") -> None:
    """Every epoch, and above it means of five."""
    (line,) = axes.plot(np.arange(1, len(curve) + 1), curve, alpha=0.35)
    place, mean, _ = grouped(curve, min(SMOOTH, len(curve)))
    axes.plot(place, mean, color=line.get_color(), label=label or None)
    axes.grid(alpha=0.3)


def clipping(curves: Mapping[str, Sequence[float]], epoch: int, picture: Path) -> None:
    """Figure 8: the loss without clipping and normalisation, with clipping, with both; each on its own scale."""
    titles = {
        "plain": "neither clipping nor normalisation",
        "clipped": "clipping",
        "thesis": "clipping and normalisation",
    }
    figure, axes = plots.new_figure(1, len(titles), 13, 3.6)
    for panel, (name, title) in zip(axes[0], titles.items(), strict=True):
        _curve(panel, curves[name])
        panel.set(xlabel=f"epoch of {epoch} iterations", ylabel="loss", title=title, yscale="log")
    figure.savefig(picture, dpi=80)


def instruments(curves: Mapping[str, Sequence[float]], epoch: int, picture: Path) -> None:
    """Figure 10: one model per instrument against one that is queried with any."""
    figure, axes = plots.new_figure(1, 1, 8, 4.2)
    panel = axes[0, 0]
    for name in (*(f"only-{name}" for name in INSTRUMENTS), "any-instrument"):
        _curve(panel, curves[name], name.replace("-", " "))
    panel.set(xlabel=f"epoch of {epoch} iterations", ylabel="loss", yscale="log")
    panel.legend(fontsize=8)
    figure.savefig(picture, dpi=80)
