"""Packages that only an extra of this one installs: whoever needs them asks before any work begins."""

from __future__ import annotations

from importlib.util import find_spec

from fewshot_sep.errors import EngineMissing

PACKAGES = {
    "app": {"starlette": "starlette", "uvicorn": "uvicorn", "wavesurf": "wavesurf"},
    "evaluate": {"fast_bss_eval": "fast-bss-eval", "PIL": "pillow"},
    "hub": {"huggingface_hub": "huggingface_hub"},
    "onnx": {"onnx": "onnx", "onnxruntime": "onnxruntime", "onnxscript": "onnxscript"},
    "ray": {"fsspec": "fsspec", "ray": "ray"},
    "render": {"pretty_midi": "pretty_midi", "pyworld": "pyworld-prebuilt", "tinysoundfont": "tinysoundfont"},
}
"""Of each extra, the modules and the packages that bring them."""


def require(extra: str, *modules: str) -> None:
    """Raise EngineMissing if modules of an extra, all of them if none are named, are not installed."""
    packages = PACKAGES[extra]
    missing = [packages[module] for module in modules or packages if find_spec(module) is None]
    if missing:
        raise EngineMissing(f"not installed: {', '.join(missing)}; pip install 'fewshot-sep[{extra}]'")
