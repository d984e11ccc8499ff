from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from fewshot_sep import cli, presets, weights
from fewshot_sep.experiments.flagship import generalization
from fewshot_sep.experiments.flagship.generalization import improvements, network
from fewshot_sep.loops.library import Library
from fewshot_sep.loops.tasks.pool import AudioPool
from fewshot_sep.systems import build

RATE, PRESET = 44100, presets.get("tiny")


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generalization, "BATCH", 2)


@pytest.fixture
def pool(tones: Library) -> AudioPool:
    return generalization.audio_pool(tones, RATE)


def test_tasks_are_of_rows_that_training_did_not_use_and_always_the_same(tones: Library, pool: AudioPool) -> None:
    assert {row.instrument for row in pool.rows} == {row.instrument for row in tones}
    assert sum(row.instrument == "piano" for row in pool.rows) == 2  # those of the training split are left out
    separate = network(build("tiny").eval())
    found = improvements(separate, pool, PRESET, 4)
    assert len(found.seen) == len(found.held_out) == 4
    assert improvements(separate, pool, PRESET, 4) == found


def test_the_mixture_gains_nothing_and_the_target_much(pool: AudioPool) -> None:
    mixture = improvements(lambda tasks: tasks.mixture.numpy(), pool, PRESET, 3)
    truth = improvements(lambda tasks: tasks.target.numpy(), pool, PRESET, 3)
    np.testing.assert_allclose([*mixture.seen, *mixture.held_out], 0, atol=1e-3)
    assert min(*truth.seen, *truth.held_out) > 30


def test_as_a_command(tones: Library, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights.save(build("tiny"), tmp_path / "w.safetensors", {})
    arguments = [str(tones.folder), *[str(tmp_path / "w.safetensors")] * 2, "--tasks", "2"]
    with pytest.raises(SystemExit, match="0"):
        cli.run(generalization.generalization, "generalization", arguments)
    for line in capsys.readouterr().out.strip().splitlines()[-2:]:
        assert re.fullmatch(r"\| w.safetensors( \| -?\d+\.\d / -?\d+\.\d){2} \|", line)
