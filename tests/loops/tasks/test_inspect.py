from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

from fewshot_sep import audio
from fewshot_sep.loops.cli import inspect as command
from fewshot_sep.loops.library import Library
from fewshot_sep.loops.tasks import inspect
from fewshot_sep.prompt import ROLES
from tests.loops.tasks.tones import FAMILIES, ROWS


def test_holdings_count_files_minutes_sources_songs(tones: Library) -> None:
    found = {holding.instrument: holding for holding in inspect.holdings(tones)}
    assert {name: holding.family for name, holding in found.items()} == FAMILIES
    for holding in found.values():
        assert (holding.files, holding.sources, holding.songs, holding.licences) == (ROWS, 2, 2, ("CC0",))
        assert holding.minutes == pytest.approx(ROWS * 2 / 60)
    assert [name for name in found if not found[name].trainable] == ["tuba"]
    assert found["tuba"].splits == ("unseen",)
    fewer = Library(tones.folder, tones.rows[1 : ROWS + 1])
    assert [(h.instrument, h.files, h.songs, h.trainable) for h in inspect.holdings(fewer)] == [
        ("drums", 3, 1, True),
        ("snare", 1, 1, False),
    ]


def test_command_shows_draws_and_writes_the_same_tasks_again(tones: Library, tmp_path: Path) -> None:
    app = Typer()
    app.command()(command)
    arguments = [str(tones.folder), "-o", str(tmp_path), "--listen", "3", "--preset", "tiny", "--seed", "5"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "32 files, 8 instruments" in result.output
    assert result.output.count("task ") == 3
    assert (tmp_path / "library.png").read_bytes().startswith(b"\x89PNG")
    for number in (1, 2, 3):
        sounds = {}
        assert (tmp_path / f"task-{number:02d}-mixture.wav").exists()
        for path in tmp_path.glob(f"task-{number:02d}-*.wav"):
            name = path.stem.split("-", 2)[2]
            sounds[name], rate = audio.read(path)
            assert rate == 44100
        assert sounds["mixture"].shape == sounds["target"].shape
        assert np.abs(sounds["mixture"]).max() > 0.05
        clips = {name: sound for name, sound in sounds.items() if name not in ("mixture", "target")}
        assert {"alone", "among"} & clips.keys()
        assert all(name.split("-")[0] in ROLES and np.abs(sound).max() > 1e-3 for name, sound in clips.items())
    inspect.write_tasks(tones, tmp_path / "again", 3, "tiny", seed=5)
    for path in (tmp_path / "again").iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()
