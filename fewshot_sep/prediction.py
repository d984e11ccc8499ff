"""How much a separation has probably improved, from what is known once it is done: no truth is needed.

A small head beside the weights it belongs to, made by `experiments/flagship/prediction.py`, reads a few signs: how sure
the mask is, how loud the target, what the clips are like. Three lines (quantile regression, Koenker and Bassett 1978)
give the SI-SDR improvement; its interval is widened until it holds on songs that the head was not fitted to (conformal
prediction, Romano et al. 2019); two more give the odds that the instrument is in the song at all, and of a failure.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from fewshot_sep import audio, files, levels, spectral, weights
from fewshot_sep.separator import Conditioning, Separator

Array = NDArray[np.float32]

ENDING = ".prediction.json"
MAX_WINDOWS = 8
FAILED_DB = 2.0
MAX_SIGN = 4.0  # standard deviations; what is farther out counts as that
EPS = 1e-12


class Prediction(NamedTuple):
    """The SI-SDR improvement in dB: its median, and the interval in which it lies in four of five cases.

    Attributes:
        present: how likely the instrument is in the song; what else is said holds only if it is.
        failed: how likely the improvement is under `FAILED_DB`.
        signs: what it was told by, see `observe`.
    """

    present: float
    failed: float
    low: float
    median: float
    high: float
    signs: dict[str, float]


class Samples:
    """Windows spread over a song, of target and mixture, kept while its blocks go by; at most `MAX_WINDOWS`."""

    def __init__(self, frames: int, sample_rate: int, seconds: float) -> None:
        self.sample_rate = sample_rate
        self.length = max(min(round(seconds * sample_rate), frames), 1)
        self.every = 1 + frames // self.length // MAX_WINDOWS
        self._kept: list[Array] = []
        self._open: list[Array] = []
        self._number = 0

    def add(self, target: Array, mixture: Array) -> None:
        """The next block of both, `(channels, n)`."""
        block = np.stack([target, mixture])
        while block.shape[2]:
            room = self.length - sum(part.shape[2] for part in self._open)
            self._open.append(block[..., :room])
            block = block[..., room:]
            if self._open[-1].shape[2] == room:
                if self._number % self.every == 0:
                    self._kept.append(np.concatenate(self._open, axis=2))
                self._number += 1
                self._open = []

    def windows(self) -> list[Array]:
        """Target and mixture `(2, samples)`, one channel each, of the windows in which something was found."""
        return [np.stack([levels.downmix(part) for part in window]) for window in self._kept if window[0].any()]


def observe(
    separator: Separator, conditioning: Conditioning, samples: Samples, level_db: float | None
) -> dict[str, float] | None:
    """The signs of how well a separation went, `level_db` that of the target re the mixture; None where it is silent.

    `level` (dB); `doubt`, how far from 0 and 1 the mask is where the target is, and `whole`, the share of the mixture
    that it lets through nearly whole, over bands and frames; `together`, how alike the levels of target and residual
    run; `agreement`, the cosine of the least alike two clips; their mean `polyphony_logit`; which roles there are.
    """
    windows, prompt = samples.windows(), conditioning.prompt
    clips = prompt.alone or prompt.among
    if level_db is None or not windows or not clips:
        return None
    inside = (audio.resample(window, samples.sample_rate, separator.sample_rate) for window in windows)
    of_mask = np.mean([_of_mask(separator, window) for window in inside], axis=0)
    return {
        "level": max(level_db, -60.0),
        **dict(zip(("doubt", "whole", "together"), of_mask.tolist(), strict=True)),
        "agreement": min((separator.similarity(*two) for two in combinations(clips, 2)), default=1.0),
        "polyphony_logit": float(np.mean([separator.polyphony_logit(clip) or 0.0 for clip in clips])),
        "alone": float(bool(prompt.alone)),
        "absent": float(bool(prompt.absent)),
    }


@torch.inference_mode()
def _of_mask(separator: Separator, window: Array) -> tuple[float, float, float]:
    system, preset = separator.system, separator.preset
    filled = np.pad(window, ((0, 0), (0, max(0, system.min_samples() - window.shape[1]))))
    waves = np.stack([*filled, filled[1] - filled[0]])
    spectra = system.stft(torch.from_numpy(waves).to(separator.device)).cpu()
    bands = spectral.band_weights(preset.n_fft, preset.bands)
    target, mixture, residual = (bands @ spectra.abs().square()).double().numpy()
    mask = np.sqrt(np.clip(target / (mixture + EPS), 0, 1))
    passed = mixture * mask
    runs = [np.log(part.sum(0) + 1e-4 * part.sum(0).max() + EPS) for part in (target, residual)]
    together = np.corrcoef(*runs)[0, 1] if min(run.std() for run in runs) > 0 else 0.0
    doubt = (passed * (1 - mask)).sum() / (passed.sum() + EPS)
    return float(doubt), float(mixture[mask > 0.9].sum() / (mixture.sum() + EPS)), float(together)


class Head(NamedTuple):
    """What is fitted: of each sign the mean and deviation, and of each output a weight per sign and one more.

    Outputs: log odds of presence and of failure, then the low, middle and high quantile in dB. `widen`: dB on either
    side.
    """

    signs: list[str]
    mean: list[float]
    deviation: list[float]
    lines: list[list[float]]
    widen: list[float]

    def predict(self, signs: dict[str, float]) -> Prediction:
        values = (np.array([signs[name] for name in self.signs]) - self.mean) / self.deviation
        present, failed, *quantiles = np.array(self.lines) @ np.append(values.clip(-MAX_SIGN, MAX_SIGN), 1.0)
        low, median, high = sorted(quantiles)
        present, failed = (float(1 / (1 + np.exp(-odds))) for odds in (present, failed))
        return Prediction(present, failed, low - self.widen[0], median, high + self.widen[1], signs)


@cache
def head_of(digest: str) -> Head | None:
    """The head of the bundled weights of that SHA-256; None for all others: what they are sure of is not known."""
    for path in weights.FOLDER.glob("*" + ENDING):
        content = files.read_json(path)
        if content["weights"] == digest:
            return Head(**content["head"])
    return None


def predict(
    separator: Separator, conditioning: Conditioning, samples: Samples, level_db: float | None
) -> Prediction | None:
    """None for weights without a head, and where nothing was found; see `observe`."""
    head = head_of(str(separator.describe()["sha256"]))
    signs = observe(separator, conditioning, samples, level_db) if head else None
    return head.predict(signs) if head and signs else None
