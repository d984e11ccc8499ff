"""What the seed papers' waveform networks share: context, level, labels; the system around them and its objective."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from fewshot_sep import audio, metrics
from fewshot_sep.evidence import Evidence
from fewshot_sep.experiments.seeds.settings import CONTEXT, SAMPLE_RATE, SEGMENT, Labelling
from fewshot_sep.objectives import Loss, Objective
from fewshot_sep.overlap_add import Chunk, crossfade
from fewshot_sep.systems import Trainable

EPS = 1e-5
MIN_TARGET_SHARE = 1e-4  # of a mixture's energy, from which on a target counts as there


class Lengths(NamedTuple):
    """Samples that go into a network and that come out; what is missing was context, half of it on each side."""

    input: int
    output: int


class LabelConditioning(NamedTuple):
    """Which labels are queried: 1 for these, else 0.

    Shape: `(batch, labels)`.
    """

    labels: Tensor


class Network(nn.Module):
    """A network on mono waveforms, which it sees at an RMS of `level`.

    Shape: mixture `(batch, 1, input)`, labels `(batch, labels)` -> `(batch, outputs, output)`; one output for the
    queried label, or one per label.
    """

    level = 1.0

    def lengths(self, samples: int) -> Lengths:
        """The shortest lengths that give at least so many samples."""
        raise NotImplementedError


class WaveformSystem(Trainable):
    """A network that turns a mixture's waveform into a label's, at a level of its own.

    Args:
        network: see `Network`; with labelling `one` it has one output, else one per label.
        labelling: of the tasks that it is trained on.

    Shape: mixture `(batch, 1, samples)`, labels `(batch, labels)` -> `(batch, 1, samples)`, any number of samples.
    """

    network: Network
    sample_rate, channels = SAMPLE_RATE, 1

    def __init__(self, network: Network, labelling: Labelling) -> None:
        super().__init__()
        self.network, self.labelling = network, labelling

    def condition(self, labels: Tensor) -> LabelConditioning:
        return LabelConditioning(labels)

    def forward(self, mixture: Tensor, conditioning: LabelConditioning) -> Tensor:
        samples, level = mixture.shape[-1], self.reference(mixture)
        lengths = self.network.lengths(samples)
        before = (lengths.input - lengths.output) // 2
        padded = F.pad(mixture / level, (before, lengths.input - samples - before))
        outputs: Tensor = self.network(padded, conditioning.labels)[..., :samples].float() * level
        return outputs if self.labelling == "one" else (outputs * conditioning.labels[:, :, None]).sum(1, keepdim=True)

    def reference(self, mixture: Tensor) -> Tensor:
        """What to divide waveforms by for the network: `(batch, 1, 1)`."""
        return (mixture.square().mean(dim=(1, 2), keepdim=True).sqrt() + EPS) / self.network.level

    def task_samples(self, samples: int) -> int:
        """Length of training tasks, with the context that the network takes."""
        return self.network.lengths(samples).input

    @torch.inference_mode()
    def estimate(self, mixture: NDArray[np.float32], labels: Tensor, sample_rate: int) -> NDArray[np.float32]:
        """The target of `(channels, samples)`, one channel by itself; what is above the system's band is not in it."""
        inside = audio.resample(mixture, sample_rate, self.sample_rate)
        blocks = crossfade(self._chunks(inside, self.condition(labels.expand(len(mixture), -1))), CONTEXT // 2)
        target = np.concatenate(list(blocks), axis=1)
        return audio.resample(target, self.sample_rate, sample_rate, frames=mixture.shape[1])

    def _chunks(self, mixture: NDArray[np.float32], conditioning: LabelConditioning) -> Iterator[Chunk]:
        for start in range(0, mixture.shape[1], SEGMENT - 2 * CONTEXT):
            stop = min(start + SEGMENT - 2 * CONTEXT, mixture.shape[1])
            offset = max(0, min(start - CONTEXT, mixture.shape[1] - SEGMENT))  # the last chunk may be tiny
            wave = torch.from_numpy(mixture[:, None, offset : stop + CONTEXT]).to(self.device)
            yield Chunk(start, stop, offset, self(wave, conditioning)[:, 0].cpu().numpy())


class WaveformObjective(Objective[WaveformSystem]):
    """The distance of the outputs to the targets, where the network had its context.

    Args:
        distance: between waveforms: `F.mse_loss` or `F.l1_loss`.

    Shape: mixture `(batch, 1, samples)`, labels as queries `(batch, labels)`, targets `(batch, outputs, samples)`.
    """

    def __init__(self, distance: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.distance = distance

    def forward(self, system: WaveformSystem, mixture: Tensor, evidence: Evidence, target: Tensor) -> Loss:
        level = system.reference(mixture)
        estimate = system.network(mixture / level, evidence.alone).float()
        mixture, target = (cropped(x, estimate.shape[-1]) / level for x in (mixture, target))
        parts = {}
        present = target.square().mean(-1) > MIN_TARGET_SHARE * mixture.square().mean(-1)
        if not system.training and present.any():
            reference = target[present]
            before, after = mixture.expand_as(target)[present], estimate[present]
            improvements = metrics.batch_si_sdr(reference, after) - metrics.batch_si_sdr(reference, before)
            parts["si_sdri_db"] = improvements.median()
        return Loss(self.distance(estimate, target), parts)


def cropped(x: Tensor, samples: int) -> Tensor:
    """The middle of `(..., time)`."""
    start = (x.shape[-1] - samples) // 2
    return x[..., start : start + samples]
