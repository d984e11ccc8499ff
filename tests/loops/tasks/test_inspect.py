from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

from fewshot_sep import audio
from fewshot_sep.loops import library
from fewshot_sep.loops.cli import inspect as command
from fewshot_sep.loops.library import Library, Row
from fewshot_sep.loops.tasks import inspect

RATE = 22050


def put_library(folder: Path) -> Library:
    rows = []
    for place, (instrument, split) in enumerate([("flute", "train"), ("oboe", "train"), ("tuba", "unseen")]):
        for number in range(2 + (instrument == "flute")):
            time = np.arange(RATE * 3) / RATE
            path = f"{instrument}/{number}.wav"
            (folder / instrument).mkdir(parents=True, exist_ok=True)
            audio.write(folder / path, 0.5 * np.sin(2 * np.pi * (300 + 200 * place) * time)[None], RATE)
            source = f"maker-{number}" if instrument == "oboe" else "maker-0"
            rows.append(Row(path, instrument, "winds", source, "CC0", 120.0, 4.0, "" if number else "song", split))
    return library.write(folder, rows)


def test_holdings_count_files_minutes_sources_songs(tmp_path: Path) -> None:
    made = put_library(tmp_path)
    found = {holding.instrument: holding for holding in inspect.holdings(made)}
    assert list(found) == ["flute", "oboe", "tuba"]
    assert (found["flute"].files, found["flute"].sources, found["flute"].songs) == (3, 1, 1)
    assert found["flute"].minutes == pytest.approx(3 * 3 / 60)
    assert found["oboe"].sources == 2
    assert found["tuba"].splits == ("unseen",)
    assert [found[name].trainable for name in found] == [True, True, False]


def test_command_shows_draws_and_writes_tasks(tmp_path: Path) -> None:
    put_library(tmp_path / "library")
    app = Typer()
    app.command()(command)
    out = tmp_path / "out"
    result = CliRunner().invoke(app, [str(tmp_path / "library"), "-o", str(out), "--listen", "3", "--preset", "tiny"])
    assert result.exit_code == 0, result.output
    assert "7 files, 3 instruments" in result.output
    assert result.output.count("task ") == 3
    assert (out / "library.png").stat().st_size > 5000
    for number in (1, 2, 3):
        sounds = {}
        for name in ("mixture", "query", "target"):
            sounds[name], rate = audio.read(out / f"task-{number:02d}-{name}.wav")
            assert rate == 44100
        assert sounds["mixture"].shape == sounds["target"].shape
        assert len(sounds["mixture"]) == 2
        assert np.abs(sounds["mixture"]).max() > 0.05
        assert np.abs(sounds["query"]).max() > 0.01


def test_same_seed_same_tasks(tmp_path: Path) -> None:
    made = put_library(tmp_path)
    first = inspect.write_tasks(made, tmp_path / "a", 2, "tiny", seed=5)
    assert inspect.write_tasks(made, tmp_path / "b", 2, "tiny", seed=5) == first
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
