from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fewshot_sep import losses, metrics


def magnitudes(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 10


@given(seed=st.integers(0, 1000), spread=st.floats(0.01, 3))
def test_nothing_beats_the_ideal_ratio_mask(seed: int, spread: float) -> None:
    target, residual = magnitudes(seed, 2, 2, 8, 9) + 0.1, magnitudes(seed + 1, 2, 2, 8, 9) + 0.1
    ideal = torch.log(target / residual)
    other = ideal + spread * torch.randn(ideal.shape, generator=torch.Generator().manual_seed(seed))
    best = losses.ratio_mask_cross_entropy(ideal, target, residual)
    assert best < losses.ratio_mask_cross_entropy(other, target, residual)
    for logit in (-20.0, 20.0):
        assert losses.ratio_mask_cross_entropy(torch.full_like(target, logit), target, residual) > 5 * best


def test_missing_costs_as_much_as_leaking() -> None:
    loud, nothing, logits = magnitudes(0, 1, 1, 8, 9), torch.zeros(1, 1, 8, 9), torch.full((1, 1, 8, 9), -3.0)
    missed = losses.ratio_mask_cross_entropy(logits, loud, nothing)
    assert float(missed) == pytest.approx(math.log1p(math.exp(3.0)), rel=1e-5)
    assert float(losses.ratio_mask_cross_entropy(-logits, nothing, loud)) == pytest.approx(float(missed), rel=1e-5)


@pytest.mark.parametrize("gain", [1e-2, 1e2])
def test_each_example_counts_alike_at_any_level(gain: float) -> None:
    logits, target, residual = torch.randn(2, 1, 8, 9), magnitudes(0, 2, 1, 8, 9), magnitudes(1, 2, 1, 8, 9)
    scale = torch.tensor([gain, 1.0])[:, None, None, None]
    scaled = losses.ratio_mask_cross_entropy(logits, target * scale, residual * scale)
    assert float(scaled) == pytest.approx(float(losses.ratio_mask_cross_entropy(logits, target, residual)), rel=1e-4)


@pytest.mark.parametrize(
    ("error", "target", "mixture", "expected_db"),
    [
        (1.0, 1.0, 2.0, 0.0),  # silent output
        (0.0, 1.0, 1.0, 10 * math.log10(0.001 / 1.001)),  # perfect: softened to about -30
        (1.0, 0.0, 1.0, 10 * math.log10(1.001 / 0.001)),  # absent, all of it let through
        (0.0, 0.0, 1.0, 0.0),  # absent, nothing let through
        (0.099, 0.0, 1.0, 20.0),
        (0.1, 0.5, 1.0, 10 * math.log10(0.101 / 0.501)),
    ],
)
def test_soft_noise_ratio(error: float, target: float, mixture: float, expected_db: float) -> None:
    found = losses.soft_noise_ratio(*(torch.tensor([value]) for value in (error, target, mixture)))
    assert float(found) == pytest.approx(expected_db, abs=1e-3)


def test_soft_si_sdr_is_si_sdr_between_its_floors_and_knows_no_scale() -> None:
    generator = np.random.default_rng(0)
    target = generator.standard_normal((3, 2000))
    target -= target.mean(1, keepdims=True)
    estimate = np.array([[0.2], [1], [5]]) * target + generator.standard_normal((3, 2000))
    estimate -= estimate.mean(1, keepdims=True)
    sums = [
        torch.tensor(np.sum(x * y, axis=1)) for x, y in ((estimate, target), (estimate, estimate), (target, target))
    ]
    expected = [metrics.si_sdr(s, e) for s, e in zip(target, estimate, strict=True)]
    each = [float(losses.soft_si_sdr(*sums, torch.eye(3)[n], floor_db=-80)) for n in range(3)]
    assert each == pytest.approx(expected, abs=1e-3)
    assert float(losses.soft_si_sdr(*sums, torch.ones(3), floor_db=-80)) == pytest.approx(np.mean(expected), abs=1e-3)
    product, energy, own = sums
    louder = losses.soft_si_sdr(9 * product, 81 * energy, own, torch.ones(3))
    assert float(louder) == pytest.approx(float(losses.soft_si_sdr(*sums, torch.ones(3))), abs=1e-4)


def test_soft_si_sdr_has_floors_at_both_ends_and_leaves_silent_targets_out() -> None:
    one, none = torch.ones(1), torch.zeros(1)
    assert float(losses.soft_si_sdr(one, one, one, one)) == pytest.approx(25, abs=0.02)
    assert float(losses.soft_si_sdr(none, one, one, one)) == pytest.approx(-25, abs=0.02)
    assert float(losses.soft_si_sdr(none, one, none, none)) == 0


def test_contrast_is_the_cross_entropy_of_finding_ones_own() -> None:
    query, found = torch.randn(4, 8, generator=torch.Generator().manual_seed(0)), torch.eye(4, 8)
    cosines = (query / query.norm(dim=1, keepdim=True))[:, :4].double().numpy()
    expected = np.mean([-row[n] / 0.5 + np.log(np.exp(row / 0.5).sum()) for n, row in enumerate(cosines)])
    assert float(losses.contrast(3 * query, 5 * found, temperature=0.5)) == pytest.approx(expected, abs=1e-5)
    assert float(losses.contrast(query[:1], found[:1])) == 0
