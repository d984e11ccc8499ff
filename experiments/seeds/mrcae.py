"""The multi-resolution convolutional auto-encoder: in every layer filters of several lengths side by side.

Grais et al. 2018, "Raw multi-channel audio source separation using multi-resolution convolutional auto-encoders":
short filters see detail in time, long ones in frequency; their outputs are concatenated. The decoder mirrors the
encoder with transposed convolutions; there are no skips.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_sep.experiments.seeds.waveform import LabelScale, Lengths, Network

FINE, COARSE = (16, 64, 256, 1024), (4, 16, 64)  # filter lengths of the outer and the inner layer
FINE_STRIDE, COARSE_STRIDE = 8, 4


class Parallel(nn.Module):
    """Strided convolutions of several lengths, concatenated: `(batch, in, time)` -> `(batch, out, time / stride)`."""

    def __init__(self, inputs: int, outputs: int, lengths: tuple[int, ...], stride: int) -> None:
        super().__init__()
        self.stride = stride
        each = outputs // len(lengths)
        self.filters = nn.ModuleList(nn.Conv1d(inputs, each, length, stride) for length in lengths)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([one(F.pad(x, _overhang(one, self.stride))) for one in self.filters], dim=1)


class ParallelTransposed(nn.Module):
    """Its mirror: `(batch, in, time)` -> `(batch, out, time * stride)`; with one output the lengths are summed."""

    def __init__(self, inputs: int, outputs: int, lengths: tuple[int, ...], stride: int) -> None:
        super().__init__()
        self.stride, self.summed = stride, outputs == 1
        each = 1 if self.summed else outputs // len(lengths)
        filters = [nn.ConvTranspose1d(inputs, each, length, stride) for length in lengths]
        for one, length in zip(filters, lengths, strict=True):  # PyTorch's own weights are too large for so few outputs
            summands = inputs * length / stride * (len(lengths) if self.summed else 1)
            nn.init.normal_(one.weight, std=summands**-0.5)
        self.filters = nn.ModuleList(filters)

    def forward(self, x: Tensor) -> Tensor:
        samples = x.shape[-1] * self.stride
        waves = [one(x)[..., _overhang(one, self.stride)[0] :][..., :samples] for one in self.filters]
        return torch.stack(waves).sum(0) if self.summed else torch.cat(waves, dim=1)


def _overhang(convolution: nn.Module, stride: int) -> tuple[int, int]:
    """By how much a filter reaches beyond its stride, before and after."""
    (length,) = convolution.kernel_size  # type: ignore[misc]
    return (length - stride) // 2, length - stride - (length - stride) // 2


class MultiResolutionAutoencoder(Network):
    """The network; the label scales the code between encoder and decoder.

    Args:
        labels: entries of the label vector.
        outer, inner: channels of the layers, shared evenly among the filter lengths: multiples of 12.

    Shape: mixture `(batch, 1, samples)`, labels `(batch, labels)` -> the same as the first, see `lengths`.
    """

    def __init__(self, labels: int, outer: int = 96, inner: int = 96) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            *(Parallel(1, outer, FINE, FINE_STRIDE), nn.ELU(), Parallel(outer, inner, COARSE, COARSE_STRIDE), nn.ELU())
        )
        self.scale = LabelScale(labels, inner)
        self.decoder = nn.Sequential(
            *(ParallelTransposed(inner, outer, COARSE, COARSE_STRIDE), nn.ELU()),
            ParallelTransposed(outer, 1, FINE, FINE_STRIDE),
        )

    def lengths(self, samples: int) -> Lengths:
        """The next multiple of the strides."""
        whole = -(-samples // (FINE_STRIDE * COARSE_STRIDE)) * FINE_STRIDE * COARSE_STRIDE
        return Lengths(whole, whole)

    def forward(self, mixture: Tensor, labels: Tensor) -> Tensor:
        wave: Tensor = self.decoder(self.scale(self.encoder(mixture), labels))
        return wave
