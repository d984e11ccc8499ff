from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from fewshot_sep import audio
from fewshot_sep.experiments.speed import run


def test_an_excerpt_is_repeated_to_its_length(tmp_path: Path) -> None:
    for seconds in (10, 40):
        run.repeat(tmp_path / f"{seconds}.flac", seconds)
    (short, rate), (long, _) = (audio.read(tmp_path / f"{seconds}.flac") for seconds in (10, 40))
    assert short.shape == (2, 10 * rate) and long.shape == (2, 40 * rate)
    assert np.array_equal(long[:, 30 * rate :], short)


def test_the_report_has_a_row_for_each_length_and_grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = dict.fromkeys(run.COLUMNS, 0.01)

    def measure(song: Path, grid: str, folder: Path) -> dict[str, object]:
        return {**stages, "grid": grid, "bars": 4, "audio_s": soundfile.info(song).duration, "peak_mib": None}

    monkeypatch.setattr(run, "measure", measure)
    run.speed(tmp_path, hours=1 / 15)
    text = (tmp_path / "report.md").read_text()
    assert all(f"| {row}: 4 | 0.010 |" in text for row in ("180 | none", "180 | auto", "240 | auto"))


@pytest.mark.slow
def test_the_whole_command_is_timed_stage_by_stage(tmp_path: Path) -> None:
    song = tmp_path / "song.flac"
    run.repeat(song, 5)
    found = run.measure(song, "none", tmp_path)
    assert found["audio_s"] == pytest.approx(5) and found["grid"] == "none"
    assert 0 < found["network"] <= found["total"] < found["process"]
