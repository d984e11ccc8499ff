"""What becomes of a mixture after it was mixed: mastering, broadcasting, bad cables; all sources are treated alike.

Only what keeps `mixture = sum of sources` is here: filters, mixing matrices of the two channels, and gains that change
in time and are computed from the mixture. So the sources are the stems of the record as it was published.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

EQ_HZ, EQ_DB, Q_OCTAVES = (60.0, 12000.0), 6.0, 1.5
BANDS = 3
LOW_PASS_HZ = (3400.0, 16000.0)
"""As telephones, low-rate mp3 and ogg have them."""
COMPRESSION, THRESHOLD_DB, WINDOW_S = (0.2, 0.8), (-18.0, -3.0), 0.03
"""Share of what passes the threshold that is taken off; the threshold re the mixture's RMS; how slow the gain is."""
CHANCES = {
    "eq": 0.3,
    "low_pass": 0.15,
    "mono": 0.1,
    "width": 0.2,
    "hard": 0.06,
    "quiet": 0.05,
    "flip": 0.03,
    "squash": 0.3,
}
CEILING = 0.98

Numbers = NDArray[np.float32]


@dataclass(frozen=True)
class Mastering:
    """What is drawn for a batch.

    Attributes:
        hz, gain_db: centres and gains of the equaliser's bells, `(batch, BANDS)`; 0 dB where there is none.
        low_pass: in Hz, `(batch,)`; infinite where there is none.
        channels: what each channel takes from each, `(batch, 2, 2)`.
        squash: share of the level over `threshold_db` (re RMS) that is taken off, `(batch,)`; 0 where nothing is.
    """

    hz: Numbers
    gain_db: Numbers
    low_pass: Numbers
    channels: Numbers
    squash: Numbers
    threshold_db: Numbers


def draw(random: Generator, batch: int) -> Mastering:
    """Random mastering for `batch` mixtures; the larger part of them is left as it is."""
    happens = {name: random.random(batch) < chance for name, chance in CHANCES.items()}
    hz = _geometric(random, EQ_HZ, (batch, BANDS))
    gain_db = random.uniform(-EQ_DB, EQ_DB, (batch, BANDS)) * happens["eq"][:, None]
    low_pass = np.where(happens["low_pass"], _geometric(random, LOW_PASS_HZ, (batch,)), np.inf)
    width = np.where(happens["mono"], 0.0, np.where(happens["width"], random.uniform(0.2, 1.8, batch), 1.0))
    same, other = (1 + width) / 2, (1 - width) / 2
    channels = np.stack([np.stack([same, other], -1), np.stack([other, same], -1)], -2)
    side = random.integers(2, size=batch)
    weak = np.where(happens["hard"], 0.0, np.where(happens["quiet"], 10 ** random.uniform(-2.0, -0.3, batch), 1.0))
    gains = np.ones((batch, 2))
    gains[np.arange(batch), side] = weak * np.where(happens["flip"], -1.0, 1.0)
    channels = channels * gains[:, :, None]
    squash = random.uniform(*COMPRESSION, batch) * happens["squash"]
    drawn = (hz, gain_db, low_pass, channels, squash, random.uniform(*THRESHOLD_DB, batch))
    return Mastering(*(np.asarray(values, np.float32) for values in drawn))


def _geometric(random: Generator, ends: tuple[float, float], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Between the ends, equal ratios as likely."""
    return np.exp(random.uniform(np.log(ends[0]), np.log(ends[1]), shape))


def master(drawn: Mastering, sample_rate: int, mixture: Tensor, *sources: Tensor) -> tuple[Tensor, ...]:
    """The mixture and each of its sources after the same mastering.

    The gain is the mixture's, so what added up before adds up after.

    Shape:
        all sounds, and the result: `(batch, channels, samples)`; mono is filtered and compressed alone.
    """
    taken = {field.name: torch.from_numpy(getattr(drawn, field.name)).to(mixture) for field in fields(drawn)}
    sounds = torch.stack([mixture, *sources])  # (sounds, batch, channels, samples)
    if sounds.shape[2] == 2:
        sounds = torch.einsum("bij,sbjt->sbit", taken["channels"], sounds)
    samples = sounds.shape[-1]
    response = _response(taken, samples, sample_rate)[:, None]
    sounds = torch.fft.irfft(torch.fft.rfft(sounds, 2 * samples) * response, 2 * samples)[..., :samples]
    sounds = sounds * _gain(sounds[0], taken["squash"], taken["threshold_db"], round(WINDOW_S * sample_rate))
    return tuple(sounds.unbind(0))


def _response(taken: dict[str, Tensor], samples: int, sample_rate: int) -> Tensor:
    """The gain of each bin of a transform of `2 * samples`, without phase, `(batch, samples + 1)`."""
    low_pass = taken["low_pass"][:, None]
    hz = torch.linspace(0, sample_rate / 2, samples + 1, device=low_pass.device)
    octaves = torch.log2((hz[None, None] + 1) / taken["hz"][..., None])
    bells = (taken["gain_db"][..., None] * torch.exp(-0.5 * (octaves / (Q_OCTAVES / 2)) ** 2)).sum(1)
    return 10 ** (bells / 20) / torch.sqrt(1 + (hz / low_pass) ** 24)


def _gain(mixture: Tensor, squash: Tensor, threshold_db: Tensor, window: int) -> Tensor:
    """A compressor's gain, then a limiter's for the whole stretch, `(batch, 1, samples)`."""
    power = mixture.square().mean(1, keepdim=True)
    # A moving average as a difference of sums: a pool of so wide a window takes ten times as long as all the mixing.
    sums = F.pad(F.pad(power, (window, window), mode="reflect").cumsum(-1), (1, 0))
    level = (sums[..., 2 * window + 1 :] - sums[..., : -2 * window - 1]).clamp_min(0) / (2 * window + 1)
    threshold = power.mean(-1, keepdim=True) * 10 ** (threshold_db / 10)[:, None, None]
    over_db = 10 * torch.log10((level + 1e-9) / (threshold + 1e-9)).clamp_min(0)
    gain = 10 ** (-squash[:, None, None] * over_db / 20)
    peak = (mixture * gain).abs().amax((1, 2), keepdim=True)
    loud = mixture.abs().amax((1, 2), keepdim=True).clamp_max(CEILING)  # made up to the old peak, never past full scale
    return gain * torch.where(peak > 1e-6, loud / peak.clamp_min(1e-6), torch.ones_like(peak))
