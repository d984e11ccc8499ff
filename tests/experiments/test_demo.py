"""The demo does what its last line claims."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fewshot_sep import audio
from fewshot_sep.experiments.demo.run import DATA, main


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_guitar_is_nearer_to_the_true_one_than_the_song_was(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    before, after = main(tmp_path)
    assert after > before + 1
    folder = tmp_path / "war_of_freedom"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("beats.json", "guitar.report.json", "guitar.report.png", "guitar.residual.wav", "guitar.wav")
    ]
    printed = capsys.readouterr().out
    assert f"{after:.2f} dB separated" in printed and str(folder / "guitar.wav") in printed
    song, _ = audio.read(tmp_path / "war_of_freedom.wav")
    parts = [audio.read(folder / name)[0] for name in ("guitar.wav", "guitar.residual.wav")]
    np.testing.assert_allclose(sum(parts), song, atol=1e-6)
    report = json.loads((folder / "guitar.report.json").read_text())
    assert len(report["model"]["sha256"]) == 64 and report["warnings"] == []


def test_the_bundled_song_comes_with_its_notice() -> None:
    notice = (DATA / "LICENSE.txt").read_text()
    assert "Permission is hereby granted, free of charge" in notice and "Carlos Viola Iborra" in notice
