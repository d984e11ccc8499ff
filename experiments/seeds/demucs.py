"""A Demucs-like U-Net on waveforms: strided and transposed convolutions, gated linear units, a recurrent middle.

Défossez et al. 2019, "Demucs: deep extractor for music sources with extra unlabeled data remixed": each level down is a
convolution of length 8 and stride 4, ReLU, and a 1x1 convolution with a gated linear unit; in the middle lies a
bidirectional LSTM of two layers; each level up adds the skip, then a convolution of length 3 with a gated linear unit,
a transposed convolution and ReLU (none at the end). It minimises the absolute error.
"""

from __future__ import annotations

from torch import Tensor, nn

from fewshot_sep.experiments.seeds.waveform import LabelScale, Lengths, Network

LENGTH, STRIDE = 8, 4


class Demucs(Network):
    """The network; the label scales what the LSTM sees.

    Args:
        labels: entries of the label vector.
        width: channels of the first level, doubled at each (64 or more in the paper).
        levels: strided levels (6 in the paper).

    Shape: mixture `(batch, 1, samples)`, labels `(batch, labels)` -> the same as the first, see `lengths`.
    """

    def __init__(self, labels: int, width: int = 16, levels: int = 4) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(levels)]
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        for before, after in zip([1, *widths], widths, strict=False):
            down = (nn.Conv1d(before, after, LENGTH, STRIDE), nn.ReLU(), nn.Conv1d(after, 2 * after, 1), nn.GLU(dim=1))
            up = (nn.Conv1d(after, 2 * after, 3, padding=1), nn.GLU(dim=1))
            last = nn.Identity() if before == 1 else nn.ReLU()
            self.encoder.append(nn.Sequential(*down))
            self.decoder.insert(0, nn.Sequential(*up, nn.ConvTranspose1d(after, before, LENGTH, STRIDE), last))
        self.scale = LabelScale(labels, widths[-1])
        self.lstm = nn.LSTM(widths[-1], widths[-1], num_layers=2, bidirectional=True, batch_first=True)
        self.narrow = nn.Linear(2 * widths[-1], widths[-1])

    def lengths(self, samples: int) -> Lengths:
        """The shortest at which no level leaves a sample over."""
        frames = samples
        for _ in self.encoder:
            frames = max(1, -(-(frames - LENGTH) // STRIDE) + 1)
        for _ in self.encoder:
            frames = (frames - 1) * STRIDE + LENGTH
        return Lengths(frames, frames)

    def forward(self, mixture: Tensor, labels: Tensor) -> Tensor:
        h: Tensor = mixture
        skips = []
        for level in self.encoder:
            h = level(h)
            skips.append(h)
        h = self.scale(h, labels).transpose(1, 2)
        h = self.narrow(self.lstm(h)[0]).transpose(1, 2)
        for level in self.decoder:
            h = level(h + skips.pop())
        return h
