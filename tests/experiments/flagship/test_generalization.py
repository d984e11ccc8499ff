from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fewshot_sep import cli, weights
from fewshot_sep.experiments.flagship import generalization
from fewshot_sep.experiments.flagship.generalization import Method, untrained
from fewshot_sep.loops.library import Library
from fewshot_sep.loops.tasks.mixing import TasksWithSources
from fewshot_sep.loops.tasks.pool import AudioPool
from fewshot_sep.systems import build

RATE = 44100


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generalization, "BATCH", 2)


@pytest.fixture
def pool(tones: Library) -> AudioPool:
    return generalization.audio_pool(tones, RATE)


def test_tasks_are_of_rows_that_training_did_not_use_and_always_the_same(tones: Library, pool: AudioPool) -> None:
    assert {row.instrument for row in pool.rows} == {row.instrument for row in tones}
    assert sum(row.instrument == "piano" for row in pool.rows) == 2  # those of the training split are left out
    method = generalization.network(build("tiny").eval())
    found = generalization.improvements(method, pool, 4)
    assert len(found.seen) == len(found.held_out) == 4
    assert generalization.improvements(method, pool, 4) == found


def test_the_mixture_gains_nothing_and_the_ideal_ratio_mask_much(pool: AudioPool) -> None:
    found = {name: generalization.improvements(untrained(name), pool, 3) for name in ("mixture", "irm")}
    np.testing.assert_allclose([*found["mixture"].seen, *found["mixture"].held_out], 0, atol=1e-3)
    assert min(*found["irm"].seen, *found["irm"].held_out) > 10


def test_an_oracle_query_is_the_target(pool: AudioPool) -> None:
    given: list[TasksWithSources] = []

    def silence(batch: TasksWithSources) -> np.ndarray:
        given.append(batch)
        return np.zeros_like(batch.tasks.target.numpy())

    for oracle_query in (False, True):
        generalization.coherent_improvements(Method(silence, untrained("nmf").preset), pool, 2, oracle_query)
    usual, oracle = given[0].tasks, given[-1].tasks
    sounding = oracle.target.flatten(1).any(1)
    assert usual.mixture.equal(oracle.mixture) and not usual.evidence.alone.equal(oracle.evidence.alone)
    assert oracle.evidence.alone[sounding, 0].equal(oracle.target[sounding].mean(1))


def test_chamber_music_is_measured_where_there_is_some(tones: Library, pool: AudioPool) -> None:
    assert generalization.chamber_pool(pool) is None
    duet = ("piano", "flute")
    rows = tuple(replace(row, song=f"chamber-{row.song}") if row.instrument in duet else row for row in tones)
    found = generalization.chamber_pool(generalization.audio_pool(Library(tones.folder, rows), RATE))
    assert found is not None and {row.instrument for row in found.rows} == set(duet)


def test_as_a_command(tones: Library, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "w.safetensors"
    weights.save(build("tiny"), path, {})

    def run(*options: str) -> int | str | None:
        with pytest.raises(SystemExit) as ended:
            cli.run(generalization.generalization, "generalization", [str(tones.folder), *options])
        return ended.value.code

    assert run(str(path), str(path), "--tasks", "2", "--control", "irm") == 0
    lines = capsys.readouterr().out.strip().splitlines()[-3:]
    for name, line in zip(("w.safetensors", "w.safetensors", "irm"), lines, strict=True):
        assert re.fullmatch(rf"\| {name}( \| -?\d+\.\d\d / -?\d+\.\d\d){{2}} \|  \|  \|", line)
    assert run() == 2 and "--control" in capsys.readouterr().err
