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


def test_what_passes_unchanged_comes_back_in_its_place() -> None:
    """At the common tempo nothing is stretched; another tempo only keeps length and level."""
    song = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 5 * 18000)).astype(np.float32)
    queries = {"all": song[0, :18000]}
    cuts = thesis_method.edges(np.arange(13) * 18000 / 4 / RATE, 4)
    estimate = thesis_method.separate(Identity(PRESET), song, RATE, cuts, queries)["all"]
    assert estimate.shape == song.shape
    assert not estimate[:, :18000].any() and not estimate[:, 54000:].any()
    assert metrics.si_sdr(song[:, 18000:54000], estimate[:, 18000:54000]) > 30
    other = thesis_method.separate(Identity(PRESET), song, RATE, cuts * 1.2, queries)["all"]
    first, last = round(1.2 * 18000), round(3.6 * 18000)
    assert not other[:, :first].any() and not other[:, last:].any()
    assert abs(metrics.level_db(other[:, first:last], song[:, first:last])) < 2


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


def test_queries_are_whole_clips(pool: AudioPool) -> None:
    queries = measure_songs.queries(pool, 0)
    assert {name: len(query) for name, query in queries.items()} == dict.fromkeys(INSTRUMENTS, PRESET.segment)
