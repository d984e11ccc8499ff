"""What adapting to query and song gives, as rows and as a report."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fewshot_sep import Separator, metrics
from fewshot_sep.errors import FewshotSepError
from fewshot_sep.experiments.evaluation.case import Case
from fewshot_sep.experiments.evaluation.items import Item
from fewshot_sep.experiments.flagship import adaptation
from fewshot_sep.experiments.flagship.adaptation import FRAMES, Tasks, Tuning
from fewshot_sep.systems import build

RATE = 44100


def tone(hertz: float) -> np.ndarray:
    return (0.2 * np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)).astype(np.float32)[None]


LOW, HIGH = tone(220), tone(3000)
CASE = Case(LOW + HIGH, [(tone(220), RATE)], RATE, "low", LOW, [HIGH])


def separator(preset: str = "tiny") -> Separator:
    torch.manual_seed(0)
    return Separator(build(preset), "cpu")


def tuned(model: Separator, steps: int, seed: int = 0) -> Tuning:
    tuning = Tuning(model, CASE, seed)
    for _ in range(steps):
        tuning.step()
    return tuning


def test_it_learns_its_tasks_and_leaves_the_separator_alone() -> None:
    model = separator()
    before = {name: tensor.clone() for name, tensor in model.system.state_dict().items()}
    plain = model.separate(CASE.mixture, CASE.queries, RATE, contrast=False).target
    np.testing.assert_allclose(tuned(model, 0).estimate(), plain, atol=1e-6)
    tuning = tuned(model, 25)
    first, last = tuning.ends()
    assert first is not None and last is not None and last < first
    assert np.abs(tuning.estimate() - plain).max() > 1e-5
    changed = {name for name, tensor in tuning.system.state_dict().items() if (tensor != before[name]).any()}
    assert changed and all(name.endswith("film.scale_and_shift.bias") for name in changed)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.system.state_dict().items())


def test_as_many_steps_from_the_same_seed_give_the_same() -> None:
    model = separator()
    a, b, c = (tuned(model, 2, seed).estimate() for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c).max() > 0


@pytest.mark.parametrize(("rate", "channels"), [(16000, 2), (48000, 1)])
def test_any_rate_and_channels_and_several_queries(rate: int, channels: int) -> None:
    mixture = np.random.default_rng(0).uniform(-0.5, 0.5, (channels, rate)).astype(np.float32)
    queries = [(mixture[:, : rate // 2], rate), (tone(440).repeat(2, axis=0), RATE)]
    tuning = Tuning(separator(), Case(mixture, queries, rate, "", None, []), seed=0)
    tuning.step()
    assert tuning.estimate().shape == mixture.shape and np.isfinite(tuning.estimate()).all()


def test_tasks_are_a_sounding_piece_of_the_query_over_the_first_estimate() -> None:
    song = torch.full((2, 3, 2 * FRAMES), 1 + 0j)
    estimate = torch.full_like(song, 0.25)
    query = torch.zeros(2, 3, 4 * FRAMES, dtype=song.dtype)
    query[..., FRAMES] = 5j
    tasks = Tasks(song, estimate, query, seed=0)
    targets, rests = (torch.cat(parts) for parts in zip(*(tasks.batch() for _ in range(50)), strict=True))
    assert (rests == 0.75).all()
    kept, added = targets.real.flatten(1).amax(1), targets.imag.flatten(1).amax(1)
    absent = kept == 0
    assert (kept[~absent] == 0.25).all() and (added[~absent] > 0).all() and (added[absent] == 0).all()
    assert 0.15 < absent.float().mean() < 0.45


def test_a_network_without_film_layers_is_refused() -> None:
    with pytest.raises(FewshotSepError, match="tiny-image has no FiLM layers"):
        Tuning(separator("tiny-image"), CASE, seed=0)


def test_rows_and_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = count(0, 0.07)
    monkeypatch.setattr(adaptation, "time", SimpleNamespace(process_time=lambda: next(clock)))
    model, present = separator(), Item("a.same", "a", "banjo", "same", "mix", "query", "low", ("high",))
    gone = replace(present, id="a.absent", target="flute", kind="absent", reference=None)
    rows = adaptation.measure(model, present, CASE, [0, 0.2], searched=False)
    rows += adaptation.measure(model, gone, CASE._replace(reference=None), [0, 0.2], searched=True)
    assert [row["steps"] for row in rows] == [0, 2, 0, 2]  # 0.07 s to prepare and for each step
    plain = model.separate(CASE.mixture, CASE.queries, RATE, contrast=False).target
    gain = metrics.si_sdr(LOW, plain) - metrics.si_sdr(LOW, CASE.mixture)
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
