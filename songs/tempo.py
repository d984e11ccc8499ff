"""A common tempo for the network, and the way back of what it finds to the song's own tempo."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from fewshot_sep.songs.grid import UNSURE, BarGrid, Slice, union
from fewshot_sep.spectral import Stft

Array = NDArray[np.float32]

MIN_SCALE, MAX_SCALE = 0.7, 1.42
NEAR_ENOUGH = 0.01  # a tempo this close to the common one is left alone
MASK_FLOOR = 1e-8  # power of a cell that holds nothing, in the spectrum of sound whose peak is 1


def time_scale(bar: Slice, grid: BarGrid, seconds_per_beat: float, longest: float = MAX_SCALE) -> float:
    """How many times as long a bar must last to come to a tempo, or to half or double of it, as is nearest to the song.

    A bar of little confidence counts as in the song's usual tempo. It comes to last at most `longest` times as long.
    """
    usual = grid.seconds_per_beat
    own = (bar.stop - bar.start) / grid.sample_rate / bar.beats if bar.confidence >= UNSURE else usual
    octave = 2.0 ** round(np.log2(usual / seconds_per_beat))
    scale = seconds_per_beat * octave / own
    return 1.0 if abs(scale - 1) < NEAR_ENOUGH else float(np.clip(scale, MIN_SCALE, longest))


def pieces(
    grid: BarGrid, seconds_per_beat: float | None, seconds: float, longest: float = MAX_SCALE
) -> list[tuple[Slice, float]]:
    """What the network sees at once, and its time scale: bars that last up to `seconds` together, else even parts.

    Args:
        seconds_per_beat: of the common tempo; None leaves every bar in its own.
        longest: see `time_scale`.
    """

    def scale(part: Slice) -> float:
        return time_scale(part, grid, seconds_per_beat, longest) if seconds_per_beat else 1.0

    def count(part: Slice) -> int:
        return max(math.ceil((part.stop - part.start) * scale(part) / grid.sample_rate / seconds - NEAR_ENOUGH), 1)

    found: list[Slice] = []
    for bar in grid:
        if found and count(together := union(found[-1], bar)) == 1:
            found[-1] = together
            continue
        edges = np.linspace(bar.start, bar.stop, count(bar) + 1).astype(int).tolist()
        found += [Slice(*edge, bar.beats / count(bar), bar.confidence) for edge in pairwise(edges)]
    return [(part, scale(part)) for part in found]


def carry_mask(mixture: Array, stretched: Array, found: Array, sample_rate: int) -> Array:
    """What `found` is of `stretched`, taken of `mixture`: a ratio mask, its frames spread to the mixture's length.

    The mask is Re(found / stretched) in each cell of the spectrogram, kept within 0 and 1; the phase is the mixture's.

    Shape:
        mixture: `(channels, n)`; stretched, found: `(channels, m)`, the same passage at another tempo.
        Returns: `(channels, n)`.
    """
    hop = max(round(1024 * sample_rate / 44100), 16)
    stft = Stft(4 * hop, hop)

    def spectrum(samples: Array) -> torch.Tensor:
        found: torch.Tensor = stft(torch.from_numpy(np.ascontiguousarray(samples)))
        return found

    peak = np.abs(stretched).max(initial=0) or 1.0
    scaled, out, native = spectrum(stretched / peak), spectrum(found / peak), spectrum(mixture)
    power = scaled.real.square() + scaled.imag.square()
    mask = ((out.real * scaled.real + out.imag * scaled.imag) / (power + MASK_FLOOR)).clamp(0, 1)
    last = mask.shape[-1] - 1
    frames = (torch.arange(native.shape[-1]) * (stretched.shape[1] / mixture.shape[1])).clamp(max=last)
    before = frames.floor().long()
    after = (before + 1).clamp(max=last)
    share = frames - before
    mask = mask[..., before] * (1 - share) + mask[..., after] * share
    target: Array = stft.inverse(native * mask, mixture.shape[1]).numpy()
    return target
