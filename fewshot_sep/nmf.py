"""Non-negative matrix factorisation (NMF) of batches of magnitudes: which parts of a mixture sound like an example.

Multiplicative updates for the Kullback-Leibler divergence (Lee & Seung 2001, "Algorithms for non-negative matrix
factorization", theorem 2). Templates start from frames of the sound itself, so that the same sound always gives the
same result, and few iterations are enough; or from chance. No gradient passes.

Shapes: magnitudes `(batch, bands, frames)`, templates `(batch, bands, templates)`.
"""

from __future__ import annotations

import torch
from torch import Tensor

EPS = 1e-8
ITERATIONS = 12
MEAN_SHARE = 0.2
"""Of the mean frame that is added to an initial template, as multiplicative updates cannot leave zero."""


def frames_as_templates(magnitude: Tensor, count: int) -> Tensor:
    """`count` frames evenly spread in time, each summing to 1: initial templates."""
    chosen = torch.arange(count, device=magnitude.device) * (magnitude.shape[-1] - 1) // max(count - 1, 1)
    return _normalised(magnitude[..., chosen] + MEAN_SHARE * magnitude.mean(-1, keepdim=True))


def random_templates(bands: int, count: int, generator: torch.Generator) -> Tensor:
    """Spectra `(1, bands, count)`, each summing to 1: a start that needs more iterations than frames do."""
    return _normalised(torch.rand(1, bands, count, generator=generator) + 0.1)


@torch.no_grad()
def templates(magnitude: Tensor, count: int) -> Tensor:
    """The `count` spectra, each summing to 1, that explain a sound best."""
    initial = frames_as_templates(magnitude, count)
    return fit_activations(magnitude, initial[..., :0], initial)[0]


@torch.no_grad()
def fit_activations(
    magnitude: Tensor, fixed: Tensor, free: Tensor, iterations: int = ITERATIONS
) -> tuple[Tensor, Tensor]:
    """Activations over time by which templates sum to a sound; the free ones adapt to what the fixed ones leave.

    Semi-supervised as in Smaragdis, Raj & Shashanka 2007, "Supervised and semi-supervised separation of sounds from
    single-channel mixtures".

    Returns:
        The free templates, adapted, and the activations of all, fixed ones first: `(batch, templates, frames)`.
    """
    with torch.autocast(magnitude.device.type, enabled=False):
        magnitude, fixed, free = magnitude.float() + EPS, fixed.float(), free.float()
        first = fixed.shape[-1]
        both = torch.cat([fixed, free], dim=-1)
        activations = magnitude.sum(1, keepdim=True).expand(-1, both.shape[-1], -1) / both.shape[-1]
        for _ in range(iterations):
            # Templates sum to 1: the update's denominator.
            activations = activations * (both.mT @ (magnitude / (both @ activations + EPS)))
            active = activations[:, first:]
            free = _normalised(both[..., first:] * ((magnitude / (both @ activations + EPS)) @ active.mT))
            both = torch.cat([fixed, free], dim=-1)
        return free, activations


def _normalised(spectra: Tensor) -> Tensor:
    spectra = spectra + EPS
    return spectra / spectra.sum(1, keepdim=True)
