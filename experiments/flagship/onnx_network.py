"""A mask system's network as an ONNX model, and ONNX Runtime in the torch network's place, to be timed.

All else, from the spectra to the query encoder, stays with torch. Needs the extra `onnx`.
"""

from __future__ import annotations

import importlib
import logging
import warnings

import torch
from torch import Tensor, nn

from fewshot_sep.errors import EngineMissing
from fewshot_sep.systems import MaskSystem
from fewshot_sep.unet import QueryConditioning

INPUTS = ("image", "embedding", "profile", "extra_channels")


def exported(system: MaskSystem) -> bytes:
    """The network of a system as an ONNX model: `INPUTS` -> logits; one mixture, any number of frames.

    A system without further extra_channels has no input of that name.

    Raises:
        EngineMissing: no ONNX exporter.
    """
    preset = system.preset
    _need("onnx", "onnxscript")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # or it tells that torchvision is not installed
    image, profile = torch.zeros(1, preset.channels, preset.bands, 64), torch.zeros(1, 2, preset.bands)
    extra_channels = [torch.zeros(1, system.extra_channels, preset.bands, 64)] if system.extra_channels else []
    given = [image, torch.zeros(1, preset.features), profile, *extra_channels]
    any_frames = {3: torch.export.Dim.DYNAMIC}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            plain(system),
            tuple(given),
            dynamo=True,
            verbose=False,
            external_data=False,
            input_names=list(INPUTS[: len(given)]),
            output_names=["logits"],
            dynamic_shapes=(any_frames, None, None, any_frames)[: len(given)],
        )
    assert program is not None
    return program.model_proto.SerializeToString()


def _need(*packages: str) -> None:
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise EngineMissing(f"{package} is not installed ({error}): pip install 'fewshot-sep[onnx]'") from error


class _Plain(nn.Module):
    """Tensors in, tensor out."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, embedding: Tensor, profile: Tensor) -> Tensor:
        return self.network(image, QueryConditioning(embedding, profile))


class _PlainWithPlanes(_Plain):
    def forward(self, image: Tensor, embedding: Tensor, profile: Tensor, extra_channels: Tensor) -> Tensor:  # type: ignore[override]
        return self.network(image, QueryConditioning(embedding, profile), extra_channels)


def plain(system: MaskSystem) -> nn.Module:
    """The system's network with `INPUTS` one by one, as exporters and tracers ask for; those it has."""
    return (_PlainWithPlanes if system.extra_channels else _Plain)(system.network).eval()


class OnnxNetwork(nn.Module):
    """Stands in a `MaskSystem`'s network's place, on the CPU, with as many threads as torch has now.

    Args:
        model: what `exported` gives.

    Raises:
        EngineMissing: ONNX Runtime is not installed.
    """

    def __init__(self, model: bytes) -> None:
        super().__init__()
        _need("onnxruntime")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Its threads would go on spinning into the time of what torch does next.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def forward(self, image: Tensor, conditioning: QueryConditioning, *extra_channels: Tensor) -> Tensor:
        arrays = {
            name: tensor.numpy() for name, tensor in zip(INPUTS, (image, *conditioning, *extra_channels), strict=False)
        }
        return torch.from_numpy(self.session.run(None, arrays)[0])
