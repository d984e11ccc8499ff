"""What the thesis's network is compared with: factorisation informed by the query, and what no mask can beat."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from experiments.bachata.examples import Array, Example, tensor
from fewshot_sep import spectral
from fewshot_sep.separator import Separator
from fewshot_sep.systems import ImageSystem

COMPONENTS, ITERATIONS = 12, 100


def nmf(mixture: Array, query: Array, seed: int = 0) -> Array:
    """Query-informed non-negative matrix factorisation, by the Kullback-Leibler divergence.

    Spectra learnt on the query (scikit-learn) stay fixed, as many free ones take up the rest of the mixture
    (multiplicative updates of Lee & Seung 2001); the query's share is the mask. As in Smaragdis et al. 2007,
    "Supervised and semi-supervised separation of sounds from single-channel mixtures".

    Shape: mixture and query `(samples,)` -> `(samples,)`.
    """
    from sklearn.decomposition import non_negative_factorization

    stft = spectral.Stft(1024, 256)
    spectrum = stft(torch.from_numpy(mixture))
    wanted, whole = (x.abs().numpy() + 1e-6 for x in (stft(torch.from_numpy(query)), spectrum))
    _, spectra, _ = non_negative_factorization(
        wanted.T,
        n_components=COMPONENTS,
        solver="mu",
        beta_loss="kullback-leibler",
        init="random",
        random_state=seed,
        max_iter=ITERATIONS,
        tol=0,
    )
    random = np.random.default_rng(seed)
    basis = np.concatenate([spectra.T / spectra.sum(1), random.random((len(whole), COMPONENTS))], axis=1)
    gains = random.random((2 * COMPONENTS, whole.shape[1]))
    for _ in range(ITERATIONS):
        gains *= basis.T @ (whole / (basis @ gains)) / basis.sum(0)[:, None]
        free = basis[:, COMPONENTS:] * ((whole / (basis @ gains)) @ gains[COMPONENTS:].T) / gains[COMPONENTS:].sum(1)
        basis = np.concatenate([basis[:, :COMPONENTS], free], axis=1)
    mask: NDArray[Any] = basis[:, :COMPONENTS] @ gains[:COMPONENTS] / (basis @ gains)
    return stft.inverse(spectral.apply_mask(spectrum, torch.from_numpy(mask).float()), len(mixture)).numpy()


def factorised(example: Example) -> Array:
    """All stems as `nmf` finds them, `(instruments, samples)`."""
    return np.stack([nmf(example.mixture, query) for query in example.queries])


def shipped(separator: Separator, example: Example, sample_rate: int) -> Array:
    """The stems as a `Separator` finds them with the same queries, `(instruments, samples)`."""
    mixture = example.mixture[None]
    found = [separator.separate(mixture, [query], sample_rate).target[0] for query in example.queries]
    return np.stack(found)


def ideal_ratio_mask(system: ImageSystem, example: Example) -> Array:
    """The mixture times each stem's share of the magnitudes, on the thesis's spectrogram."""
    mixture, stems = (system.spectrum(tensor(system, x)) for x in (example.mixture, example.stems))
    share = stems.abs() / (stems.abs().sum(0) + 1e-8)
    return system.stft.inverse(spectral.apply_mask(mixture, share), example.stems.shape[1]).cpu().numpy()


def true_magnitude(system: ImageSystem, example: Example) -> Array:
    """The stems' own magnitudes with the mixture's phase: what the thesis's network would give if it made no error."""
    mixture, stems = (system.spectrum(tensor(system, x)) for x in (example.mixture, example.stems))
    return system.stft.inverse(stems.abs() * mixture.sgn(), example.stems.shape[1]).cpu().numpy()
