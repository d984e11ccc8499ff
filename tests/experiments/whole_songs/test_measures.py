"""What is measured on songs, on songs made for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fewshot_sep import audio
from fewshot_sep.beats import Beats
from fewshot_sep.experiments.whole_songs import figures, material, measures, report
from fewshot_sep.experiments.whole_songs.methods import OURS, WAYS
from fewshot_sep.separator import Separation

RATE = 8000


def beats(seconds: float, period: float = 0.5) -> Beats:
    times = np.arange(0, seconds, period)
    return Beats(times, np.arange(len(times)) % 4 + 1, np.full(len(times), 0.6), 4, "test")


def case(seconds: float = 6.0) -> material.Case:
    target, rest = np.random.default_rng(0).standard_normal((2, 1, round(seconds * RATE))).astype(np.float32)
    return material.Case("noise", target + rest, RATE, [(target, RATE)], target)


def test_gains_are_of_what_is_scored() -> None:
    given = case()._replace(left_out=((0, 3 * RATE),))
    found = given.mixture.copy()
    found[:, 3 * RATE :] = given.reference[:, 3 * RATE :]
    assert measures.gain(given, found) > 60
    assert measures.spectral_gain(given, found) > 60
    assert measures.gain(given, given.mixture) == pytest.approx(0, abs=1e-6)


def test_an_identity_shows_joins_without_overlap_and_a_vocoder(tmp_path: Path) -> None:
    given, found = case(), beats(6)
    snr = {way: measures.join_snr(given, way, found) for way in WAYS if way != "plain"}
    assert snr[OURS] > 40 and snr["none"] > 40
    assert snr["thesis"] > 40, "at 120 bpm nothing needs stretching"
    assert measures.join_snr(given, "thesis", beats(6, 0.4)) < 20
    assert measures.join_snr(given, OURS, beats(6, 0.4)) > 40


def test_a_louder_first_beat_is_seen_whatever_the_mixture_does() -> None:
    given, found = case(16), beats(16)
    place = np.arange(given.mixture.shape[1]) // (RATE // 2) % 4
    accents = np.where(place == 2, 3.0, 1.0).astype(np.float32)
    given = given._replace(mixture=given.mixture * accents, reference=given.reference * accents)
    target = 0.1 * given.mixture * np.where(place == 0, 10 ** (2 / 20), 1).astype(np.float32)
    profile = measures.bar_profile(given, target, found)
    assert profile.shape == (32,)
    assert measures.first_beat(profile, 4) == pytest.approx(2, abs=0.05)


def test_beats_against_a_chart() -> None:
    pytest.importorskip("mir_eval")
    chart = material.Chart(120.0)
    right = beats(20)
    late = Beats(right.times + 0.1, right.positions, right.strengths, 4, "test")
    for found in (right, late):
        figures_found = measures.beat_figures(found, chart, 20)
        assert figures_found["beats"] == figures_found["downbeats"] == pytest.approx(1)
    assert figures_found["delay (ms)"] == pytest.approx(100)
    assert measures.beat_figures(beats(20, 0.37), chart, 20)["beats"] < 0.6


def test_songs_of_frets_on_fire_are_read(tmp_path: Path) -> None:
    guitar, backing = np.random.default_rng(1).uniform(-0.3, 0.3, (2, 2, 20 * RATE)).astype(np.float32)
    guitar[:, : 10 * RATE] *= 0.01
    for name, samples in (("guitar", guitar), ("song", backing)):
        audio.write(tmp_path / f"{name}.ogg", samples, RATE)
    found = material.frets_on_fire(tmp_path)
    assert found.mixture.shape == (2, 20 * RATE)
    assert [query.shape[1] for query, _ in found.queries] == [4 * RATE] * 4
    assert found.scored(found.reference).shape[1] == 4 * RATE
    np.testing.assert_array_equal(found.queries[3][0], found.reference[:, slice(*found.left_out[3])])


def test_steadiest_passage() -> None:
    samples = np.zeros((1, 10 * RATE), np.float32)
    samples[:, 3 * RATE : 6 * RATE] = 0.1
    samples[:, 7 * RATE : 8 * RATE] = 1.0
    assert measures.steadiest(samples, RATE, 2.0) in (3 * RATE, 3 * RATE + RATE // 2, 4 * RATE)


def test_report_and_figures_of_what_was_measured(tmp_path: Path) -> None:
    rows = [
        {
            "song": "a",
            "way": way,
            "grid": "downbeat",
            "gain": float(n),
            "spectral gain": 0.5,
            "seconds": {"network": 0.1},
        }
        for n, way in enumerate(WAYS)
    ]
    profile = {"meter": 4, "plain": [0.0] * 32, "thesis": [2.0] * 8 + [0.0] * 24, OURS: [0.0] * 32, "truth": [0.0] * 32}
    queries = {
        "from (s)": [1],
        "alone": [1.0, 3.0],
        "averaged": {"3": [2.0]},
        "all": 2.5,
        "shorter": {"1": [0.5], "3": [1.0]},
    }
    metrics = {
        "songs": rows,
        "profiles": {"a": profile},
        "boundaries": {"a": dict.fromkeys(WAYS, 50.0)},
        "queries": {"a": queries},
        "not": [{"song": "a", "without": 1.0, "with": 2.0}, {"song": "a", "without": 3.0, "with": 2.5}],
        "crowds": {"clips": 50, "mixtures": 40, "area": 0.9, "false alarms": 0.02, "hits": 0.5},
        "memory, 3 hours": {
            "tracking": 0.03,
            "network": 0.04,
            "masking": 0.02,
            "process": 0.1,
            "peak_mib": 800.0,
            "bars": 9,
        },
    }
    figures.draw(metrics, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"boundaries.png", "queries.png"}
    text = report.markdown(metrics)
    assert "| a | 0.00 | 1.00 | 2.00 | 3.00 | 4.00 | 5.00 |" in text
    assert "| a | 50.0 | 50.0 | +0.00 | +0.00 | +2.00 | +0.00 | +2.00 | +0.00 |" in text
    assert "mean SI-SDRi 2.00 -> 2.25 dB" in text and "better for 50% of the items" in text
    assert "at 2% of the items' 50 queries" in text and "at 50% of 40 passages" in text
    assert "| 3 hours | 9 | 0.030 | 0.040 | 0.020 | 0.100 | 800 |" in text


def test_crowds_are_counted_as_the_warning_has_it() -> None:
    class Counts:
        def encode(self, samples: np.ndarray, rate: int) -> float:
            return float(samples.max())

        def polyphony_logit(self, encoding: float) -> float:
            return encoding

    alone, together = ([(np.full((1, 8), odds), RATE) for odds in some] for some in ((-4, -1, 3, -9), (5, 2.5, -2)))
    assert measures.crowds(Counts(), alone, together) == {
        "clips": 4, "mixtures": 3, "area": pytest.approx(9 / 12), "false alarms": 0.25, "hits": pytest.approx(2 / 3)
    }  # fmt: skip


def test_the_loudest_other_instrument_is_what_it_is_not() -> None:
    target, loud, soft = np.random.default_rng(0).standard_normal((3, 1, 4000)).astype(np.float32) * [
        [[1]],
        [[2]],
        [[1]],
    ]
    mixture = target + loud + soft
    cases = [material.Case("a", mixture, RATE, [(part, RATE)], part) for part in (target, loud, soft)]
    cases.append(material.Case("b", loud, RATE, [(loud, RATE)], loud))
    asked = []

    class Perfect:
        def separate(
            self, mixture: np.ndarray, queries: list, rate: int, unlike: tuple = (), residual_pass: bool = True
        ) -> Separation:
            assert not residual_pass
            asked.append([next(k for k, c in enumerate(cases) if c.reference is clip) for clip, _ in unlike])
            target = queries[0][0] if unlike else mixture
            return Separation(target, mixture - target, rate)

    rows = measures.held_back(Perfect(), cases)
    assert asked == [[], [1], [], [0], [], [1]] and [row["song"] for row in rows] == ["a"] * 3
    assert all(abs(row["without"]) < 1e-6 and row["with"] > 60 for row in rows)
