"""The whole ablation at the size of a test: tones as a library, two variants, items of two songs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fewshot_sep import plots, weights
from fewshot_sep.errors import FewshotSepError
from fewshot_sep.experiments.flagship import ablation, settings
from fewshot_sep.experiments.kit.variants import WEIGHTS
from fewshot_sep.loops.library import Library
from fewshot_sep.loops.tasks import train
from fewshot_sep.systems import build

NAMES = ["recipe", "no-invented"]


def test_variants_are_trained_once_and_with_one_setting(
    tones: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "VALIDATION_BATCHES", 1)
    monkeypatch.setattr(plots, "loss_curve", lambda logs, picture: None)

    def trained(steps: int) -> dict[str, bytes]:
        ablation.ablation(tones.folder, tmp_path, None, NAMES, "tiny", steps, 2)
        return {name: (tmp_path / name / WEIGHTS).read_bytes() for name in NAMES}

    before = trained(1)
    assert before["recipe"] != before["no-invented"]
    assert trained(1) == before
    with pytest.raises(FewshotSepError, match="another steps"):
        trained(2)
    system = weights.load(tmp_path / "recipe" / WEIGHTS)
    initial = build("tiny").state_dict()
    assert any(not value.equal(initial[name]) for name, value in system.state_dict().items())


@pytest.mark.slow
def test_reports_on_what_was_trained(
    tones: Library, item_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "LIBRARY_TASKS", 3)
    monkeypatch.setattr(train, "VALIDATION_BATCHES", 1)
    ablation.ablation(tones.folder, tmp_path, item_folder, NAMES, "tiny", 2, 2)
    report = tmp_path / "report" / "report.md"
    content = json.loads((report.parent / "metrics.json").read_text())
    assert list(content) == NAMES
    assert all(len(content[name]["library"][sort]) == 3 for name in NAMES for sort in ("seen", "held_out"))
    lines = report.read_text().splitlines()
    assert [line.split(" | ")[0] for line in lines if line.startswith("| ")][1:3] == ["| recipe", "| no-invented"]


def test_a_variant_is_compared_item_by_item() -> None:
    def rows(method: str, values: list[float]) -> list[dict[str, object]]:
        facts = {"method": method, "kind": "same", "sounds": True, "song": "a"}
        return [{**facts, "id": str(number), "si_sdri": value} for number, value in enumerate(values)]

    methods = {"recipe": rows("recipe", [1, 2, 3]), "muon": rows("muon", [2, 4, 3])}
    found = ablation.difference(methods, "muon")
    assert found is not None and found.value == pytest.approx(1.0)
    assert ablation.difference(methods, "recipe") is None
