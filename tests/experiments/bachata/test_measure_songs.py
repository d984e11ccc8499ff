from __future__ import annotations

import numpy as np
import pytest
import torch

from fewshot_sep import audio, metrics
from fewshot_sep.experiments.bachata import measure_songs, thesis_method, tunes
from fewshot_sep.experiments.bachata.models import PRESET
from fewshot_sep.experiments.bachata.settings import INSTRUMENTS
from fewshot_sep.experiments.bachata.tunes import Tune
from fewshot_sep.loops.instruments.material import Material
from fewshot_sep.loops.library import SAMPLE_RATE
from fewshot_sep.loops.tasks.pool import AudioPool
from fewshot_sep.systems import ImageConditioning, ImageSystem

RATE = 11025


@pytest.fixture(scope="module")
def songs(material: Material) -> list[Tune]:
    return tunes.render(material, 1, 2, 0)


def test_an_intro_is_put_before_the_same_song(songs: list[Tune]) -> None:
    assert [tune.intro for tune in songs] == [0, 1, 2, 3]
    plain = songs[0]
    for tune in songs:
        frames = round(tune.intro * 60 / tune.bpm * SAMPLE_RATE)
        assert set(tune.stems) == set(INSTRUMENTS) and tune.bpm == plain.bpm
        for name, stem in tune.stems.items():
            body = stem[:, frames:]
            scale = np.abs(body).max() / np.abs(plain.stems[name]).max()
            assert np.allclose(body, scale * plain.stems[name], atol=1e-5)
            assert (name == "guitar" and frames > 0) == bool(stem[:, :frames].any())
        assert np.abs(tune.mixture).max() == pytest.approx(0.5, rel=1e-4)
        assert len(tune.beats) == tune.intro + 3 * 2 * 4
        assert tune.downbeats[0] == pytest.approx(frames / SAMPLE_RATE, abs=1e-4)


class Identity(ImageSystem):
    """Returns the mixture."""

    def forward(self, mixture: torch.Tensor, conditioning: ImageConditioning, time_scale: float = 1.0) -> torch.Tensor:
        return mixture


@pytest.mark.parametrize("carried", [False, True])
def test_what_passes_unchanged_comes_back_in_its_place(carried: bool) -> None:
    """At the common tempo nothing is stretched; another tempo only keeps length and level."""
    song = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 5 * 18000)).astype(np.float32)
    queries, cuts = {"all": song[0, :18000]}, np.array([1.0, 2.0, 3.0]) * 18000 / RATE
    estimate = thesis_method.separate(Identity(PRESET), song, RATE, cuts, queries, carried)["all"]
    assert estimate.shape == song.shape
    assert not estimate[:, :18000].any() and not estimate[:, 54000:].any()
    assert metrics.si_sdr(song[:, 18000:54000], estimate[:, 18000:54000]) > 30
    other = thesis_method.separate(Identity(PRESET), song, RATE, cuts * 1.2, queries, carried)["all"]
    first, last = round(1.2 * 18000), round(3.6 * 18000)
    assert not other[:, :first].any() and not other[:, last:].any()
    assert abs(metrics.level_db(other[:, first:last], song[:, first:last])) < 2


def test_there_and_back_is_exact_where_nothing_is_stretched() -> None:
    stem = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 3 * 18000)).astype(np.float32)
    edges = np.arange(4) * 18000 / RATE
    assert np.array_equal(thesis_method.there_and_back(stem, RATE, PRESET, edges), stem)
    assert thesis_method.edges(np.arange(10.0), 3).tolist() == [3.0, 7.0]


def test_the_mixture_improves_nothing_in_songs(songs: list[Tune]) -> None:
    tune = songs[2]
    mixture = audio.resample(tune.mixture, SAMPLE_RATE, RATE)
    idle = measure_songs.improvement(tune, dict.fromkeys(INSTRUMENTS, mixture), RATE)
    assert idle == dict.fromkeys(INSTRUMENTS, 0.0)
    true = {name: audio.resample(stem, SAMPLE_RATE, RATE) for name, stem in tune.stems.items()}
    assert min(measure_songs.improvement(tune, true, RATE).values()) > 40


def test_an_intro_shifts_counted_clips_off_the_bar(songs: list[Tune]) -> None:
    for tune in songs:
        counted = measure_songs.on_downbeats(tune, thesis_method.edges(tune.beats))
        assert counted == (1.0 if tune.intro == 0 else 0.0)
        assert measure_songs.on_downbeats(tune, tune.downbeats + 0.05) == 1


def test_a_louder_start_is_measured_in_db() -> None:
    beats = np.arange(32) * 0.5
    edges, rate = beats[::4], 1000
    stem = np.random.default_rng(0).standard_normal((1, 16 * rate)).astype(np.float32)
    louder = stem.copy()
    for edge in edges:
        louder[:, round(edge * rate) : round(edge * rate) + 100] *= 2
    found = measure_songs.louder_start(stem, louder, rate, beats, edges)
    assert found == pytest.approx(20 * np.log10(2), abs=0.01)
    assert measure_songs.louder_start(louder, louder, rate, beats, edges) == 0
    assert np.isnan(measure_songs.louder_start(louder, louder, rate, beats, beats))


def test_queries_are_whole_clips(pool: AudioPool) -> None:
    queries = measure_songs.queries(pool, 0)
    assert {name: len(query) for name, query in queries.items()} == dict.fromkeys(INSTRUMENTS, PRESET.segment)
