"""Names that rich, matplotlib or HTML would take for markup are shown as they are, on the console and in figures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from matplotlib.text import Text
from typer import Typer
from typer.testing import CliRunner

from fewshot_sep import audio, cli, plots
from fewshot_sep.experiments.evaluation import figures
from fewshot_sep.loops import library
from fewshot_sep.loops.cli import inspect
from fewshot_sep.loops.library import Row
from tests.sounds import noise

RICH = ["[bold]x[/]", "[/]", "[/red]", "[link=http://x]y"]
MATHEMATICS = ["$x_{", "$a$ $b$", "$\\frac$", "a\\$b^{"]
NAMES = [*RICH, *MATHEMATICS, "<b>&amp;", "100%"]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All texts of figures that are drawn from now on, as they are seen."""
    found: list[str] = []
    draw = Text.draw

    def noted(self: Any, *given: Any, **more: Any) -> Any:
        cleaned, is_math = self._preprocess_math(self.get_text())
        found.append("" if is_math else cleaned)
        return draw(self, *given, **more)

    monkeypatch.setattr(Text, "draw", noted)
    return found


def test_a_library(drawn: list[str], tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", noise(1, 8000), 8000)
    library.write(tmp_path, [Row("a.wav", name, name, "x", name, 120, 4, "", "train") for name in NAMES])
    app = Typer()
    app.command()(inspect)
    said = CliRunner().invoke(app, [str(tmp_path)])
    assert said.exit_code == 0, said.output
    for name in NAMES:
        assert any(line.count(name) >= 3 for line in said.output.splitlines()), said.output
    assert {f"{name} (1)" for name in NAMES} | set(NAMES) <= set(drawn)


def test_an_evaluation(drawn: list[str], tmp_path: Path) -> None:
    row = {"si_sdri": 1.0, "sdri": 1.0, "level": -3.0}
    rows = {name: [row | {"target": target} for target in NAMES] for name in NAMES}
    for draw in (figures.boxes, figures.level_against_sdri):
        drawn.clear()
        draw(rows, tmp_path / "a.png")
        assert all(any(name in text for text in drawn) for name in NAMES), draw
    figures.boxes(rows, tmp_path / "a.png")
    assert {f"{name} ({len(NAMES)})" for name in NAMES} | {f"{name} (1)" for name in NAMES} <= set(drawn)


def test_sounds(drawn: list[str], tmp_path: Path) -> None:
    figure, axes = plots.new_figure(len(NAMES), 1, 4, 20)
    for panel, name in zip(axes[:, 0], NAMES, strict=True):
        plots.spectrogram(panel, noise(1, 8000), 8000, name)
    figure.savefig(tmp_path / "a.png")
    assert set(NAMES) <= set(drawn)


@pytest.mark.parametrize("name", NAMES)
def test_the_progress_bar(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    with cli.progress(name) as tell:
        tell(0.5)
        tell(1.0, f"then {name}")
    assert f"then {name}" in capsys.readouterr().err
