"""Separators that learn nothing, and upper bounds that look at the answer: a function each, by its name in `settings`.

All are on an STFT with hops of a quarter.
"""

from __future__ import annotations

from collections.abc import Sequence

import librosa
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewshot_sep import audio
from fewshot_sep import nmf as factorisation
from fewshot_sep.experiments.evaluation.case import Array, Case

N_FFT = 2048
EPS = 1e-9
TEMPLATES, ABSENT_TEMPLATES, ITERATIONS = 32, 64, 80

Image = NDArray[np.floating]
Spectrum = NDArray[np.complex64]


def stft(samples: Array) -> Spectrum:
    """`(channels, samples)` -> `(channels, freq, time)`."""
    return librosa.stft(samples, n_fft=N_FFT, hop_length=N_FFT // 4)


def istft(spectrum: Spectrum, samples: int) -> Array:
    return librosa.istft(spectrum, n_fft=N_FFT, hop_length=N_FFT // 4, length=samples)


def mixture_image(case: Case) -> Image:
    """Mean of the channels' magnitudes, `(freq, time)`."""
    image: Image = np.abs(stft(case.mixture)).mean(0)
    return image


def clips_image(clips: Sequence[tuple[Array, int]], sample_rate: int) -> Image:
    """Magnitudes of all clips at a sample rate, one after the other in time."""
    monos = [audio.resample(clip.mean(0, keepdims=True), rate, sample_rate) for clip, rate in clips]
    return np.concatenate([np.abs(stft(mono[0])) for mono in monos], axis=1)


def mixture(case: Case) -> Array:
    """What doing nothing scores."""
    return case.mixture


def silence(case: Case) -> Array:
    """What giving nothing scores."""
    return np.zeros_like(case.mixture)


def nmf(case: Case) -> Array:
    """NMF told by clips, whose templates stay fixed; Wiener mask.

    Templates of the song without the instrument explain the residual, or free ones where there is no such clip. Clips
    among others give templates of the instrument too: of what those of the song without it do not explain.

    Semi-supervised as in Smaragdis, Raj & Shashanka 2007, "Supervised and semi-supervised separation of sounds".
    """
    mixture = torch.from_numpy(mixture_image(case))[None]
    chance = torch.Generator().manual_seed(0)
    nothing = mixture[..., :0]

    def learnt(clips: Sequence[tuple[Array, int]], count: int, known: Tensor) -> Tensor:
        if not clips:
            return nothing
        image = torch.from_numpy(clips_image(clips, case.sample_rate))[None]
        begun = factorisation.random_templates(image.shape[1], count, chance)
        return factorisation.fit_activations(image, known, begun, ITERATIONS)[0]

    alone = learnt(case.queries, TEMPLATES, nothing)
    absent = learnt(case.absent, ABSENT_TEMPLATES, nothing)
    instrument = torch.cat([alone, learnt(case.among, TEMPLATES, absent)], dim=-1)
    known = torch.cat([instrument, absent], dim=-1)
    free = nothing if case.absent else factorisation.random_templates(mixture.shape[1], TEMPLATES, chance)
    free, activations = factorisation.fit_activations(mixture, known, free, ITERATIONS)
    first = instrument.shape[-1]
    target = instrument @ activations[:, :first]
    residual = torch.cat([absent, free], dim=-1) @ activations[:, first:]
    mask = (target / (target + residual + EPS))[0].numpy()
    return istft(stft(case.mixture) * mask, case.mixture.shape[1])


def irm(case: Case) -> Array:
    """The ideal ratio mask, of the target's magnitude in the sum of all stems' magnitudes; for each channel its own."""
    target, residual = np.abs(stft(_known(case))), sum(np.abs(stft(other)) for other in case.others)
    return istft(stft(case.mixture) * target / (target + residual + EPS), case.mixture.shape[1])


def mixphase(case: Case) -> Array:
    """The target's true magnitude with the mixture's phase: the bound of systems that predict magnitudes."""
    spectrum = np.abs(stft(_known(case))) * np.exp(1j * np.angle(stft(case.mixture)))
    return istft(spectrum, case.mixture.shape[1])


def _known(case: Case) -> Array:
    if case.reference is None:
        raise ValueError("an upper bound needs the target's true stem")
    return case.reference
