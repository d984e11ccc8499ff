"""The doctor's findings: complete when all is well, exit 1 when something is not."""

from __future__ import annotations

import json
from pathlib import Path

import av
import pytest
import soundfile
import typer

from fewshot_sep import doctor, weights
from fewshot_sep.errors import WeightsError


def test_all_well(capsys: pytest.CaptureFixture[str]) -> None:
    doctor.doctor(as_json=False)
    printed = capsys.readouterr().out
    assert weights.sha256(weights.bundled()) in printed and "verified" in printed and "all well" in printed
    assert soundfile.__version__ in printed and f"PyAV {av.__version__}" in printed and "!" not in printed


def test_damaged_weights(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def damaged(path: Path) -> str:
        raise WeightsError(f"{path.name}: SHA-256 differs")

    monkeypatch.setattr(weights, "verify", damaged)
    for as_json in (False, True):
        with pytest.raises(typer.Exit) as left:
            doctor.doctor(as_json=as_json)
        assert left.value.exit_code == 1
    table, text = capsys.readouterr().out.split(" problem(s) found\n")
    assert any(line.startswith("  ! ") and "SHA-256 differs" in line for line in table.splitlines())
    found = json.loads(text)
    assert found["problems"] == ["weights: prompted.safetensors: SHA-256 differs"]
    assert found["versions"]["soundfile"] == soundfile.__version__
    assert set(found) == {"versions", "engines", "device", "torchaudio", "weights", "problems"}
