from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from fewshot_sep.muon import RMS, Muon, orthogonalised
from tests.fewshot_sep.tensors import noise


def after(start: Tensor, gradients: list[Tensor], **options: float) -> Tensor:
    """Where a parameter is after these gradients."""
    parameter = nn.Parameter(start.clone())
    optimizer = Muon([parameter], **options)  # type: ignore[arg-type]
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    return parameter.detach()


@pytest.mark.parametrize("shape", [(16, 64), (64, 16), (32, 32)])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_singular_values_come_to_about_one(shape: tuple[int, int], precision: torch.dtype) -> None:
    matrix = noise(*shape) @ torch.diag(torch.logspace(0, -1, shape[1]))
    found = orthogonalised(matrix.to(precision)).float()
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.5
    assert values.max() < 1.3
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    assert ((left.T @ found @ right.T).diagonal() > 0.5).all()  # along the same singular vectors
    assert not orthogonalised(torch.zeros(shape)).any()


def test_a_step_has_the_size_of_adamw_whatever_the_gradient_has() -> None:
    start, gradient = noise(32, 48, seed=1), noise(32, 48, seed=2)
    moved = after(start, [gradient], learning_rate=1e-2, weight_decay=0.0) - start
    assert moved.square().mean().sqrt() == pytest.approx(RMS * 1e-2, rel=0.2)
    louder = after(start, [1000 * gradient], learning_rate=1e-2, weight_decay=0.0) - start
    torch.testing.assert_close(louder, moved, rtol=1e-3, atol=1e-6)
    assert (moved * gradient).sum() < 0


def test_a_convolution_is_a_matrix_of_its_outputs() -> None:
    start, gradients = noise(16, 8, 3, 3), [noise(16, 8, 3, 3, seed=seed) for seed in (1, 2)]
    flat = after(start.flatten(1), [gradient.flatten(1) for gradient in gradients])
    assert torch.equal(after(start, gradients).flatten(1), flat)


def test_momentum_and_decay() -> None:
    start, one, two = noise(16, 32), noise(16, 32, seed=1), noise(16, 32, seed=2)
    found = after(start, [one, two], learning_rate=0.1, weight_decay=0.5, momentum=0.9)
    expected, momentum = start, torch.zeros_like(start)
    for gradient in (one, two):
        momentum = 0.9 * momentum + 0.1 * gradient
        step = orthogonalised(0.1 * gradient + 0.9 * momentum) * RMS * math.sqrt(32)
        expected = (1 - 0.1 * 0.5) * expected - 0.1 * step
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("shape", "decays"), [((12,), False), ((7, 64), True), ((64, 1, 3, 3), True)])
def test_small_ones_go_by_adamw(shape: tuple[int, ...], decays: bool) -> None:
    start, gradients = noise(*shape), [noise(*shape, seed=seed) for seed in (1, 2, 3)]
    parameter = nn.Parameter(start.clone())
    adamw = torch.optim.AdamW([parameter], 1e-2, weight_decay=0.1 if decays else 0.0)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        adamw.step()
    assert torch.equal(after(start, gradients, learning_rate=1e-2, weight_decay=0.1), parameter.detach())


def test_what_has_no_gradient_stays() -> None:
    layer = nn.Linear(16, 16)
    before = copy.deepcopy(layer.state_dict())
    Muon(layer.parameters()).step()
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
