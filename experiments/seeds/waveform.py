"""What the seed papers' waveform networks share: sample rate, level, context, loss; and the face of a system."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_sep import metrics
from fewshot_sep.experiments.seeds.tasks import Asks
from fewshot_sep.presets import Preset
from fewshot_sep.systems import Trainable

SAMPLE_RATE = 16000
SEGMENT = 2**17
"""Samples (8.2 s) that are separated at once; all networks take any length."""
EPS = 1e-5


class Lengths(NamedTuple):
    """Samples that go into a network and that come out; what is missing was context, half of it on each side."""

    input: int
    output: int


class Network(nn.Module):
    """A network on mono waveforms, which it sees at an RMS of `level`.

    Shape: mixture `(batch, 1, input)`, labels `(batch, labels)` -> `(batch, outputs, output)`; one output for the label
    asked for, or one per label.
    """

    level = 1.0

    def lengths(self, samples: int) -> Lengths:
        """The shortest lengths that give at least so many samples."""
        raise NotImplementedError


class WaveformSystem(Trainable):
    """A network that turns a mixture's waveform into a label's, at a level of its own.

    Args:
        name: of the system.
        network: see `Network`.
        asks: how it is trained, see `Asks`; with `one` it has one output, else one per label.
        squared: mean squared error between waveforms as the loss, else mean absolute error.

    Shape: mixture `(batch, 1, samples)`, labels `(batch, labels)` -> `(batch, 1, samples)`, any number of samples.
    """

    network: Network

    def __init__(self, name: str, network: Network, asks: Asks, squared: bool) -> None:
        super().__init__()
        self.preset = Preset(name, "waveform", SAMPLE_RATE, 1, n_fft=1, hop=1, segment=SEGMENT, bands=0, widths=())
        self.network, self.asks = network, asks
        self._distance = F.mse_loss if squared else F.l1_loss

    def condition(self, labels: Tensor) -> Tensor:
        """What `forward` needs to know: the labels as they are."""
        return labels

    def forward(self, mixture: Tensor, labels: Tensor) -> Tensor:
        samples, level = mixture.shape[-1], self._level(mixture)
        lengths = self.network.lengths(samples)
        before = (lengths.input - lengths.output) // 2
        padded = F.pad(mixture / level, (before, lengths.input - samples - before))
        outputs = self.network(padded, labels)[..., :samples].float() * level
        return outputs if self.asks == "one" else (outputs * labels[:, :, None]).sum(1, keepdim=True)

    def loss(self, mixture: Tensor, queries: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The distance of the outputs to `target`, `(batch, outputs, samples)`, where the network had its context."""
        level = self._level(mixture)
        estimate = self.network(mixture / level, queries).float()
        start = (mixture.shape[-1] - estimate.shape[-1]) // 2
        heard, wanted = (x[..., start : start + estimate.shape[-1]] / level for x in (mixture, target))
        parts = {}
        if not self.training:
            sounding = wanted.square().mean(-1) > 1e-4 * heard.square().mean(-1)
            if sounding.any():
                reference = wanted[sounding]
                gain = metrics.batch_si_sdr(reference, estimate[sounding])
                parts["si_sdri_db"] = (
                    gain - metrics.batch_si_sdr(reference, heard.expand_as(wanted)[sounding])
                ).median()
        return self._distance(estimate, wanted), parts

    def _level(self, mixture: Tensor) -> Tensor:
        """What to divide by: `(batch, 1, 1)`."""
        return (mixture.square().mean(dim=(1, 2), keepdim=True).sqrt() + EPS) / self.network.level


class LabelScale(nn.Module):
    """Multiplicative conditioning: each channel times a weight of its own for each label; no label, no signal.

    Shape: `(batch, channels, time)`, labels `(batch, labels)` -> the same as the first.
    """

    def __init__(self, labels: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Linear(labels, channels, bias=False)
        nn.init.normal_(self.weight.weight, mean=1.0, std=0.5)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        return x * self.weight(labels)[:, :, None]


def cropped(x: Tensor, samples: int) -> Tensor:
    """The middle of `(..., time)`."""
    start = (x.shape[-1] - samples) // 2
    return x[..., start : start + samples]
