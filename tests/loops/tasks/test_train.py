"""From a library to weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fewshot_sep import weights
from fewshot_sep.errors import BadLibrary
from fewshot_sep.loops import library
from fewshot_sep.loops.library import Library
from fewshot_sep.loops.tasks.pool import AudioPool
from fewshot_sep.loops.tasks.train import train, validation_pool
from tests.loops.tasks.tones import INSTRUMENTS, RATE, ROWS, make_library


@pytest.fixture(scope="module")
def loud_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_library(tmp_path_factory.mktemp("loud"), rate=22_050, seconds=1.0).folder


def run(folder: Path, output: Path, preset: str, steps: int, **more: Any) -> Path:
    options = {"steps": steps, "check_every": 2, "warm_up": 1, "seed": 3, "device": "cpu", **more}
    return train(folder, output, preset=preset, batch=2, emphasis=(("piano", 2.0),), options=options)


@pytest.mark.parametrize("preset", ["tiny", pytest.param("tiny-informed", marks=pytest.mark.slow), "tiny-image"])
def test_from_a_library_to_weights(loud_library: Path, tmp_path: Path, preset: str) -> None:
    path = run(loud_library, tmp_path, preset, steps=2)
    assert path == tmp_path / "weights.safetensors"
    assert weights.load(path).preset.name == preset
    card = weights.card(path)
    assert (card["preset"], card["steps"], card["examples"], card["seed"]) == (preset, 2, 4, 3)
    assert card["optimizer"] == ("adamw" if preset == "tiny-image" else "muon")
    assert card["data"]["files"] == ROWS * (len(INSTRUMENTS) - 1)
    assert card["data"]["instruments"] == len(INSTRUMENTS) - 1
    assert card["data"]["files_by_licence"] == {"CC0": card["data"]["files"]}
    assert "tuba" in card["data"]["held_out"]
    for part in (f"--preset {preset}", "--steps 2", "--batch 2", "--seed 3"):
        assert part in card["command"]
    assert str(tmp_path) not in json.dumps(card)
    assert (tmp_path / "curve.png").is_file()
    assert list(tmp_path.glob("log/*/metrics.csv"))
    if preset == "tiny":
        more = weights.card(run(loud_library, tmp_path, preset, steps=4))
        assert more["steps"] == 4, "resumed"
        assert more["sha256"] != card["sha256"] and more["hours"] >= card["hours"]


@pytest.mark.slow
def test_two_processes_learn_twice_as_many_examples(loud_library: Path, tmp_path: Path) -> None:
    card = weights.card(run(loud_library, tmp_path, "tiny", steps=2, devices=2))
    assert (card["steps"], card["examples"]) == (2, 8)
    assert "--batch 2" in card["command"]
    assert "--processes 2" in card["command"]


def test_a_validation_split_that_is_too_small_is_not_used(tones: Library) -> None:
    def with_valid(names: set[str]) -> Library:
        return Library(tones.folder, tuple(replace(row, split="valid") if row.path in names else row for row in tones))

    pairs = {"piano/0.wav", "piano/1.wav", "flute/0.wav", "flute/1.wav"}
    pool = AudioPool(tones, "train", RATE)
    assert validation_pool(with_valid({"piano/0.wav", "piano/1.wav"}), pool) is pool
    assert {row.path for row in validation_pool(with_valid(pairs), pool).rows} == pairs


def test_a_library_that_is_too_small_writes_nothing(tones: Library, tmp_path: Path) -> None:
    rows = [row for row in tones if row.path == "piano/0.wav"]
    (tmp_path / "small/piano").mkdir(parents=True)
    (tmp_path / "small" / rows[0].path).write_bytes(tones.file(rows[0]).read_bytes())
    library.write(tmp_path / "small", rows)
    with pytest.raises(BadLibrary, match="two instruments"):
        run(tmp_path / "small", tmp_path / "run", "tiny", steps=2)
    assert not (tmp_path / "run").exists()
