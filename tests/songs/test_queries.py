"""What is said of query clips."""

from __future__ import annotations

import numpy as np
import pytest

from fewshot_sep.songs.queries import examine

RATE = 8000


def tone(seconds: float, level_dbfs: float = -12.0) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return (10 ** (level_dbfs / 20) * np.sqrt(2) * np.sin(2 * np.pi * 440 * time))[None].astype(np.float32)


def test_a_good_clip_gets_its_figures_and_no_remark() -> None:
    found = examine(np.concatenate([tone(3), np.zeros((1, 2 * RATE), np.float32)], axis=1), RATE)
    assert found["sound (s)"] == pytest.approx(3, abs=0.1)
    assert found["level (dBFS)"] == pytest.approx(-12, abs=0.2)
    assert found["remarks"] == []


def test_silence_does_not_count_as_length() -> None:
    (remark,) = examine(np.concatenate([tone(0.6), np.zeros((1, 5 * RATE), np.float32)], axis=1), RATE)["remarks"]
    assert remark.startswith("only 0.6 s of it sound")


def test_a_quiet_clip_is_said() -> None:
    (remark,) = examine(tone(3, -52), RATE)["remarks"]
    assert "quiet (-52 dBFS)" in remark


def test_stereo_and_tiny_clips() -> None:
    assert examine(np.repeat(tone(3), 2, axis=0), RATE)["remarks"] == []
    assert examine(np.ones((1, 1), np.float32), RATE)["sound (s)"] <= 0.05


@pytest.mark.parametrize(("odds", "remarks"), [(None, 0), (-3.0, 0), (5.0, 1)])
def test_a_crowded_clip_is_said(odds: float | None, remarks: int) -> None:
    found = examine(tone(3), RATE, odds)
    assert found.get("polyphony_logit") == odds
    assert len(found["remarks"]) == remarks
    assert all("more than one instrument" in remark for remark in found["remarks"])
