from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fewshot_sep import weights
from fewshot_sep.errors import BadItems
from fewshot_sep.experiments.evaluation import runs
from fewshot_sep.experiments.evaluation.evaluate import evaluate
from fewshot_sep.experiments.flagship import card
from fewshot_sep.systems import build


def test_the_card_holds_what_the_run_found_and_nothing_else_changes(item_folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    path, run = tmp_path / "w.safetensors", tmp_path / "run"
    weights.save(build("tiny"), path, {"steps": 3, "evaluation": {"older": 1}})
    evaluate(item_folder, run, ["segment", "silence"], [str(path)], "same,absent")
    before = weights.card(path)
    found = card.add_evaluation(path, run)
    after = weights.card(path)
    assert after.pop("evaluation") == found and before.pop("evaluation") and after == before
    assert set(found) == {"items", "note", "segment"} and found["segment"]["same"]["items"] == 5
    rows = [row for row in runs.read_rows(run) if row["method"] == "segment"]
    gains = sorted(row["si_sdri"] for row in rows if row["kind"] == "same")
    assert found["segment"]["same"]["si_sdri"] == pytest.approx([gains[2], sum(gains) / 5], abs=0.01)
    levels = [row["level"] for row in rows if row["kind"] == "absent"]
    assert found["segment"]["absent"]["level"][1] == pytest.approx(sum(levels) / len(levels), abs=0.01)
    weights.verify(path)


def test_a_run_with_other_weights_is_refused(item_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    weights.save(build("tiny"), path, {})
    with pytest.raises(BadItems, match="no readable evaluation"):
        card.add_evaluation(path, tmp_path / "run")
    evaluate(item_folder, tmp_path / "run", ["silence"], [], "absent")
    with pytest.raises(BadItems, match="no method there had these weights"):
        card.add_evaluation(path, tmp_path / "run")
