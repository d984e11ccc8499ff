from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from fewshot_sep import weights
from fewshot_sep.errors import BadItems
from fewshot_sep.experiments.evaluation import runs
from fewshot_sep.experiments.evaluation.evaluate import evaluate
from fewshot_sep.experiments.flagship import card
from fewshot_sep.systems import build


@pytest.fixture
def path(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    weights.save(build("tiny"), tmp_path / "w.safetensors", {"steps": 3, "evaluation": {"older": 1}})
    return tmp_path / "w.safetensors"


def test_figures_take_the_place_of_earlier_ones_and_nothing_else_changes(path: Path, tmp_path: Path) -> None:
    same = {"items": 5, "retrieved": 0.8} | {
        name: {"median": [1.234, 0, 2], "mean": [2.346, 1, 3]} for name in ("si_sdri", "si_sdr", "sdri")
    }
    absent = {"items": 2, "level": {"median": [-20, -30, -10], "mean": [-21, -30, -10]}}
    methods = {
        "segment": {"is": f"w ({weights.sha256(path)[:12]})", "kinds": {"same": same, "absent": absent}},
        "silence": {"is": "silence", "kinds": {}},
    }
    (tmp_path / "metrics.json").write_text(json.dumps({"items": "set", "methods": methods}))
    before = weights.card(path)
    found = card.card(path, tmp_path)
    assert weights.card(path) == {**before, "evaluation": found}
    assert set(found) == {"items", "note", "segment"}
    assert found["segment"]["same"]["si_sdri"] == [1.23, 2.35]
    assert found["segment"]["absent"] == {"items": 2, "level": [-20, -21]}


@pytest.mark.slow
def test_figures_are_those_of_an_evaluation(path: Path, item_folder: Path, tmp_path: Path) -> None:
    evaluate(item_folder, tmp_path / "run", ["segment", "silence"], [str(path)], "same,absent")
    found = card.card(path, tmp_path / "run")["segment"]
    rows = [row for row in runs.read_rows(tmp_path / "run") if row["method"] == "segment"]
    si_sdri = sorted(row["si_sdri"] for row in rows if row["kind"] == "same")
    assert found["same"]["items"] == len(si_sdri) == 5
    assert found["same"]["si_sdri"] == pytest.approx([si_sdri[2], sum(si_sdri) / 5], abs=0.01)
    levels = [row["level"] for row in rows if row["kind"] == "absent"]
    assert found["absent"]["level"][1] == pytest.approx(sum(levels) / len(levels), abs=0.01)


def test_a_run_with_other_weights_is_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(BadItems, match="no readable evaluation"):
        card.card(path, tmp_path)
    other = {"items": "set", "methods": {"segment": {"is": "other (0123456789ab)", "kinds": {}}}}
    (tmp_path / "metrics.json").write_text(json.dumps(other))
    with pytest.raises(BadItems, match="no method there had these weights"):
        card.card(path, tmp_path)
