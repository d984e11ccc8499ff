"""A mask system's network as an ONNX graph; spectra, query encoder and mask stay with torch. Needs the extra `onnx`."""

from __future__ import annotations

import importlib
import logging
import warnings

import torch
from torch import Tensor, nn

from fewshot_sep.errors import EngineMissing
from fewshot_sep.systems import MaskSystem
from fewshot_sep.unet import QueryConditioning

INPUTS = ("image", "embedding", "profile", "extra")
EXPORT_FRAMES = 64


class PlainNetwork(nn.Module):
    """Tensors in, tensor out: `INPUTS` one by one, as the exporter asks for; `extra` where the network takes some."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, embedding: Tensor, profile: Tensor, extra: Tensor | None = None) -> Tensor:
        conditioning = QueryConditioning(embedding, profile, profile[:, 0, :, None][..., :0])
        logits: Tensor = self.network(image, conditioning, image[:, :0] if extra is None else extra)
        return logits


def graph(system: MaskSystem) -> bytes:
    """The network of a system as an ONNX model: `INPUTS` -> logits; one mixture, any number of frames.

    A system without extra channels has no input of that name.

    Raises:
        EngineMissing: no ONNX exporter.
    """
    for package in ("onnx", "onnxscript"):
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise EngineMissing(f"{package} is not installed ({error}): pip install 'fewshot-sep[onnx]'") from error
    preset, channels = system.preset, system.extra_channels
    image, profile = torch.zeros(1, preset.channels, preset.bands, EXPORT_FRAMES), torch.zeros(1, 2, preset.bands)
    given = [image, torch.zeros(1, preset.features), profile]
    given += [torch.zeros(1, channels, preset.bands, EXPORT_FRAMES)] if channels else []
    any_frames = {3: torch.export.Dim.DYNAMIC}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # or it tells that torchvision is not installed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            PlainNetwork(system.network).eval(),
            tuple(given),
            dynamo=True,
            verbose=False,
            external_data=False,
            input_names=list(INPUTS[: len(given)]),
            output_names=["logits"],
            dynamic_shapes=(any_frames, None, None, any_frames)[: len(given)],
        )
    assert program is not None
    return bytes(program.model_proto.SerializeToString())
