"""What is measured on songs, on songs made for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fewshot_sep import Separator, audio
from fewshot_sep import beats as beats_
from fewshot_sep.beats import Beats
from fewshot_sep.errors import BadItems
from fewshot_sep.experiments.whole_songs import material, measures
from fewshot_sep.experiments.whole_songs.settings import METHODS
from fewshot_sep.systems import build

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


def test_beats_against_a_chart() -> None:
    pytest.importorskip("mir_eval")
    right = beats(20)
    late = Beats(right.times + 0.1, right.positions, right.strengths, 4, "test")
    for found in (right, late):
        figures_found = measures.beat_figures(found, 120.0, 20)
        assert figures_found["beats"] == figures_found["downbeats"] == pytest.approx(1)
    assert figures_found["delay (ms)"] == pytest.approx(100)
    assert measures.beat_figures(beats(20, 0.37), 120.0, 20)["beats"] < 0.6


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
    assert material.chart_bpm(tmp_path) == pytest.approx(bpm)
    track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(2 * bpm), time=960))
    notes.save(tmp_path / "notes.mid")
    with pytest.raises(BadItems, match="2 tempi"):
        material.chart_bpm(tmp_path)


def test_the_same_song_is_tracked_once_and_separated_by_every_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beats_, "track", lambda *given, **more: tracked.append(1) or beats(6))
    tracked: list[int] = []
    rows = measures.compare(Separator(build("tiny"), "cpu"), [case(), case()])
    assert [row["method"] for row in rows] == 2 * list(METHODS) and len(tracked) == 1
    assert [row["grid"] for row in rows[:3]] == ["none", "beat", "downbeat"]
    assert all(np.isfinite([row["si_sdri"], row["spectral_snri"], *row["seconds"].values()]).all() for row in rows)
