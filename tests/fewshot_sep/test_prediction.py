"""What is predicted with the bundled weights on an excerpt of a real song, and where nothing is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fewshot_sep import Separator, SongSeparator, audio, prediction
from fewshot_sep.experiments import demo
from fewshot_sep.prediction import MAX_WINDOWS, Prediction, Samples
from fewshot_sep.songs import expectation, report
from fewshot_sep.songs.monitor import Monitor
from fewshot_sep.systems import build

DATA = Path(demo.__file__).parent / "data"
SIGNS = {"alone": 1.0, "polyphony_logit": -3.0, "agreement": 1.0}


def test_a_good_clip_promises_more_than_noise_and_than_a_clip_of_all_others() -> None:
    (guitar, rate), (backing, _), (query, _) = (
        audio.read(DATA / f"{name}.ogg") for name in ("guitar", "backing", "query")
    )
    song = (guitar + backing)[:, : 6 * rate]
    noise = np.random.default_rng(0).normal(0, 0.1, query.shape).astype(np.float32)
    songs = SongSeparator(Separator.from_pretrained(device="cpu"))
    clips = {"good": query, "noise": noise, "mixed": query + backing[:, : query.shape[1]]}
    found = {name: songs.separate(song, [clip], rate, "none").report for name, clip in clips.items()}
    good, noise_, mixed = found.values()
    likely = "instrument in the song (probability)"
    assert good[likely] > noise_[likely] and good[likely] > expectation.SURE
    expected = good[report.IMPROVEMENT]
    assert expected["from"] < expected["median"] < expected["to"]
    assert expected["median"] > max(noise_[report.IMPROVEMENT]["median"], mixed[report.IMPROVEMENT]["median"])
    assert ["may have failed" in " ".join(found["warnings"]) for found in (good, mixed)] == [False, True]


def test_windows_are_spread_over_a_song_whatever_the_blocks() -> None:
    rng = np.random.default_rng(0)
    mixture = rng.standard_normal((2, 100_123)).astype(np.float32)
    target = mixture * (np.arange(100_123) > 40_000)
    kept = []
    for block in (100_123, 777):
        samples = Samples(mixture.shape[1], 1000, 2.0)
        for start in range(0, mixture.shape[1], block):
            samples.add(target[:, start : start + block], mixture[:, start : start + block])
        kept.append(np.stack(samples.windows()))
    np.testing.assert_array_equal(*kept)
    assert 4 <= len(kept[0]) <= MAX_WINDOWS and kept[0].shape[1:] == (2, 2000)


def test_other_weights_predict_nothing_and_the_report_says_so() -> None:
    separator = SongSeparator(Separator(build("tiny-prompted"), "cpu"))
    song = np.random.default_rng(0).normal(0, 0.1, (1, 30_000)).astype(np.float32)
    found = separator.separate(song, [song], 44100, "none").report
    assert found[report.IMPROVEMENT] is None and "cannot tell" in found["expectation"]
    assert prediction.head_of("0" * 64) is None


@pytest.mark.parametrize(
    ("signs", "advised"),
    [
        ({}, "another clip"),
        ({"alone": 0.0}, "alone (--query"),
        ({"polyphony_logit": 2.0}, "several instruments"),
        ({"agreement": 0.1}, "sound alike"),
    ],
)
def test_where_it_may_have_failed_is_said_with_what_to_do(signs: dict[str, float], advised: str) -> None:
    monitor = Monitor(8000, 8000)
    mixture = np.random.default_rng(0).standard_normal((1, 8000)).astype(np.float32)
    monitor.add_block(mixture / 3, mixture)
    monitor.prediction = Prediction(0.9, 0.7, -3.0, 0.0, 4.0, SIGNS | signs)
    (warning,) = report.of(monitor, {}, {})["warnings"]
    assert "may have failed (70% likely)" in warning and advised in warning
    monitor.prediction = monitor.prediction._replace(failed=0.1)
    content = report.of(monitor, {}, {})
    assert not content["warnings"] and advised in content["would help"]
    monitor.prediction = monitor.prediction._replace(present=0.1)
    content = report.of(monitor, {}, {})
    assert content[report.IMPROVEMENT] is None and "does not seem to be in the song" in content["warnings"][0]
