"""Adapting to query and song."""

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
from experiments.flagship.adaptation import FRAMES, Adaptation, Tasks
from fewshot_sep import Separator, metrics
from fewshot_sep.errors import FewshotSepError
from fewshot_sep.systems import build

RATE = 44100


def tone(hertz: float, seconds: float) -> np.ndarray:
    return (0.2 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)[None]


def separator(preset: str = "tiny") -> Separator:
    torch.manual_seed(0)
    return Separator(build(preset), "cpu")


@pytest.fixture
def case() -> Case:
    low, high = tone(220, 2), tone(3000, 2)
    return Case(low + high, [(tone(220, 1), RATE)], RATE, "low", low, [high])


def test_it_learns_its_tasks_and_leaves_the_weights_alone(case: Case) -> None:
    model = separator()
    before = {name: tensor.clone() for name, tensor in model.system.state_dict().items()}
    plain = model.separate(case.mixture, case.queries, RATE).target
    adapted = Adaptation(model, case, seed=1)
    np.testing.assert_allclose(adapted.estimate(), plain, atol=1e-6)
    for _ in range(25):
        adapted.step()
    assert np.mean(adapted.losses[-5:]) < np.mean(adapted.losses[:5])
    assert np.abs(adapted.estimate() - plain).max() > 1e-4
    np.testing.assert_allclose(model.separate(case.mixture, case.queries, RATE).target, plain, atol=1e-6)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.system.state_dict().items())


def test_as_many_steps_from_the_same_seed_give_the_same(case: Case) -> None:
    found = []
    for seed in (1, 1, 2):
        adapted = Adaptation(separator(), case, seed)
        adapted.step()
        adapted.step()
        found.append(adapted.estimate())
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[0] - found[2]).max() > 0


def test_tasks_are_made_of_sounding_query_and_what_the_first_estimate_left() -> None:
    song = torch.full((2, 3, 2 * FRAMES), 1 + 0j)
    estimate = torch.full_like(song, 0.25)
    query = torch.zeros(2, 3, 4 * FRAMES, dtype=song.dtype)
    query[..., FRAMES] = 5j
    tasks = Tasks(song, estimate, query, seed=0)
    drawn = [tasks.batch() for _ in range(50)]
    targets, rests = (torch.cat(parts) for parts in zip(*drawn, strict=True))
    assert (rests == 0.75).all()
    kept, added = targets.real.flatten(1).amax(1), targets.imag.flatten(1).amax(1)
    absent = (kept == 0) & (added == 0)
    assert (kept[~absent] == 0.25).all()
    assert (added[~absent] > 0).all(), "every target but the absent ones has a piece of the query that sounds"
    assert 0.15 < absent.float().mean() < 0.45


def test_a_system_without_film_layers_is_refused(case: Case) -> None:
    with pytest.raises(FewshotSepError, match="tiny-image has no FiLM layers"):
        Adaptation(separator("tiny-image"), case, seed=0)


def test_rows_and_report(case: Case, tmp_path: Path) -> None:
    model, present = separator(), Item("a.same", "a", "banjo", "same", "mix", "query", "low", ("high",))
    gone = replace(present, id="a.absent", target="flute", kind="absent", reference=None)
    rows = adaptation.measure(model, present, case, [0, 0.2], searched=False)
    rows += adaptation.measure(model, gone, case._replace(reference=None), [0, 0.2], searched=True)
    assert [row["steps"] > 0 for row in rows] == [False, True, False, True]
    plain = model.separate(case.mixture, case.queries, RATE).target
    gain = metrics.si_sdr(case.reference, plain) - metrics.si_sdr(case.reference, case.mixture)
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
