"""Weights on disk: safetensors in half precision beside a model card (JSON) with their SHA-256; never a pickle."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewshot_sep import files, presets
from fewshot_sep.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    from fewshot_sep.systems.base import AnySystem, ConditioningT, System

RENAMED = {"crowd_detector.": "multi_source_detector."}
"""Prefixes of tensors' names: in older files, and now."""
FOLDER = Path(__file__).parent / "pretrained"


def bundled(preset: str = presets.DEFAULT) -> Path:
    """Where the weights of a preset that come with the package lie. Raises WeightsError where there are none."""
    path = FOLDER / f"{preset}.safetensors"
    if not path.is_file():
        cure = "reinstall the package, or train a model: fewshot-sep train LIBRARY -o RUN"
        raise WeightsError(f"{path}: not there; {cure}")
    return path


def card(path: Path) -> dict[str, Any]:
    """The model card beside the weights. Raises WeightsError where it is missing or no JSON object."""
    try:
        content = files.read_json(path.with_suffix(".json"))
        if not isinstance(content, dict):
            raise ValueError("not a JSON object")
        return content
    except (OSError, ValueError) as error:
        name = path.with_suffix(".json")
        raise WeightsError(f"{name}: no readable model card ({error}); it must lie beside the weights") from error


def sha256(path: Path) -> str:
    """Hex digest of a file. Raises WeightsError where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        reason = error.strerror or error
        raise WeightsError(f"{path}: {reason}; give the .safetensors file of a trained model") from error


def verify(path: Path) -> str:
    """The file's SHA-256 if it is the one in its card. Raises WeightsError: missing or damaged."""
    found, promised = sha256(path), card(path).get("sha256")
    if found != promised:
        raise WeightsError(
            f"{path}: damaged, its SHA-256 is {found[:12]}... but its card says {str(promised)[:12]}...; "
            "reinstall the package or fetch the file again"
        )
    return found


def save(system: System[ConditioningT], path: Path, facts: dict[str, Any]) -> None:
    """Write weights as float16 and the card: `facts` plus preset, parameter count and SHA-256. Raises OutputError."""
    import torch
    from safetensors.torch import save as to_bytes

    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in _expected(system).items()
    }
    with files.replacing(path) as temporary:
        temporary.write_bytes(to_bytes(tensors))  # its save_file makes another file, which no lock protects
        content = {
            "preset": system.preset.name,
            "parameters": sum(p.numel() for p in system.parameters()),
            "sha256": sha256(temporary),
            "torch": torch.__version__,
            **facts,
        }
        files.write_json(path.with_suffix(".json"), content)


def load_what_fits(system: System[ConditioningT], path: Path) -> list[str]:
    """Put into `system` those tensors of the weights at `path` that it has, in the same shape; names those it left.

    Where a convolution has more input channels in this system, the further ones get zero weights.
    Raises WeightsError: missing, damaged, or nothing in it fits.
    """
    verify(path)
    expected = _expected(system)
    tensors = {name: _widened(tensor, expected.get(name)) for name, tensor in _tensors(path).items()}
    fitting = [name for name in expected if name in tensors and tensors[name].shape == expected[name].shape]
    if not fitting:
        raise WeightsError(f"{path}: nothing in it fits preset '{system.preset.name}'")
    _put(system, {name: tensors[name] for name in fitting})
    return [name for name in expected if name not in fitting]


def _widened(tensor: Tensor, expected: Tensor | None) -> Tensor:
    """With zeros for the further input channels of a convolution; else as it is."""
    import torch.nn.functional as F

    if expected is None or not expected.dim() == tensor.dim() == 4:
        return tensor
    more = expected.shape[1] - tensor.shape[1]
    return F.pad(tensor, (0, 0, 0, 0, 0, more)) if more > 0 else tensor


def load(path: Path) -> AnySystem:
    """The system whose weights lie at `path`, ready for use.

    Raises WeightsError: missing, damaged, or not fitting the preset that the card names.
    """
    verify(path)
    from fewshot_sep.systems import build

    preset = str(card(path).get("preset", ""))
    if preset not in presets.PRESETS:
        raise WeightsError(
            f"{path}: made for preset '{preset}', which this version does not know; it has {', '.join(presets.PRESETS)}"
        )
    system, tensors = build(preset), _tensors(path)
    shapes = [{name: tensor.shape for name, tensor in some.items()} for some in (_expected(system), tensors)]
    if wrong := sorted({name for name, _ in shapes[0].items() ^ shapes[1].items()}):
        raise WeightsError(
            f"{path}: does not fit preset '{preset}': {wrong[0]} and {len(wrong) - 1} more differ; train it again"
        )
    _put(system, tensors)
    return system.eval()


def _expected(system: System[ConditioningT]) -> dict[str, Tensor]:
    """The tensors that a file holds of a system; its STFT's window follows from the preset."""
    return {name: value for name, value in system.state_dict().items() if not name.startswith("stft.")}


def _tensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except SafetensorError as error:
        raise WeightsError(f"{path}: not a safetensors file ({error})") from error
    for old, new in RENAMED.items():
        tensors = {new + name.removeprefix(old) if name.startswith(old) else name: t for name, t in tensors.items()}
    return tensors


def _put(system: System[ConditioningT], tensors: dict[str, Tensor]) -> None:
    state = system.state_dict()
    system.load_state_dict({**state, **{name: value.to(state[name].dtype) for name, value in tensors.items()}})
