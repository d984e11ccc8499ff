"""The ways through a song, on beats at 100 bpm, which is slower than the tempo that bars are brought to."""

from __future__ import annotations

import numpy as np
import pytest

from fewshot_sep import Separator, beats, metrics, presets
from fewshot_sep.beats import Beats
from fewshot_sep.experiments.evaluation.case import Array, Case
from fewshot_sep.experiments.evaluation.methods import choose, load
from fewshot_sep.experiments.whole_songs import methods
from fewshot_sep.systems import build

RATE = presets.get("tiny").sample_rate
NOISE = np.random.default_rng(0).uniform(-0.3, 0.3, (1, 6 * RATE)).astype(np.float32)


class Identity(Separator):
    """Its target is the mixture: what the song's target lacks is the fault of the way."""

    def estimate(self, mixture: Array, conditioning: object, sample_rate: int, time_scale: float = 1.0) -> Array:
        return mixture.copy()


@pytest.mark.parametrize(
    ("name", "exact"),
    [("plain", True), ("thesis", False), ("audio", False), ("mask", True), ("native", True), ("hop", True)],
)
def test_only_stretched_sound_does_not_come_back(name: str, exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    times = np.arange(0, 6, 0.6)
    found = Beats(times, np.arange(len(times)) % 4 + 1, np.full(len(times), 0.6), 4, "test")
    monkeypatch.setattr(beats, "track", lambda *given, **more: found)
    monkeypatch.setattr(methods, "shipped", lambda: Identity(build("tiny"), "cpu"))
    (choice,) = choose([f"fewshot_sep.experiments.whole_songs.methods:{name}"], [])
    target = load(choice)(Case(NOISE, [(NOISE, RATE)], RATE, "noise", None, []))
    assert target.shape == NOISE.shape
    assert (metrics.si_sdr(NOISE, target) > 40) == exact
