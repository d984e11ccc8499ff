from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewshot_sep import audio, weights
from fewshot_sep.experiments.evaluation import items, measure, runs
from fewshot_sep.experiments.evaluation.case import Array, Case
from fewshot_sep.experiments.evaluation.conditions import Sounds, derive
from fewshot_sep.experiments.evaluation.items import Item
from fewshot_sep.experiments.evaluation.methods import choose
from fewshot_sep.metrics import bss_eval

RNG = np.random.default_rng(0)
REFERENCE, OTHER = (RNG.standard_normal((2, 6000)).astype(np.float32) * scale for scale in (0.3, 0.5))
CASE = Case(REFERENCE + OTHER, [(REFERENCE, 8000)], 8000, "flute", REFERENCE, [OTHER])
ITEM = Item("x", "song", "flute", "same", "m.wav", "q.wav", "r.wav", ("o.wav",))


def db(power: float) -> float:
    return 10 * np.log10(power)


def test_figures_by_their_formulas() -> None:
    estimate = (0.8 * REFERENCE + 0.2 * OTHER).astype(np.float32)
    row = measure.score(ITEM, CASE, estimate)
    s, e, m = (x.astype(float) for x in (REFERENCE, estimate, CASE.mixture))
    assert row["level"] == pytest.approx(db(np.sum(e**2) / np.sum(m**2)), abs=1e-3)
    assert row["sdr"] == pytest.approx(db(np.sum(s**2) / np.sum((s - e) ** 2)), abs=1e-3)
    assert row["sdri"] == pytest.approx(row["sdr"] - db(np.sum(s**2) / np.sum((s - m) ** 2)), abs=1e-3)
    mono = [x.mean(0) - x.mean() for x in (s, e, m)]

    def si_sdr(wanted: Array, found: Array) -> float:
        projected = (wanted @ found) / (wanted @ wanted) * wanted
        return db(np.sum(projected**2) / np.sum((projected - found) ** 2))

    assert row["si_sdr"] == pytest.approx(si_sdr(mono[0], mono[1]), abs=1e-3)
    assert row["si_sdri"] == pytest.approx(si_sdr(mono[0], mono[1]) - si_sdr(mono[0], mono[2]), abs=1e-3)
    assert row["target_level"] == pytest.approx(db(np.sum(e**2) / np.sum(s**2)), abs=1e-3)
    error = (m - s) - (m - e)
    assert row["sdri"] == pytest.approx(db(np.sum((m - s) ** 2) / np.sum(error**2)), abs=1e-3), "SDR of the residual"
    assert row["retrieved"] and not row["collapsed"] and row["sounds"]


def test_bss_eval_is_of_target_and_residual() -> None:
    estimate = (REFERENCE + 0.1 * OTHER + 0.05 * RNG.standard_normal(REFERENCE.shape)).astype(np.float32)
    row = measure.score(ITEM, CASE, estimate)
    stems = np.stack([REFERENCE.mean(0), OTHER.mean(0)]).astype(float)
    found = np.stack([estimate.mean(0), (CASE.mixture - estimate).mean(0)]).astype(float)
    expected = bss_eval(stems, found)
    for name, values in expected._asdict().items():
        assert row[f"bss_{name}"] == pytest.approx(float(values[0]), abs=1e-2)
    assert "bss_sdr" not in measure.score(replace(ITEM, kind="clips"), CASE, estimate)


def test_the_mixture_has_interference_and_no_artefacts() -> None:
    row = measure.score(ITEM, CASE, CASE.mixture)
    assert (row["sdri"], row["si_sdri"], row["level"]) == (0, 0, 0)
    assert row["bss_sir"] == pytest.approx(row["bss_sdr"], abs=0.01)
    assert row["bss_sir"] == pytest.approx(db(0.3**2 / 0.5**2), abs=2)  # a filter of 512 taps can do a little
    assert row["bss_sar"] > 60 and not row["retrieved"]


def test_silence_collapses_and_scores_the_floor() -> None:
    row = measure.score(ITEM, CASE, np.zeros_like(REFERENCE))
    assert row["collapsed"] and not row["retrieved"] and row["si_sdr"] == -30
    assert np.isnan(row["bss_sdr"]) and measure._plain(row["bss_sdr"]) is None


@pytest.mark.parametrize("reference", [None, np.zeros_like(REFERENCE), 1e-4 * REFERENCE])
def test_a_target_that_does_not_sound_leaves_only_the_level(reference: Array | None) -> None:
    row = measure.score(ITEM, CASE._replace(reference=reference), 0.1 * CASE.mixture)
    assert set(row) == {"level", "sounds"} and not row["sounds"]
    assert row["level"] == pytest.approx(-20)


def test_a_wrong_query_is_scored_against_both() -> None:
    row = measure.score(replace(ITEM, kind="wrong"), CASE, OTHER, queried=OTHER)
    assert row["followed"] and row["asked_si_sdri"] > 50 and row["si_sdri"] < 0


