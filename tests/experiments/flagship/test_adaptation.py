"""What adapting to query and song gives, as rows and as a report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.benchmark.items import Item
from experiments.benchmark.methods import Case
from experiments.flagship import adaptation
from fewshot_sep import Separator, metrics
from fewshot_sep.systems import build

RATE = 44100


def tone(hertz: float) -> np.ndarray:
    return (0.2 * np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)).astype(np.float32)[None]


def test_rows_and_report(tmp_path: Path) -> None:
    torch.manual_seed(0)
    low, high = tone(220), tone(3000)
    case = Case(low + high, [(tone(220), RATE)], RATE, "low", low, [high])
    model, present = (
        Separator(build("tiny"), "cpu"),
        Item("a.same", "a", "banjo", "same", "mix", "query", "low", ("high",)),
    )
    gone = replace(present, id="a.absent", target="flute", kind="absent", reference=None)
    rows = adaptation.measure(model, present, case, [0, 0.2], searched=False)
    rows += adaptation.measure(model, gone, case._replace(reference=None), [0, 0.2], searched=True)
    assert [row["steps"] > 0 for row in rows] == [False, True, False, True]
    plain = model.separate(case.mixture, case.queries, RATE).target
    gain = metrics.si_sdr(low, plain) - metrics.si_sdr(low, case.mixture)
    assert rows[0]["si_sdri"] == pytest.approx(gain, abs=1e-3)
    assert [row["seen"] for row in rows] == [False, False, True, True]
    assert "si_sdri" not in rows[2] and rows[2]["level"] < 0

    adaptation.write(tmp_path, {"seconds": [0, 0.2]}, rows)
    assert json.loads((tmp_path / "adaptation.json").read_text())["rows"] == rows
    report = (tmp_path / "adaptation.md").read_text()
    change = rows[1]["si_sdri"] - rows[0]["si_sdri"]
    (line,) = [line for line in report.splitlines() if line.startswith("| unseen | 0.2 |")]
    assert f"{change:+.2f} [{change:+.2f}, {change:+.2f}]" in line
    change = rows[3]["level"] - rows[2]["level"]
    (line,) = [line for line in report.splitlines() if line.startswith("| absent | 0.2 |")]
    assert f"{change:+.2f} [{change:+.2f}, {change:+.2f}]" in line
    assert adaptation.done(tmp_path, {"seconds": [0, 0.2]}) == rows
    assert adaptation.done(tmp_path, {"seconds": [0, 5]}) == []
