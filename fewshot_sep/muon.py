"""Muon: a matrix's steps are orthogonalised, so that few directions do not dominate; AdamW does the other parameters.

After Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks", with the scale of Liu et al. 2025,
"Muon is scalable for LLM training", eq. 4, by which learning rate and weight decay are those of AdamW.
torch.optim.Muon takes no convolutions and no parameters of another kind beside them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration; they push singular values to about 1 in few steps, not exactly to 1 (Jordan et al.)."""
ITERATIONS = 5
RMS = 0.2
"""Of a step's elements, re the learning rate: about that of AdamW."""
MIN_ROWS, MIN_COLUMNS = 8, 16


class Muon(torch.optim.AdamW):
    """Muon for matrices and convolutions of at least 8 x 16, AdamW for all other parameters; vectors do not decay.

    A convolution counts as the matrix of its first dimension by all others.

    Args:
        momentum: of Muon, with Nesterov's look ahead.
        precision: in which matrices are orthogonalised; bfloat16 is enough where the hardware multiplies it.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
        momentum: float = 0.95,
        precision: torch.dtype = torch.float32,
    ) -> None:
        groups: dict[str, list[nn.Parameter]] = {"hidden": [], "thin": [], "vectors": []}
        for parameter in parameters:
            if parameter.dim() < 2:
                groups["vectors"].append(parameter)
            else:
                rows, columns = parameter.flatten(1).shape
                groups["hidden" if rows >= MIN_ROWS and columns >= MIN_COLUMNS else "thin"].append(parameter)
        self.momentum, self.precision = momentum, precision
        settings: list[dict[str, Any]] = [
            {"params": groups["thin"]},
            {"params": groups["vectors"], "weight_decay": 0.0},
            {"params": groups["hidden"], "orthogonal": True},
        ]
        super().__init__(settings, learning_rate, weight_decay=weight_decay, foreach=True)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; afterwards the gradients of Muon's parameters are gone."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group.get("orthogonal"):
                for parameters in _by_shape(group["params"]):
                    self._move(parameters, group["lr"], group["weight_decay"])
        super().step()
        return loss

    def _move(self, parameters: list[nn.Parameter], rate: float, decay: float) -> None:
        """Parameters of one shape, all at once; AdamW skips what has no gradient any more."""
        gradients = [cast(Tensor, parameter.grad) for parameter in parameters]
        states = [self.state[parameter] for parameter in parameters]
        for state, parameter in zip(states, parameters, strict=True):
            if not state:
                state |= {"step": torch.tensor(0.0), "momentum": torch.zeros_like(parameter)}
            state["step"] += 1  # AdamW counts so too, and expects it when a state is loaded
            parameter.grad = None
        momenta = [state["momentum"] for state in states]
        torch._foreach_lerp_(momenta, gradients, 1 - self.momentum)
        ahead = torch.stack(torch._foreach_lerp(gradients, momenta, self.momentum)).flatten(2)
        steps = orthogonalised(ahead.to(self.precision)).to(ahead.dtype) * (RMS * math.sqrt(max(ahead.shape[1:])))
        weights: list[Tensor] = [*parameters]
        torch._foreach_mul_(weights, 1 - rate * decay)
        torch._foreach_add_(weights, list(steps.view(-1, *parameters[0].shape)), alpha=-rate)


def _by_shape(parameters: Iterable[nn.Parameter]) -> Iterable[list[nn.Parameter]]:
    """Those that have gradients, in lists of equal shape."""
    groups: dict[tuple[int, ...], list[nn.Parameter]] = {}
    for parameter in parameters:
        if parameter.grad is not None:
            groups.setdefault(tuple(parameter.shape), []).append(parameter)
    return groups.values()


def orthogonalised(matrices: Tensor) -> Tensor:
    """Matrices with the same singular vectors whose singular values lie around 1, from 0.7 to 1.2; zeros stay zeros.

    By a Newton-Schulz iteration: `X <- p(A) X` with `p(A) = a I + b A + c A^2` and `A = X X^T`. All `p(A)` are
    functions of the first `A`, so that in full precision only these small squares are iterated, and their product
    meets `X` once; half precision needs the plain way, as it cannot hold the least eigenvalues of `A`.

    Shape: `(..., rows, columns)` -> the same.
    """
    if matrices.shape[-2] > matrices.shape[-1]:
        return orthogonalised(matrices.mT).mT
    x: Tensor = matrices / (torch.linalg.matrix_norm(matrices, keepdim=True) + 1e-7)
    if x.dtype != torch.float32:
        for _ in range(ITERATIONS):
            x = _polynomial(x @ x.mT) @ x
        return x
    square = x @ x.mT
    product = factor = _polynomial(square)
    for _ in range(ITERATIONS - 1):
        square = factor @ square @ factor
        factor = _polynomial(square)
        product = factor @ product
    return product @ x


def _polynomial(square: Tensor) -> Tensor:
    """`a I + b A + c A^2`."""
    a, b, c = COEFFICIENTS
    polynomial: Tensor = b * square + c * square @ square
    polynomial.diagonal(dim1=-2, dim2=-1).add_(a)
    return polynomial
