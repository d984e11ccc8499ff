from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fewshot_sep import audio
from fewshot_sep.experiments.kit import cost, excerpt


def test_waiting_takes_time_and_no_work() -> None:
    wall, cpu = cost.clock(lambda: time.sleep(0.2))
    assert wall >= 0.2 and cpu < 0.1


def test_work_and_memory_of_a_child_count() -> None:
    code = "x = bytearray(300 << 20); sum(range(5_000_000))"
    _, cpu = cost.clock(lambda: subprocess.run([sys.executable, "-c", code], check=True))
    peak = cost.peak_mib(own=False)
    assert cpu > 0.05 and (peak is None or peak > 300)
    assert (cost.peak_mib() or 0) >= (peak or 0)


def test_an_excerpt_is_repeated_to_its_length() -> None:
    (short, rate), (long, _) = excerpt.song(10), excerpt.song(40)
    assert short.shape == (2, 10 * rate) and long.shape == (2, 40 * rate)
    assert np.array_equal(long[:, 30 * rate :], short)


@pytest.mark.slow
def test_the_whole_command_is_timed_stage_by_stage(tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    audio.write(song, *excerpt.song(5))
    found = cost.of_command(song, excerpt.QUERY, "none", tmp_path)
    assert found["audio_s"] == pytest.approx(5) and found["grid"] == "none"
    assert 0 < found["network"] <= found["total"] < found["process"]
