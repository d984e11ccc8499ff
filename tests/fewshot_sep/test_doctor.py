"""The doctor's findings: complete when all is well, exit 1 when something is not."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path

import av
import pytest
import soundfile
import typer

import fewshot_sep
from fewshot_sep import doctor
from fewshot_sep.errors import WeightsError


@pytest.fixture
def put_weights(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Path], str]], None]:
    """Set what `weights.verify` does."""

    def put(verify: Callable[[Path], str]) -> None:
        module = types.SimpleNamespace(bundled=lambda: Path("model.safetensors"), verify=verify)
        monkeypatch.setitem(sys.modules, "fewshot_sep.weights", module)  # type: ignore[arg-type]
        monkeypatch.setattr(fewshot_sep, "weights", module, raising=False)

    return put


def damaged(path: Path) -> str:
    raise WeightsError(f"{path}: SHA-256 differs")


def test_all_well(put_weights: Callable, capsys: pytest.CaptureFixture[str]) -> None:
    put_weights(lambda path: "ab" * 32)
    doctor.doctor(as_json=False)
    printed = capsys.readouterr().out
    assert "ab" * 32 in printed and "verified" in printed and "all well" in printed
    assert soundfile.__version__ in printed and f"PyAV {av.__version__}" in printed and "!" not in printed


def test_damaged_weights(put_weights: Callable, capsys: pytest.CaptureFixture[str]) -> None:
    put_weights(damaged)
    with pytest.raises(typer.Exit) as left:
        doctor.doctor(as_json=False)
    assert left.value.exit_code == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.lstrip().startswith("! ") and "SHA-256 differs" in line for line in lines)


def test_json(put_weights: Callable, capsys: pytest.CaptureFixture[str]) -> None:
    put_weights(damaged)
    with pytest.raises(typer.Exit):
        doctor.doctor(as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["problems"] == ["weights: model.safetensors: SHA-256 differs"]
    assert found["versions"]["soundfile"] == soundfile.__version__
    assert set(found) == {"versions", "engines", "device", "torchaudio", "weights", "problems"}
