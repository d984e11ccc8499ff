"""The regression WaveNet: non-causal, one pass for many samples, conditioned on the instrument's identity.

Rethage et al. 2018, "A Wavenet for speech denoising", as Lluis et al. 2019, "End-to-end music source separation: is it
possible in the waveform domain?", took it to music: stacks of dilated convolutions of width 3 that look both ways,
gated residual blocks, skips summed, two more convolutions of width 3; it minimises the absolute error. The identity
of the instrument (Jemine and Beguin 2019) enters every gate as a bias, WaveNet's global conditioning.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_sep.experiments.seeds.waveform import Network, cropped


class GatedBlock(nn.Module):
    """Dilated convolution, `tanh * sigmoid` gate biased by the label, 1x1 convolution to residual and skip.

    Shape: `(batch, channels, time)` -> residual `(batch, channels, time - 2 * dilation)` and skip
        `(batch, channels, samples)`.
    """

    def __init__(self, labels: int, channels: int, dilation: int) -> None:
        super().__init__()
        self.dilated = nn.Conv1d(channels, 2 * channels, 3, dilation=dilation)
        self.label = nn.Linear(labels, 2 * channels, bias=False)
        self.residual, self.skip = nn.Conv1d(channels, channels, 1), nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor, labels: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        value, gate = (self.dilated(x) + self.label(labels)[:, :, None]).chunk(2, dim=1)
        h = torch.tanh(value) * torch.sigmoid(gate)
        return cropped(x, h.shape[-1]) + self.residual(h), self.skip(cropped(h, samples))


class WaveNet(Network):
    """The network.

    Args:
        labels: entries of the label vector.
        channels: of all layers (64 in the authors' code, 2048 and 256 at its end).
        stacks, depth: stacks of dilations 1, 2, 4 ... `2 ** (depth - 1)` (3 and 10 are Rethage et al.'s; the code of
            Lluis et al. has 4 stacks).
    """

    def __init__(self, labels: int, channels: int = 32, stacks: int = 3, depth: int = 10) -> None:
        super().__init__()
        self.first = nn.Conv1d(1, channels, 3)
        dilations = [2**power for _ in range(stacks) for power in range(depth)]
        self.blocks = nn.ModuleList(GatedBlock(labels, channels, dilation) for dilation in dilations)
        self.head = nn.Sequential(
            nn.ReLU(), nn.Conv1d(channels, 2 * channels, 3), nn.ReLU(), nn.Conv1d(2 * channels, channels, 3)
        )
        self.output = nn.Conv1d(channels, 1, 1)
        self.context = 2 * (sum(dilations) + 3)  # three layers of width 3 beside the dilated ones

    def forward(self, mixture: Tensor, labels: Tensor) -> Tensor:
        samples = mixture.shape[-1] - self.context + 4  # the head takes two more on each side
        h = self.first(mixture)
        total = torch.zeros(())
        for block in self.blocks:
            h, skip = block(h, labels, samples)
            total = total.to(skip.device) + skip
        wave: Tensor = self.output(F.relu(self.head(total)))
        return wave
