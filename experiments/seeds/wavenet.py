"""The regression WaveNet: non-causal, one pass for many samples, conditioned on the instrument's identity.

Rethage et al. 2018, "A Wavenet for speech denoising", as Lluis et al. 2019, "End-to-end music source separation: is it
possible in the waveform domain?", took it to music: stacks of dilated convolutions of width 3 that look both ways,
gated residual blocks, skips summed, two more convolutions of width 3; it minimises the absolute error. The identity
of the instrument (Jemine and Beguin 2019) enters every gate as a bias, WaveNet's global conditioning.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from fewshot_sep import audio, metrics
from fewshot_sep.evidence import Evidence
from fewshot_sep.experiments.seeds.settings import CONTEXT, SAMPLE_RATE, SEGMENT
from fewshot_sep.objectives import Loss, Objective
from fewshot_sep.overlap_add import Chunk, crossfade
from fewshot_sep.systems import Trainable

EPS = 1e-5
MIN_TARGET_SHARE = 1e-4  # of a mixture's energy, from which on a target counts as there


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


class WaveNet(nn.Module):
    """The network, on mono waveforms, which it sees at an RMS of 1.

    Args:
        labels: entries of the label vector.
        channels: of all layers (64 in the authors' code, 2048 and 256 at its end).
        stacks, depth: stacks of dilations 1, 2, 4 ... `2 ** (depth - 1)` (3 and 10 are Rethage et al.'s; the code of
            Lluis et al. has 4 stacks).

    Attributes:
        context: samples that are taken beside those that are given, half of them on each side.

    Shape: mixture `(batch, 1, samples + context)`, labels `(batch, labels)` -> `(batch, 1, samples)`.
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


class WaveNetSystem(Trainable):
    """A network that turns a mixture's waveform into a label's, at a level of its own.

    Shape: mixture `(batch, 1, samples)`, labels `(batch, labels)` -> `(batch, 1, samples)`, any number of samples.
    """

    network: WaveNet
    sample_rate, channels = SAMPLE_RATE, 1

    def __init__(self, network: WaveNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, mixture: Tensor, labels: Tensor) -> Tensor:
        level, context = rms(mixture), self.network.context
        padded = F.pad(mixture / level, (context // 2, context - context // 2))
        output: Tensor = self.network(padded, labels).float() * level
        return output

    def task_samples(self, samples: int) -> int:
        """Length of training tasks, with the context that the network takes."""
        return samples + self.network.context

    @torch.inference_mode()
    def estimate(self, mixture: NDArray[np.float32], labels: Tensor, sample_rate: int) -> NDArray[np.float32]:
        """The target of `(channels, samples)`, one channel by itself; what is above the system's band is not in it."""
        inside = audio.resample(mixture, sample_rate, self.sample_rate)
        blocks = crossfade(self._chunks(inside, labels.expand(len(mixture), -1)), CONTEXT // 2)
        target = np.concatenate(list(blocks), axis=1)
        return audio.resample(target, self.sample_rate, sample_rate, frames=mixture.shape[1])

    def _chunks(self, mixture: NDArray[np.float32], labels: Tensor) -> Iterator[Chunk]:
        for start in range(0, mixture.shape[1], SEGMENT - 2 * CONTEXT):
            stop = min(start + SEGMENT - 2 * CONTEXT, mixture.shape[1])
            offset = max(0, min(start - CONTEXT, mixture.shape[1] - SEGMENT))  # the last chunk may be tiny
            wave = torch.from_numpy(mixture[:, None, offset : stop + CONTEXT]).to(self.device)
            yield Chunk(start, stop, offset, self(wave, labels)[:, 0].cpu().numpy())


class WaveNetObjective(Objective[WaveNetSystem]):
    """The mean absolute distance of the output to the target, where the network had its context.

    Shape: mixture and target `(batch, 1, samples)`, labels in the place of queries `(batch, labels)`.
    """

    def forward(self, system: WaveNetSystem, mixture: Tensor, evidence: Evidence, target: Tensor) -> Loss:
        level = rms(mixture)
        estimate = system.network(mixture / level, evidence.alone).float()
        mixture, target = (cropped(x, estimate.shape[-1]) / level for x in (mixture, target))
        parts = {}
        present = target.square().mean(-1) > MIN_TARGET_SHARE * mixture.square().mean(-1)
        if not system.training and present.any():
            before, after, reference = (x[present] for x in (mixture, estimate, target))
            improvements = metrics.batch_si_sdr(reference, after) - metrics.batch_si_sdr(reference, before)
            parts["si_sdri_db"] = improvements.median()
        return Loss(F.l1_loss(estimate, target), parts)


def rms(mixture: Tensor) -> Tensor:
    """What to divide waveforms by for the network: `(batch, 1, 1)`."""
    return mixture.square().mean(dim=(1, 2), keepdim=True).sqrt() + EPS


def cropped(x: Tensor, samples: int) -> Tensor:
    """The middle of `(..., time)`."""
    start = (x.shape[-1] - samples) // 2
    return x[..., start : start + samples]