def run(item_folder: Path, out: Path, method: str = "mixture") -> list[dict[str, Any]]:
    out.mkdir(exist_ok=True)
    return list(measure.run(choose([method], [])[0], items.read(item_folder), item_folder, out))


def test_a_stopped_run_is_resumed(here: None, item_folder: Path, tmp_path: Path) -> None:
    first = run(item_folder, tmp_path / "run")
    path = tmp_path / "run" / "rows.jsonl"
    lines = path.read_text().splitlines()
    assert len(lines) == len(first) == 10
    path.write_text("\n".join(lines[:4]) + "\n" + lines[4][:20])  # cut off within a line
    again = run(item_folder, tmp_path / "run")
    assert {row["id"] for row in again} == {row["id"] for row in first}
    assert len(path.read_text().splitlines()) == 4 + 1 + 6
    assert len(runs.read_rows(tmp_path / "run")) == 10
    run(item_folder, tmp_path / "run")
    assert len(path.read_text().splitlines()) == 4 + 1 + 6


def test_what_changed_is_measured_again(here: None, item_folder: Path, tmp_path: Path) -> None:
    run(item_folder, tmp_path / "run")
    path = tmp_path / "run" / "rows.jsonl"
    mixture, rate = audio.read(item_folder / "audio/b.mix.wav")
    audio.write(item_folder / "audio/b.mix.wav", 0.9 * mixture, rate)
    run(item_folder, tmp_path / "run")
    new = [json.loads(line) for line in path.read_text().splitlines()[10:]]
    assert new and {row["song"] for row in new} == {"b"}


def test_a_failure_is_a_row_and_is_tried_again(here: None, item_folder: Path, tmp_path: Path) -> None:
    query, rate = audio.read(item_folder / "audio/b.bass.query.wav")
    audio.write(item_folder / "audio/b.bass.query.wav", 0 * query, rate)
    choice = choose([f"cmd:{'false'}"], [])[0]
    (tmp_path / "run").mkdir()
    for _ in range(2):
        rows = list(measure.run(choice, items.read(item_folder)[:1], item_folder, tmp_path / "run"))
        assert "ended with 1" in rows[0]["failed"] and "si_sdr" not in rows[0]
    assert len((tmp_path / "run" / "rows.jsonl").read_text().splitlines()) == 2


def test_equal_questions_are_answered_once(item_folder: Path) -> None:
    worker = measure.Worker(choose(["nmf"], [])[0], item_folder)
    asked: list[Case] = []
    worker.method = lambda case: (asked.append(case), case.mixture)[1]  # type: ignore[func-returns-value]
    found = derive(items.read(item_folder), ["same", "wrong"], Sounds(item_folder))
    wrong = next(item for item in found if item.kind == "wrong")
    plain = next(item for item in found if item.mix == wrong.mix and item.target == wrong.queried)
    worker.answer(plain)
    worker.answer(wrong)
    assert len(asked) == 1
    worker.answer(found[0] if found[0] is not plain else found[1])
    assert len(asked) == 2


def test_careless_marks_are_another_question(item_folder: Path) -> None:
    worker = measure.Worker(choose(["nmf"], [])[0], item_folder)
    asked: list[Case] = []
    worker.method = lambda case: (asked.append(case), case.mixture)[1]  # type: ignore[func-returns-value]
    item = next(item for item in items.read(item_folder) if item.kind == "same")
    item = replace(item, among=item.mix, without=item.others[0])
    for one in (item, *derive([item], ["borders"], Sounds(item_folder))):
        worker.answer(one)
    first, second = (case.queries[0][0] for case in asked)
    assert not np.array_equal(first, second)


def test_an_answer_of_another_shape_is_a_failure(item_folder: Path) -> None:
    worker = measure.Worker(choose(["mixture"], [])[0], item_folder)
    worker.method = lambda case: case.mixture[:, :-1]
    assert "the mixture's shape" in worker.answer(items.read(item_folder)[0]).problem


def test_seen_is_the_sets_word_or_the_recipes(item_folder: Path) -> None:
    item = items.read(item_folder)[0]
    choice, sounds = choose(["mixture"], [])[0], Sounds(item_folder)
    answer = measure.Answer(None, problem="none")
    assert measure.row_of(choice, item, answer, sounds)["seen"]
    assert not measure.row_of(choice, replace(item, target="bassoon"), answer, sounds)["seen"]
    assert measure.row_of(choice, replace(item, target="bassoon", seen=True), answer, sounds)["seen"]


def test_every_method_has_a_digest_of_its_own(item_folder: Path) -> None:
    found = items.read(item_folder)[:1]
    trained = ["label-twin", "wavenet", "illes2020"]
    choices = choose(["nmf", "irm", "segment", *trained], [f"{name}={weights.bundled()}" for name in trained])
    digests = [measure.digest(choice, found, item_folder)[found[0].id] for choice in choices]
    assert len(set(digests)) == 6
