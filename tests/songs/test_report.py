"""The report and the figure of blocks whose levels are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fewshot_sep.prompt import ByRole
from fewshot_sep.songs import report
from fewshot_sep.songs.figure import MARKS, draw
from fewshot_sep.songs.grid import BarGrid, Slice
from fewshot_sep.songs.monitor import Monitor

RATE = 8000
GRID = BarGrid(
    "downbeat", tuple(Slice(s, s + 2 * RATE, 4.0, 0.5) for s in range(0, 8 * RATE, 2 * RATE)), RATE, 4, "x", 0.5
)


def monitored(gain: np.ndarray | float, seconds: int = 8, grid: BarGrid | None = GRID, block: int = 777) -> Monitor:
    """The monitor of a song of noise whose target is the song times a gain."""
    monitor = Monitor(seconds * RATE, RATE)
    mixture = np.random.default_rng(0).standard_normal((2, seconds * RATE)).astype(np.float32)
    target = (gain * mixture).astype(np.float32)
    if grid:
        monitor.set_grid(grid)
    for start in range(0, mixture.shape[1], block):
        monitor.add_block(target[:, start : start + block], mixture[:, start : start + block])
    return monitor


def test_level_is_that_of_the_whole_song() -> None:
    assert monitored(0.1).level_db == pytest.approx(-20, abs=1e-4)
    assert monitored(0.0).level_db is None
    levels = monitored(0.1).levels_db()
    assert levels.shape == (3, 160)
    np.testing.assert_allclose(levels[1] - levels[0], -20, atol=1e-4)
    np.testing.assert_allclose(levels[2] - levels[0], 20 * np.log10(0.9), atol=1e-4)


@pytest.mark.parametrize(("rate", "seconds"), [(44100, 4.98), (44100, 5), (22050, 3.99), (11025, 100)])
def test_cells_are_whole_and_lie_where_they_are_said_to(rate: int, seconds: float) -> None:
    monitor, click = Monitor(round(seconds * rate), rate), np.zeros((1, round(seconds * rate)), np.float32)
    cells = int(2 * seconds)
    click[0, round(cells / 2 * rate) - 1] = 1
    monitor.add_block(click, click)
    mixture, _, _ = monitor.energy_in(0.5)
    assert mixture.tolist() == [0] * (cells - 1) + [1]


@pytest.mark.parametrize(("start", "stop", "at_boundaries"), [(2.0, 4.0, True), (2.7, 3.4, False)])
def test_a_step_of_the_gain_is_seen_where_it_is(start: float, stop: float, at_boundaries: bool) -> None:
    gain = np.ones(8 * RATE)
    gain[round(start * RATE) : round(stop * RATE)] = 10 ** (-6 / 20)
    boundaries = monitored(gain).boundaries()
    assert boundaries["count"] == 3
    jumps = [boundaries[f"largest gain jump {place} (dB)"] for place in ("at boundaries", "elsewhere")]
    assert jumps == pytest.approx([6, 0] if at_boundaries else [0, 6], abs=0.1)


@pytest.mark.parametrize(("gain", "warned"), [(0.02, True), (0.0, True), (0.05, False), (1.0, False)])
def test_what_is_not_in_the_song_is_said(gain: float, warned: bool) -> None:
    warnings = report.of(monitored(gain), {}, {})["warnings"]
    assert any("does not seem to be in the song" in warning for warning in warnings) is warned


def test_report_holds_what_it_promises_and_is_json() -> None:
    monitor = monitored(0.5)
    with monitor.stage("network"):
        pass
    monitor.seconds["total"] = 4.0
    monitor.warnings.append("cut short")
    content = report.of(monitor, {"tempo": "mask"}, {"name": "m", "sha256": "abc"}, song="lieder/ä b.wav")
    assert json.loads(json.dumps(content)) == content
    assert content["song"] == "lieder/ä b.wav"
    assert content["seconds per second of audio"] == 0.5
    assert content["grid"] == {
        "kind": "downbeat", "reason": "", "bars": 4, "unsure bars": 0, "bpm": 120.0, "meter": 4, "tracker": "x",
        "confidence": 0.5,
    }  # fmt: skip
    assert content["model"]["sha256"] == "abc" and content["warnings"] == ["cut short"]


@pytest.mark.parametrize("seconds", [1, 8])
def test_the_figure_is_drawn(tmp_path: Path, seconds: int) -> None:
    monitor = monitored(0.5, seconds, GRID if seconds == 8 else None)
    noise = np.random.default_rng(0).standard_normal((1, 3 * RATE)).astype(np.float32)
    draw(monitor, noise, 0.5 * noise, 1.0, tmp_path / "report.png")
    with Image.open(tmp_path / "report.png") as picture:
        assert picture.width >= 1000 and picture.height >= 1000
        assert np.asarray(picture.convert("L")).std() > 10
    assert [path.name for path in tmp_path.iterdir()] == ["report.png"]


def test_marks_have_colours_that_the_figure_has_without_them_not(tmp_path: Path) -> None:
    monitor, noise = monitored(0.5), np.random.default_rng(0).standard_normal((1, RATE)).astype(np.float32)
    counts = []
    for name, marks in (("without", ByRole()), ("with", ByRole([(0, 1)], [(2, 4)], [(5, 7)]))):
        draw(monitor, noise, 0.5 * noise, 1.0, tmp_path / f"{name}.png", marks)
        with Image.open(tmp_path / f"{name}.png") as picture:
            pixels = np.asarray(picture.convert("RGB"))
        colors = [np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) for color, _ in MARKS.values()]
        counts.append([int((pixels == color).all(-1).sum()) for color in colors])
    assert min(counts[1]) > 500 and max(counts[0]) < 50


def test_the_loudest_passage_is_found() -> None:
    gain = np.full(60 * RATE, 0.1)
    gain[40 * RATE : 50 * RATE] = 1.0
    assert monitored(gain, 60, None, block=20000).loudest() == pytest.approx(45 * RATE, abs=6 * RATE)
