"""What the report says of blocks whose levels are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fewshot_sep.errors import OutputError
from fewshot_sep.songs.figure import draw
from fewshot_sep.songs.grid import BarGrid, Slice
from fewshot_sep.songs.monitor import Monitor

RATE = 8000
GRID = BarGrid(
    "downbeat", tuple(Slice(s, s + 2 * RATE, 4.0, 0.5) for s in range(0, 8 * RATE, 2 * RATE)), RATE, 4, "x", 0.5
)


def heard(gain: np.ndarray | float, seconds: int = 8, grid: BarGrid | None = GRID, block: int = 777) -> Monitor:
    monitor = Monitor(seconds * RATE, RATE)
    mixture = np.random.default_rng(0).standard_normal((2, seconds * RATE)).astype(np.float32)
    target = (gain * mixture).astype(np.float32)
    if grid:
        monitor.set_grid(grid)
    for start in range(0, mixture.shape[1], block):
        monitor.add_block(target[:, start : start + block], mixture[:, start : start + block])
    return monitor


def test_level_is_that_of_the_whole_song() -> None:
    assert heard(0.1).level_db == pytest.approx(-20, abs=1e-4)
    assert heard(0.0).level_db is None
    levels = heard(0.1).levels_db()
    assert levels.shape == (3, 160)
    np.testing.assert_allclose(levels[1] - levels[0], -20, atol=1e-4)
    np.testing.assert_allclose(levels[2] - levels[0], 20 * np.log10(0.9), atol=1e-4)


def test_a_step_at_a_join_is_seen_there_and_only_there() -> None:
    steps = np.ones(8 * RATE)
    steps[2 * RATE : 4 * RATE] = 10 ** (-6 / 20)
    boundaries = heard(steps).boundaries()
    assert boundaries["boundaries"] == 3
    assert boundaries["largest gain jump at boundaries (dB)"] == pytest.approx(6, abs=0.1)
    assert boundaries["largest gain jump elsewhere (dB)"] == pytest.approx(0, abs=0.01)


def test_a_step_elsewhere_is_not_blamed_on_a_join() -> None:
    steps = np.ones(8 * RATE)
    steps[round(2.7 * RATE) : round(3.4 * RATE)] = 0.5
    boundaries = heard(steps).boundaries()
    assert boundaries["largest gain jump at boundaries (dB)"] == pytest.approx(0, abs=0.01)
    assert boundaries["largest gain jump elsewhere (dB)"] == pytest.approx(6, abs=0.1)


@pytest.mark.parametrize(("gain", "warned"), [(0.02, True), (0.0, True), (0.05, False), (1.0, False)])
def test_what_is_not_in_the_song_is_said(gain: float, warned: bool) -> None:
    warnings = heard(gain).report({}, {})["warnings"]
    assert any("does not seem to be in the song" in warning for warning in warnings) is warned


def test_report_holds_what_it_promises_and_is_json(tmp_path: Path) -> None:
    monitor = heard(0.5)
    with monitor.stage("network"):
        pass
    monitor.seconds["total"] = 4.0
    monitor.warnings.append("cut short")
    report = monitor.report({"tempo": "mask"}, {"name": "m", "sha256": "abc"}, song="lieder/ä b.wav")
    write(report, tmp_path / "report.json")
    read = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert read == report
    assert read["song"] == "lieder/ä b.wav"
    assert read["seconds per second of audio"] == 0.5
    assert read["grid"] == {
        "kind": "downbeat", "reason": "", "bars": 4, "unsure bars": 0, "bpm": 120.0, "meter": 4, "tracker": "x",
        "confidence": 0.5,
    }  # fmt: skip
    assert read["model"]["sha256"] == "abc" and read["warnings"] == ["cut short"]
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_a_report_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write({"old": True}, path)
    with pytest.raises(TypeError):
        write({"new": object()}, path)
    assert json.loads(path.read_text()) == {"old": True}
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
    with pytest.raises(OutputError, match="nowhere"):
        write({}, tmp_path / "nowhere" / "report.json")


@pytest.mark.parametrize("seconds", [1, 8])
def test_the_picture_is_drawn(tmp_path: Path, seconds: int) -> None:
    monitor = heard(0.5, seconds, GRID if seconds == 8 else None)
    noise = np.random.default_rng(0).standard_normal((1, 3 * RATE)).astype(np.float32)
    draw(
        monitor,
        {"mixture": noise, "target": 0.5 * noise, "residual": np.zeros_like(noise)},
        1.0,
        tmp_path / "report.png",
    )
    with Image.open(tmp_path / "report.png") as picture:
        assert picture.width >= 1000 and picture.height >= 1000
        assert np.asarray(picture.convert("L")).std() > 10
    assert [path.name for path in tmp_path.iterdir()] == ["report.png"]


def test_the_loudest_passage_is_found() -> None:
    gain = np.full(60 * RATE, 0.1)
    gain[40 * RATE : 50 * RATE] = 1.0
    assert heard(gain, 60, None, block=20000).loudest() == pytest.approx(45 * RATE, abs=6 * RATE)
