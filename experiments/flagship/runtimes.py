"""Ways to run a mask system's network on a CPU: what would another runtime be worth?

Each takes the system and gives what can stand in its network's place.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from fewshot_sep.experiments.flagship import onnx_network
from fewshot_sep.systems import MaskSystem
from fewshot_sep.unet import QueryConditioning


class _Call(nn.Module):
    """A function in a network's place."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.forward = function


def channels_last(system: MaskSystem) -> nn.Module:
    """Weights and activations with the channels innermost."""
    return copy.deepcopy(system.network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def folded(system: MaskSystem) -> nn.Module:
    """Batch normalisation folded into the convolutions before it."""
    from torch.fx.experimental.optimization import fuse

    traced = fuse(onnx_network.plain(system))
    return _Call(lambda image, conditioning, *extra_channels: traced(image, *conditioning, *extra_channels))


def bfloat16(system: MaskSystem) -> nn.Module:
    """Convolutions and matrix products in bfloat16."""

    def run(image: Tensor, conditioning: QueryConditioning, *extra_channels: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return system.network(image, conditioning, *extra_channels)

    return _Call(run)


def onnx(system: MaskSystem) -> nn.Module:
    """ONNX Runtime."""
    return onnx_network.OnnxNetwork(onnx_network.exported(system))


WAYS: dict[str, Callable[[MaskSystem], nn.Module]] = {
    "PyTorch": lambda system: system.network,
    "channels last": channels_last,
    "batch normalisation folded": folded,
    "bfloat16": bfloat16,
    "ONNX Runtime": onnx,
}
