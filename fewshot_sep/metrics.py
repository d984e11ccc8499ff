"""How close an estimate is to the reference, in dB. NumPy or torch in, a float (or a tensor per example) out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from fewshot_sep import extras

EPS = 1e-9
SILENT_SI_SDR_DB = -30.0
"""What a silent estimate scores: without a floor an empty output would be 0 / 0."""


def level_db(samples: ArrayLike, reference: ArrayLike) -> float:
    """Root-mean-square level of `samples` re that of `reference`, in dB; about -180 for silence.

    >>> round(level_db([0.1, -0.1], [1.0, 1.0]), 3)
    -20.0
    """
    rms, rms_reference = (np.sqrt(np.mean(np.square(np.asarray(x, dtype=np.float64)))) for x in (samples, reference))
    return float(20 * np.log10((rms + EPS) / (rms_reference + EPS)))


def sdr(reference: ArrayLike, estimate: ArrayLike) -> float:
    """Signal-to-distortion ratio `10 log10(|s|^2 / |s - e|^2)`, over all channels.

    >>> round(sdr([1.0, 1.0], [0.9, 0.9]), 3)
    20.0
    """
    s, e = np.asarray(reference, dtype=np.float64), np.asarray(estimate, dtype=np.float64)
    return float(10 * np.log10((np.sum(s**2) + EPS) / (np.sum((s - e) ** 2) + EPS)))


def si_sdr(reference: ArrayLike, estimate: ArrayLike) -> float:
    """Scale-invariant SDR of the channels' mean, mean removed (Le Roux et al. 2019, "SDR - half-baked or well done?").

    The channels' mean is taken first: where they are of opposite polarity little or nothing is left of them, and an
    estimate that is right in every channel reads 0 to -30 dB. See `channelwise_si_sdr` for such sounds.

    Shape: `(channels, samples)` or `(samples,)` -> dB, at least -30: an estimate 60 dB under the reference is silent.

    >>> si_sdr([1.0, -1.0, 1.0, -1.0], [0.5, -0.5, 0.5, -0.5]) > 80
    True
    """
    s, e = (np.atleast_2d(np.asarray(x, dtype=np.float64)) for x in (reference, estimate))
    if level_db(e, s) < -60:
        return SILENT_SI_SDR_DB
    s, e = (x.mean(0) - x.mean() for x in (s, e))
    scaled = (s @ e) / (s @ s + EPS) * s
    ratio = 10 * np.log10(np.sum(scaled**2) + EPS) - 10 * np.log10(np.sum((scaled - e) ** 2) + EPS)
    return float(max(SILENT_SI_SDR_DB, ratio))


def channelwise_si_sdr(reference: ArrayLike, estimate: ArrayLike) -> float:
    """Scale-invariant SDR of all channels as they are, one after the other as one sound; each one's mean removed.

    Shape: as in `si_sdr`, which it equals for one channel.

    >>> pair = np.array([[1.0, -1.0, 1.0, -1.0], [-1.0, 1.0, -1.0, 1.0]])
    >>> channelwise_si_sdr(pair, pair / 2) > 80 and si_sdr(pair, pair / 2) <= 0
    True
    """
    s, e = (np.atleast_2d(np.asarray(x, dtype=np.float64)) for x in (reference, estimate))
    s, e = ((x - x.mean(1, keepdims=True)).reshape(1, -1) for x in (s, e))
    return si_sdr(s, e)


def batch_si_sdr(reference: Tensor, estimate: Tensor) -> Tensor:
    """Scale-invariant SDR of each example of a batch, without mean removal; also right for STFTs.

    Shape: real or complex `(batch, ...)` -> `(batch,)`, in dB.
    """
    s, e = (torch.view_as_real(x) if x.is_complex() else x for x in (reference, estimate))
    s, e = s.flatten(1), e.flatten(1)
    scaled = ((s * e).sum(1) / (s.square().sum(1) + EPS))[:, None] * s
    return 10 * torch.log10((scaled.square().sum(1) + EPS) / ((scaled - e).square().sum(1) + EPS))


class BssEval(NamedTuple):
    """Arrays of one figure in dB for each source; NaN where reference or estimate is silent: none is defined there."""

    sdr: NDArray[np.float64]
    sir: NDArray[np.float64]
    sar: NDArray[np.float64]


def bss_eval(references: ArrayLike, estimates: ArrayLike, filter_length: int = 512) -> BssEval:
    """Signal-to-distortion, -interference and -artefact ratios, BSS Eval version 3, estimates in the references' order.

    Distortions by a filter of `filter_length` taps are forgiven (Vincent et al. 2006, "Performance measurement in blind
    audio source separation"; Scheibler 2022, "SDR - medium rare with fast computations", whose package it needs).

    Shape: both `(sources, samples)`, or `(sources, channels, samples)`, whose channels are averaged as in `si_sdr`.
    """
    extras.require("evaluate", "fast_bss_eval")
    from fast_bss_eval.torch import bss_eval_sources  # its NumPy half does not work with NumPy 2

    r, e = (np.asarray(x, dtype=np.float64) for x in (references, estimates))
    r, e = (x.mean(1) if x.ndim == 3 else x for x in (r, e))
    sounding = (np.abs(r).max(axis=1) > 0) & (np.abs(e).max(axis=1) > 0)
    found = np.full((3, len(r)), np.nan)
    if sounding.any():
        pair = (torch.from_numpy(x[sounding]) for x in (r, e))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # with more, torch 2.13 solves linear systems wrongly (MKL: "Parameter 6 ... DLASWP")
        try:
            figures = bss_eval_sources(*pair, filter_length=filter_length, compute_permutation=False)
        finally:
            torch.set_num_threads(threads)
        found[:, sounding] = torch.stack(figures[:3]).numpy()
    return BssEval(*found)
