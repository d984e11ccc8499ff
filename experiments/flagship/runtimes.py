"""Ways to run a mask system's network on a CPU: what would another runtime be worth?

Each takes the system and gives what can stand in its network's place.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from fewshot_sep.systems import MaskSystem
from fewshot_sep.unet import Conditioning


class _Call(nn.Module):
    """A function in a network's place."""

    def __init__(self, function: Callable[[Tensor, Conditioning], Tensor]) -> None:
        super().__init__()
        self.forward = function


def channels_last(system: MaskSystem) -> nn.Module:
    """Weights and activations with the channels innermost."""
    return copy.deepcopy(system.network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def folded(system: MaskSystem) -> nn.Module:
    """Batch normalisation folded into the convolutions before it."""
    from torch.fx.experimental.optimization import fuse

    return fuse(system.network)


def bfloat16(system: MaskSystem) -> nn.Module:
    """Convolutions and matrix products in bfloat16."""

    def run(image: Tensor, conditioning: Conditioning) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return system.network(image, conditioning)

    return _Call(run)


def onnx(system: MaskSystem) -> nn.Module:
    """Exported to ONNX and run by ONNX Runtime with torch's number of threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Its threads would go on spinning into the time of what comes after it.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(exported(system), options, providers=["CPUExecutionProvider"])

    def run(image: Tensor, conditioning: Conditioning) -> Tensor:
        arrays = zip(("image", "embedding", "profile"), (image, *conditioning), strict=True)
        return torch.from_numpy(session.run(None, {name: tensor.numpy() for name, tensor in arrays})[0])

    return _Call(run)


def exported(system: MaskSystem) -> bytes:
    """The network as an ONNX model for one mixture of any number of frames: image, embedding, profile -> logits."""

    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = system.network

        def forward(self, image: Tensor, embedding: Tensor, profile: Tensor) -> Tensor:
            return self.network(image, Conditioning(embedding, profile))

    preset = system.preset
    image, profile = torch.zeros(1, preset.channels, preset.bands, 64), torch.zeros(1, 2, preset.bands)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            Plain().eval(),
            (image, torch.zeros(1, preset.features), profile),
            dynamo=True,
            verbose=False,
            external_data=False,
            input_names=["image", "embedding", "profile"],
            output_names=["logits"],
            dynamic_shapes=({3: torch.export.Dim.DYNAMIC}, None, None),
        )
    assert program is not None
    return program.model_proto.SerializeToString()


WAYS: dict[str, Callable[[MaskSystem], nn.Module]] = {
    "PyTorch": lambda system: system.network,
    "channels last": channels_last,
    "batch normalisation folded": folded,
    "bfloat16": bfloat16,
    "ONNX Runtime": onnx,
}
