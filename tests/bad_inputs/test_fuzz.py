"""Thousands of hostile inputs: the same few hundred in the fast tier, twenty minutes of new ones in the slow."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.bad_inputs import fuzz

CASES, BATCHES = 400, 8
SECONDS = float(os.environ.get("FEWSHOT_SEP_FUZZ_SECONDS", 1200))


@pytest.mark.parametrize("batch", range(BATCHES))
def test_the_same_inputs_every_time(batch: int) -> None:
    for seed in range(batch, CASES, BATCHES):
        fuzz.attack(seed)


@pytest.mark.parametrize("seed", [5110939, 40033211, 1795891382389])
def test_what_was_not_held_once(seed: int) -> None:
    fuzz.attack(seed)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 300)
def test_new_inputs() -> None:
    assert fuzz.main(SECONDS, seed=time.time_ns() // 10**9 * 1000) == 0


def test_a_failure_names_its_seed_and_the_smallest_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        assert b"R" not in path.read_bytes()

    monkeypatch.setattr(fuzz, "MAKERS", [lambda random, folder: fuzz.Case("x", folder / "x", b"..RIFF..", refuse)])
    with pytest.raises(AssertionError, match=r"(?s)seed 7, x: .*smallest input, 1 bytes, base64: Ug=="):
        fuzz.attack(7)
