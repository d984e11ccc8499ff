from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import NMF
from torch import Tensor

from fewshot_sep import nmf


def spectra(*places: int, bands: int = 24) -> Tensor:
    """A bump at each place: `(1, bands, places)`, each summing to 1."""
    distance = torch.arange(bands)[:, None] - torch.tensor(places)
    bumps = torch.exp(-distance.square() / 2)
    return (bumps / bumps.sum(0))[None]


def rises(*rates: float, frames: int = 40) -> Tensor:
    """A gain over time for each rate, never zero: `(1, rates, frames)`."""
    time = torch.arange(frames)
    return torch.stack([1.1 + torch.sin(rate * time) for rate in rates])[None]


def divergence(found: Tensor, true: Tensor) -> float:
    return float((true * torch.log(true / found) - true + found).mean() / true.mean())


def test_templates_explain_the_sound_they_were_learnt_from() -> None:
    magnitude = spectra(4, 12, 20) @ rises(0.3, 0.5, 0.9) + 1e-3
    learnt = nmf.templates(magnitude, 3)
    torch.testing.assert_close(learnt.sum(1), torch.ones(1, 3))
    free, gains = nmf.fit_activations(magnitude, learnt, learnt[..., :0])
    assert free.shape == (1, 24, 0)
    flat = magnitude.mean(-1, keepdim=True).expand_as(magnitude)
    assert divergence(learnt @ gains, magnitude) < 0.1 * divergence(flat, magnitude)


def test_free_templates_take_what_the_fixed_ones_cannot_explain() -> None:
    known, unknown = spectra(5), spectra(16)
    parts = known @ rises(0.4), unknown @ rises(0.7)
    magnitude = parts[0] + parts[1]
    free, gains = nmf.fit_activations(magnitude, known, nmf.frames_as_templates(magnitude, 1))
    found = known @ gains[:, :1], free @ gains[:, 1:]
    for own, other, true in zip(found, reversed(found), parts, strict=True):
        assert (own - true).norm() < 0.3 * true.norm()
        assert (own - true).norm() < 0.3 * (other - true).norm()


def test_from_chance_it_comes_as_near_as_scikit_learns() -> None:
    chance = torch.Generator().manual_seed(0)
    magnitude = torch.rand(1, 40, 6, generator=chance) @ torch.rand(1, 6, 60, generator=chance) + 0.01
    start = nmf.random_templates(40, 6, chance)
    found, activations = nmf.fit_activations(magnitude, start[..., :0], start, iterations=80)
    image, first = magnitude[0].numpy(), np.random.default_rng(0).random((6, 60), dtype=np.float32) + 0.1
    theirs = NMF(6, init="custom", solver="mu", beta_loss="kullback-leibler", max_iter=80, tol=0)
    theirs.fit(image, W=start[0].numpy().copy(), H=first)
    ours = (magnitude * torch.log(magnitude / (found @ activations)) - magnitude + found @ activations).sum()
    assert float(ours) == pytest.approx(theirs.reconstruction_err_**2 / 2, rel=0.2)


def test_one_update_is_that_of_lee_and_seung() -> None:
    magnitude, fixed, free = rises(0.3, 0.5, 0.9, 1.3), spectra(1, bands=4), spectra(3, 2, bands=4)
    found, gains = (t[0].double().numpy() for t in nmf.fit_activations(magnitude, fixed, free, iterations=1))
    v, w = magnitude[0].double().numpy(), torch.cat([fixed, free], -1)[0].double().numpy()
    h = np.tile(v.sum(0) / 3, (3, 1))
    h = h * (w.T @ (v / (w @ h))) / w.sum(0)[:, None]
    w = w * ((v / (w @ h)) @ h.T) / h.sum(1)
    np.testing.assert_allclose(gains, h, rtol=1e-4)
    np.testing.assert_allclose(found, w[:, 1:] / w[:, 1:].sum(0), rtol=1e-4)


@pytest.mark.parametrize("gain", [1e-3, 1e3])
def test_examples_of_a_batch_do_not_mix_and_gains_follow_the_level(gain: float) -> None:
    batch = torch.cat([spectra(4, 9) @ rises(0.3, 0.5), spectra(7, 20) @ rises(0.2, 1.1)])
    known, begun = nmf.templates(batch, 2), nmf.frames_as_templates(batch, 3)
    free, gains = nmf.fit_activations(batch, known, begun)
    alone = nmf.fit_activations(gain * batch[1:], known[1:], begun[1:])
    torch.testing.assert_close(alone[0], free[1:], rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(alone[1], gain * gains[1:], rtol=1e-3, atol=1e-4 * gain)


def test_silence_stays_silent_and_finite() -> None:
    silent = torch.zeros(1, 24, 10)
    free, gains = nmf.fit_activations(silent, nmf.templates(silent, 2), nmf.frames_as_templates(silent, 2))
    assert free.isfinite().all()
    assert 0 <= gains.min() <= gains.max() < 1e-6
