"""Training losses, one function each; all return the mean over the batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

EPS = 1e-8


def ratio_mask_cross_entropy(logits: Tensor, target: Tensor, residual: Tensor) -> Tensor:
    """Cross-entropy between the mask and the ideal ratio mask, weighted by the mixture's energy.

    A cell is weighted by the square root of its magnitude, so that loud partials do not dominate. Unlike a distance
    between spectrograms it penalises a missing target as much as a leak, so an all-zero mask scores badly.

    Shape:
        logits, and magnitudes of target and residual: `(batch, ..., freq, time)`.
    """
    total = target + residual
    weight = total.sqrt()
    weight = weight / (weight.flatten(1).sum(1).view(-1, *[1] * (weight.dim() - 1)) + EPS)
    ideal = target / (total + EPS)
    return (F.binary_cross_entropy_with_logits(logits, ideal, reduction="none") * weight).flatten(1).sum(1).mean()


def soft_noise_ratio(error: Tensor, target: Tensor, mixture: Tensor, floor_db: float = -30.0) -> Tensor:
    """Noise-to-signal ratio in dB, softened so that neither perfect nor silent examples dominate.

    `10 log10((|s - e|^2 + t |x|^2) / (|s|^2 + t |x|^2))` with `t = 10 ** (floor_db / 10)`: for a silent target it is
    the level of the output re the mixture. After Wisdom et al. 2020, "Unsupervised sound separation using mixture
    invariant training", eq. 2, and their later treatment of absent sources.

    Shape: energies of error, target and mixture, `(batch,)` each.
    """
    soft = 10 ** (floor_db / 10) * mixture + EPS
    return (10 * torch.log10((error + soft) / (target + soft))).mean()


def soft_si_sdr(product: Tensor, estimate: Tensor, target: Tensor, weights: Tensor, floor_db: float = -25.0) -> Tensor:
    """Scale-invariant SDR in dB, softened so that neither perfect nor hopeless examples dominate.

    `10 log10((c + t) / (1 - c + t))` with `c` the squared cosine between estimate and target and
    `t = 10 ** (floor_db / 10)`: without `t` it is SI-SDR of Le Roux et al. 2019, "SDR - half-baked or well done?".

    Shape: inner product of estimate and target, the energies of both, and the weight of each example, `(batch,)` each.
        The ratio is undefined for a silent target: give it weight 0. The result is 0 if all weights are.
    """
    soft = 10 ** (floor_db / 10)
    squared_cosine = (product.clamp(min=0).square() / (estimate * target + EPS)).clamp(max=1)
    ratio = 10 * torch.log10((squared_cosine + soft) / (1 - squared_cosine + soft))
    return (ratio * weights).sum() / weights.sum().clamp(min=EPS)


def contrast(queries: Tensor, targets: Tensor, temperature: float = 0.1) -> Tensor:
    """InfoNCE: a query's embedding is to resemble that of its own target more than any other of the batch.

    Eq. 4 of van den Oord et al. 2018, "Representation learning with contrastive predictive coding", by cosine.

    Shape: both `(batch, features)`, at least one.
    """
    similarity = F.normalize(queries, dim=1) @ F.normalize(targets, dim=1).T
    return F.cross_entropy(similarity / temperature, torch.arange(len(queries), device=queries.device))
