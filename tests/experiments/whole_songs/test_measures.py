"""What is measured on songs, on songs made for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fewshot_sep import audio
from fewshot_sep.beats import Beats
from fewshot_sep.errors import BadItems
from fewshot_sep.experiments.whole_songs import material, measures
from fewshot_sep.experiments.whole_songs.settings import DEFAULT, METHODS
from fewshot_sep.songs.queries import Clip

RATE = 8000


def beats(seconds: float, period: float = 0.5) -> Beats:
    times = np.arange(0, seconds, period)
    return Beats(times, np.arange(len(times)) % 4 + 1, np.full(len(times), 0.6), 4, "test")


def case(seconds: float = 6.0) -> material.Case:
    target, rest = np.random.default_rng(0).standard_normal((2, 1, round(seconds * RATE))).astype(np.float32)
    return material.Case("noise", target + rest, RATE, [(target, RATE)], target)


def test_improvements_are_of_what_is_scored() -> None:
    given = case()._replace(left_out=((0, 3 * RATE),))
    found = given.mixture.copy()
    found[:, 3 * RATE :] = given.reference[:, 3 * RATE :]
    assert measures.si_sdri(given, found) > 60
    assert measures.spectral_snri(given, found) > 60
    assert measures.si_sdri(given, given.mixture) == pytest.approx(0, abs=1e-6)


def test_an_identity_shows_boundaries_without_overlap_and_a_vocoder() -> None:
    given, found = case(), beats(6)
    for method in METHODS:
        if method != "plain":
            assert measures.boundary_snr(given, method, found) > 40, "at 120 bpm nothing needs stretching"
    assert measures.boundary_snr(given, "thesis", beats(6, 0.4)) < 20
    assert measures.boundary_snr(given, DEFAULT, beats(6, 0.4)) > 40


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
    assert material.steadiest(samples, RATE, 2.0) in (3 * RATE, 3 * RATE + RATE // 2, 4 * RATE)


@pytest.mark.parametrize("bpm", [87.5, 150.0])
def test_a_chart_tells_its_tempo_unless_that_changes(bpm: float, tmp_path: Path) -> None:
    mido = pytest.importorskip("mido")
    pytest.importorskip("pretty_midi")
    notes, track = mido.MidiFile(), mido.MidiTrack()
    notes.tracks.append(track)
    track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(bpm)))
    notes.save(tmp_path / "notes.mid")
    assert material.chart(tmp_path).bpm == pytest.approx(bpm)
    track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(2 * bpm), time=960))
    notes.save(tmp_path / "notes.mid")
    with pytest.raises(BadItems, match="2 tempi"):
        material.chart(tmp_path)


def test_shifts_and_queries_are_scored_on_the_excerpt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The target is the mixture: its SI-SDR is the same wherever the excerpt begins."""
    given = case(100)
    monkeypatch.setattr(measures, "separate", lambda model, method, case: (case.mixture, None))

    class Everything(measures.Identity):
        def condition(self, queries: list[np.ndarray], sample_rate: int) -> None:
            conditioned.append(queries)

    conditioned: list[list[np.ndarray]] = []
    found = measures.shifts(Everything(), given, 0.5, "plain")  # type: ignore[arg-type]
    assert list(found) == ["-3", "-2", "-1", "0", "+1", "+2", "+3"]
    np.testing.assert_allclose(list(found.values()), found["0"], atol=1e-4)
    conditioned.clear()
    choice = measures.queries(Everything(), given)  # type: ignore[arg-type]
    np.testing.assert_allclose([*choice["alone"], choice["all"], *choice["shorter"]["1"]], 0, atol=1e-4)
    assert all(not 24 < start < 90 for start in choice["from (s)"]) and len(choice["alone"]) == 12
    assert {len(clips) for clips in conditioned} == {1, 3, 5, 12}


def test_several_instruments_are_counted_as_the_warning_has_it() -> None:
    class Loudest:
        def encode(self, samples: np.ndarray, rate: int) -> float:
            return float(samples.max())

        def polyphony_logit(self, encoding: float) -> float:
            return encoding

    single, several = ([(np.full((1, 8), odds), RATE) for odds in some] for some in ((-4, -1, 3, -9), (5, 2.5, -2)))
    found = measures.several_instruments(Loudest(), single, several)  # type: ignore[arg-type]
    assert (found["clips"], found["mixtures"]) == (4, 3)
    assert found["area"] == pytest.approx(9 / 12)
    assert found["false positive rate"] == 0.25 and found["true positive rate"] == pytest.approx(2 / 3)


def test_the_negative_query_is_of_the_loudest_other_instrument() -> None:
    scale = np.array([1, 2, 1], np.float32)[:, None, None]
    target, loud, quiet = np.random.default_rng(0).standard_normal((3, 1, 4000)).astype(np.float32) * scale
    mixture = target + loud + quiet
    cases = [material.Case("a", mixture, RATE, [(part, RATE)], part) for part in (target, loud, quiet)]
    cases.append(material.Case("b", loud, RATE, [(loud, RATE)], loud))
    unlike: list[list[int]] = []

    class Perfect:
        """Gives the query where it has a negative, else the mixture."""

        def condition(self, queries: list[Clip], rate: int, negative: list[Clip]) -> np.ndarray | None:
            unlike.append([next(k for k, c in enumerate(cases) if c.reference is clip) for clip, _ in negative])
            return queries[0][0] if negative else None

        def estimate(self, mixture: np.ndarray, conditioning: np.ndarray | None, rate: int) -> np.ndarray:
            return mixture if conditioning is None else conditioning

    rows = measures.negative_queries(Perfect(), cases)  # type: ignore[arg-type]
    assert unlike == [[], [1], [], [0], [], [1]] and [row["song"] for row in rows] == ["a"] * 3
    assert all(abs(row["without"]) < 1e-6 and row["with"] > 60 for row in rows)
