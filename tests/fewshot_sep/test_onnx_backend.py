from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from fewshot_sep import Separator, onnx_backend, weights
from fewshot_sep.errors import EngineMissing, FewshotSepError, OutputError, WeightsError
from fewshot_sep.systems import build
from fewshot_sep.unet import Conditioning
from songs.cli import export

RATE = 44100


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights, and the model exported from them beside them."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    folder = tmp_path_factory.mktemp("exported")
    torch.manual_seed(0)
    system = build("tiny").eval()
    for name, buffer in system.network.named_buffers():  # as after a training
        if name.endswith(("mean", "var")):
            buffer.uniform_(0.5, 2)
    weights.save(system, folder / "model.safetensors", {})
    export(folder / "model.safetensors", None)
    return folder


@pytest.mark.parametrize("frames", [1, 30, 64])
def test_it_gives_what_torch_gives_for_any_number_of_frames(folder: Path, frames: int) -> None:
    system = weights.load(folder / "model.safetensors")
    network = onnx_backend.load(folder / "model.onnx", weights.sha256(folder / "model.safetensors"))
    image, conditioning = torch.randn(1, 2, 64, frames), Conditioning(torch.randn(1, 16), torch.randn(1, 2, 64))
    with torch.inference_mode():
        assert torch.allclose(network(image, conditioning), system.network(image, conditioning), atol=1e-5)


def test_separation_is_the_same(folder: Path) -> None:
    random = np.random.default_rng(0)
    mixture, query = (random.normal(0, 0.1, (2, RATE * seconds)).astype(np.float32) for seconds in (2, 1))
    torch_one = Separator.from_pretrained(folder / "model.safetensors", "cpu")
    onnx_one = Separator.from_pretrained(folder / "model.safetensors", backend="onnx")
    wanted, found = (one.separate(mixture, [query], RATE).target for one in (torch_one, onnx_one))
    assert np.abs(wanted).max() > 0.01
    assert np.abs(found - wanted).max() < 1e-5
    assert (torch_one.describe()["backend"], onnx_one.describe()["backend"]) == ("torch", "onnx")


def test_a_model_may_lie_elsewhere(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "new" / "fast.onnx"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes((folder / "model.onnx").read_bytes())
    assert Separator.from_pretrained(folder / "model.safetensors", backend=str(elsewhere)).backend == "onnx"


def test_a_model_of_other_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    weights.save(build("tiny"), tmp_path / "other.safetensors", {})
    with pytest.raises(WeightsError, match=r"model.onnx: made from other weights .* fewshot-sep export"):
        Separator.from_pretrained(tmp_path / "other.safetensors", backend=str(folder / "model.onnx"))


def test_what_is_no_model_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "noise.onnx").write_bytes(b"not a model")
    for name in ("noise", "missing"):
        with pytest.raises(WeightsError, match=rf"{name}.onnx: .* fewshot-sep export") as error:
            Separator.from_pretrained(folder / "model.safetensors", backend=str(tmp_path / f"{name}.onnx"))
        assert "\n" not in str(error.value)


def test_it_runs_on_the_cpu_alone(folder: Path) -> None:
    with pytest.raises(FewshotSepError, match="runs on the CPU, not on 'cuda'"):
        Separator.from_pretrained(folder / "model.safetensors", "cuda", "onnx")


def test_a_model_that_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OutputError, match="taken"):
        onnx_backend.export(folder / "model.safetensors", tmp_path / "taken" / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("onnx", "onnxruntime", "onnxscript"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EngineMissing, match=r"pip install 'fewshot-sep\[onnx\]'"):
        onnx_backend.OnnxNetwork(b"")
    with pytest.raises(EngineMissing, match=r"pip install 'fewshot-sep\[onnx\]'"):
        onnx_backend.exported(build("tiny"))


def test_only_masks_can_be_exported() -> None:
    with pytest.raises(FewshotSepError, match="tiny-image"):
        onnx_backend.exported(build("tiny-image"))


def test_the_command_has_help() -> None:
    app = typer.Typer()
    app.command()(export)
    assert "ONNX" in CliRunner().invoke(app, ["--help"]).output
