"""A mask system's network as an ONNX model, and ONNX Runtime in the torch network's place.

All else, from the spectra to the query encoder, stays with torch. Needs the extra `onnx`.
"""

from __future__ import annotations

import importlib
import logging
import os
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from fewshot_sep import weights
from fewshot_sep.errors import EngineMissing, FewshotSepError, OutputError, WeightsError
from fewshot_sep.systems import MaskSystem, System
from fewshot_sep.unet import Conditioning

INPUTS = ("image", "embedding", "profile")
DIGEST = "weights_sha256"  # in the model's metadata: which weights it was made from


def export(path: Path, output: Path) -> None:
    """Write the network whose weights lie at `path` as an ONNX model.

    Raises:
        WeightsError: missing or damaged weights.
        FewshotSepError: a system without a mask.
        EngineMissing: no ONNX exporter.
        OutputError: `output` cannot be written.
    """
    part = output.with_name(f".{output.stem}.{os.getpid()}{output.suffix}")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        part.touch()  # now, not after the work, is the time to find out that it cannot be written
    except OSError as error:
        raise OutputError(f"{output}: {error.strerror or error}; give another --output") from error
    try:
        part.write_bytes(exported(weights.load(path), weights.sha256(path)))
        part.replace(output)
    except OSError as error:
        raise OutputError(f"{output}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def exported(system: System, digest: str = "") -> bytes:
    """The network of a system as an ONNX model: image, embedding, profile -> logits; one mixture, any number of frames.

    Args:
        digest: SHA-256 of the weights, to be kept in the model.

    Raises:
        FewshotSepError: a system without a mask.
        EngineMissing: no ONNX exporter.
    """
    preset = system.preset
    if not isinstance(system, MaskSystem):
        raise FewshotSepError(f"preset '{preset.name}' cannot be exported, only those with a mask can")
    _need("onnx", "onnxscript")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # or it tells that torchvision is not installed
    image, profile = torch.zeros(1, preset.channels, preset.bands, 64), torch.zeros(1, 2, preset.bands)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _Plain(system.network).eval(),
            (image, torch.zeros(1, preset.features), profile),
            dynamo=True,
            verbose=False,
            external_data=False,
            input_names=list(INPUTS),
            output_names=["logits"],
            dynamic_shapes=({3: torch.export.Dim.DYNAMIC}, None, None),
        )
    assert program is not None
    model = program.model_proto
    entry = model.metadata_props.add()
    entry.key, entry.value = DIGEST, digest
    return model.SerializeToString()


def _need(*packages: str) -> None:
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise EngineMissing(
                f"{package} is not installed ({error}): pip install 'fewshot-sep[onnx]', or take --backend torch"
            ) from error


class _Plain(nn.Module):
    """The network with tensors alone as its arguments."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, embedding: Tensor, profile: Tensor) -> Tensor:
        return self.network(image, Conditioning(embedding, profile))


class OnnxNetwork(nn.Module):
    """Stands in a `MaskSystem`'s network's place, on the CPU, with as many threads as torch has now.

    Args:
        model: what `exported` gives.

    Raises:
        EngineMissing: ONNX Runtime is not installed.
        ValueError: it cannot read the model.
    """

    def __init__(self, model: bytes) -> None:
        super().__init__()
        _need("onnxruntime")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Its threads would go on spinning into the time of what torch does next.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no common base
            raise ValueError(str(error)) from error
        self.digest = self.session.get_modelmeta().custom_metadata_map.get(DIGEST, "")

    def forward(self, image: Tensor, conditioning: Conditioning) -> Tensor:
        arrays = {name: tensor.numpy() for name, tensor in zip(INPUTS, (image, *conditioning), strict=True)}
        return torch.from_numpy(self.session.run(None, arrays)[0])


def load(path: Path, digest: str) -> OnnxNetwork:
    """The network that was exported to `path` from the weights with that SHA-256.

    Raises:
        WeightsError: missing, unreadable, or made from other weights.
        EngineMissing: ONNX Runtime is not installed.
    """
    advice = f"write it with: fewshot-sep export WEIGHTS -o {path}"
    try:
        network = OnnxNetwork(path.read_bytes())
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror or error}; {advice}") from error
    except ValueError as error:
        raise WeightsError(f"{path}: no ONNX model ({' '.join(str(error).split())}); {advice}") from error
    if network.digest != digest:
        raise WeightsError(f"{path}: made from other weights than those in use; {advice}")
    return network
