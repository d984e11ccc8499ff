"""Muon: a matrix's steps are orthogonalised, so that few directions do not dominate; AdamW does the other parameters.

After Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks", with the scale of Liu et al. 2025,
"Muon is scalable for LLM training", eq. 4, by which learning rate and weight decay are those of AdamW.
torch.optim.Muon takes no convolutions and no parameters of another kind beside them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

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
        super().__init__(settings, learning_rate, weight_decay=weight_decay)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; afterwards the gradients of Muon's parameters are gone."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group.get("orthogonal"):
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self._move(parameter, group["lr"], group["weight_decay"])
                        parameter.grad = None  # AdamW skips it
        super().step()
        return loss

    def _move(self, parameter: nn.Parameter, rate: float, decay: float) -> None:
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        if not state:
            state |= {"step": torch.tensor(0.0), "momentum": torch.zeros_like(parameter)}
        state["step"] += 1  # AdamW counts so too, and expects it when a state is loaded
        state["momentum"].lerp_(gradient, 1 - self.momentum)
        ahead = gradient.lerp(state["momentum"], self.momentum).flatten(1)
        step = orthogonalised(ahead.to(self.precision)).to(parameter.dtype) * (RMS * math.sqrt(max(ahead.shape)))
        parameter.mul_(1 - rate * decay).add_(step.view_as(parameter), alpha=-rate)


def orthogonalised(matrix: Tensor) -> Tensor:
    """A matrix with the same singular vectors whose singular values lie around 1, from 0.7 to 1.2; zeros stay zeros.

    By a Newton-Schulz iteration: `X <- a X + (b A + c A^2) X` with `A = X X^T`.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonalised(matrix.T).T
    a, b, c = COEFFICIENTS
    norm: Tensor = matrix.norm()
    x = matrix / (norm + 1e-7)
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x
