"""Exp-Wave-U-Net and CExp-Wave-U-Net: one output per instrument, silence where it is absent.

Slizovskaia et al. 2019, "End-to-end sound source separation conditioned on instrument labels", sections 3.1 and 3.2, on
the Wave-U-Net of Stoller et al. 2018: one-dimensional convolutions without padding, every other sample dropped on the
way down, linear interpolation on the way up, skips concatenated, LeakyReLU, tanh at each output.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_sep.experiments.seeds.waveform import Lengths, Network, cropped

DOWN, UP = 15, 5  # filter lengths of the paper; odd


class LabelScale(nn.Module):
    """Multiplicative conditioning: each channel times a weight of its own for each label; no label, no signal.

    Shape: `(batch, channels, time)`, labels `(batch, labels)` -> the same as the first.
    """

    def __init__(self, labels: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Linear(labels, channels, bias=False)
        nn.init.normal_(self.weight.weight, mean=1.0, std=0.5)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        scales: Tensor = self.weight(labels)
        return x * scales[:, :, None]


class WaveUNet(Network):
    """The network; `conditioned` multiplies the labels in at the bottleneck.

    Args:
        labels: outputs, and entries of the label vector.
        width: channels that each level adds (24 in Stoller et al.).
        levels: halvings (12 in Stoller et al.).

    Shape: mixture `(batch, 1, input)`, labels `(batch, labels)` -> `(batch, labels, output)`, see `lengths`.
    """

    level = 0.2  # a tanh gives peaks up to 14 dB above that

    def __init__(self, labels: int, conditioned: bool, width: int = 12, levels: int = 8) -> None:
        super().__init__()
        widths = [1, *(width * level for level in range(1, levels + 2))]
        self.levels = levels
        self.down = nn.ModuleList(nn.Conv1d(widths[i], widths[i + 1], DOWN) for i in range(levels))
        self.bottleneck = nn.Conv1d(widths[levels], widths[levels + 1], DOWN)
        self.scale = LabelScale(labels, widths[levels + 1]) if conditioned else None
        self.up = nn.ModuleList(nn.Conv1d(widths[i + 1] + widths[i], widths[i], UP) for i in range(levels, 0, -1))
        self.output = nn.Conv1d(widths[1] + 1, labels, 1)
        nn.init.normal_(self.output.weight, std=0.01)  # near silence, which is right for most outputs most of the time

    def lengths(self, samples: int) -> Lengths:
        """The shortest that give at least `samples`: no value is invented by padding, the ends are context."""
        latent = samples
        for _ in range(self.levels):
            latent = max(1, -(-(latent + UP) // 2))
        before, after = latent + DOWN - 1, latent
        for _ in range(self.levels):
            before, after = 2 * before - 1 + DOWN - 1, 2 * after - 1 - (UP - 1)
        return Lengths(before, after)

    def forward(self, mixture: Tensor, labels: Tensor) -> Tensor:
        h, skips = mixture, []
        for convolution in self.down:
            h = F.leaky_relu(convolution(h))
            skips.append(h)
            h = h[..., ::2]
        h = F.leaky_relu(self.bottleneck(h))
        if self.scale is not None:
            h = self.scale(h, labels)
        for convolution in self.up:
            h = F.interpolate(h, size=2 * h.shape[-1] - 1, mode="linear", align_corners=True)
            h = F.leaky_relu(convolution(torch.cat([cropped(skips.pop(), h.shape[-1]), h], dim=1)))
        return torch.tanh(self.output(torch.cat([h, cropped(mixture, h.shape[-1])], dim=1)))
