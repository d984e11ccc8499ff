"""The way of a song, with separators whose answer is known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from fewshot_sep import beats, presets
from fewshot_sep.audio import ArraySource, Source
from fewshot_sep.errors import BadAudio, EngineMissing
from fewshot_sep.songs import SongSeparator
from fewshot_sep.songs.monitor import Monitor
from fewshot_sep.songs.pipeline import TEMPOS, carry_mask
from fewshot_sep.stretch import stretch

RATE = 22050


class Whole:
    """Finds everything."""

    sample_rate = 44100
    preset = presets.get(presets.DEFAULT)
    blocks = 30000

    def condition(self, queries: Any, sample_rate: int, unlike: Any = (), within: Any = None) -> Any:
        return queries

    def estimate(self, mixture: np.ndarray, conditioning: Any, sample_rate: int, pace: float = 1.0) -> np.ndarray:
        return mixture.copy()

    def stream(self, source: Source, conditioning: Any, progress: Any = None, start: int = 0) -> Iterator[np.ndarray]:
        for at in range(start, source.frames, self.blocks):
            block = source.read(at, at + self.blocks)
            yield self.estimate(block, conditioning, source.sample_rate) if block.any() else block

    def describe(self) -> dict[str, Any]:
        return {"name": type(self).__name__}


class Nothing(Whole):
    def estimate(self, mixture: np.ndarray, conditioning: Any, sample_rate: int, pace: float = 1.0) -> np.ndarray:
        return np.zeros_like(mixture)


class Bass(Whole):
    def estimate(self, mixture: np.ndarray, conditioning: Any, sample_rate: int, pace: float = 1.0) -> np.ndarray:
        return sosfiltfilt(butter(4, 400, output="sos", fs=sample_rate), mixture).astype(np.float32)


class Forbidden(Whole):
    def estimate(self, mixture: np.ndarray, conditioning: Any, sample_rate: int, pace: float = 1.0) -> np.ndarray:
        raise AssertionError("the network was asked about silence")


def song(seconds: float = 9.0, channels: int = 2, bpm: float = 100.0, rate: int = RATE) -> np.ndarray:
    """Drum hits on every beat over a chord, louder and lower at downbeats."""
    noise = np.random.default_rng(3)
    time = np.arange(round(seconds * rate)) / rate
    beat = 60 / bpm
    place = time % beat
    down = (time // beat).astype(int) % 4 == 0
    kick = np.where(down, 1.0, 0.2) * np.sin(2 * np.pi * 60 * place) * np.exp(-place * 12)
    hit = 0.3 * noise.standard_normal(len(time)) * np.exp(-place * 40)
    chord = 0.05 * sum(np.sin(2 * np.pi * f * time) for f in (220, 277, 330, 660))
    mono = 0.5 * (kick + hit + chord)
    return np.stack([mono, 0.6 * mono + 0.02 * noise.standard_normal(len(time))])[:channels].astype(np.float32)


def snr_db(reference: np.ndarray, found: np.ndarray) -> float:
    return float(10 * np.log10(np.sum(reference**2) / (np.sum((reference - found) ** 2) + 1e-20)))


def separator(model: Any, **settings: Any) -> SongSeparator:
    return SongSeparator(model, tracker="librosa", **settings)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("grid", "tempo"),
    [("downbeat", "hop"), ("downbeat", "mask"), ("downbeat", "none"), ("beat", "mask"), ("none", "mask")],
)
def test_an_identity_network_gives_the_song_back(channels: int, grid: str, tempo: str) -> None:
    mixture = song(channels=channels)
    result = separator(Whole(), tempo=tempo).separate(mixture, [mixture], RATE, grid)
    assert result.report["grid"]["kind"] == grid
    assert result.target.shape == mixture.shape and result.target.dtype == np.float32
    assert snr_db(mixture, result.target) > 60
    np.testing.assert_allclose(result.target + result.residual, mixture, atol=1e-6)


def test_a_filter_found_in_common_tempo_is_the_filter_in_native_tempo() -> None:
    mixture = song()
    result = separator(Bass(), tempo="mask").separate(mixture, [mixture], RATE, "downbeat")
    assert result.report["seconds"]["stretching"] > 0
    assert snr_db(Bass().estimate(mixture, None, RATE), result.target) > 25


@pytest.mark.parametrize("tempo", TEMPOS)
def test_target_and_residual_sum_to_the_song_in_every_mode(tempo: str) -> None:
    mixture = song(channels=1)
    result = separator(Bass(), tempo=tempo).separate(mixture, [mixture], RATE, "downbeat")
    assert result.target.shape == result.residual.shape == mixture.shape
    np.testing.assert_allclose(result.target + result.residual, mixture, atol=1e-6)


def test_stretched_audio_keeps_the_level_if_not_the_wave() -> None:
    mixture = song()
    result = separator(Whole(), tempo="audio").separate(mixture, [mixture], RATE, "downbeat")
    assert result.report["target level re mixture (dB)"] == pytest.approx(0, abs=1)


@pytest.mark.parametrize("grid", ["auto", "downbeat", "none"])
def test_nothing_found_is_exact_silence_and_is_said(grid: str) -> None:
    mixture = song()
    result = separator(Nothing()).separate(mixture, [mixture], RATE, grid)
    assert not result.target.any()
    np.testing.assert_array_equal(result.residual, mixture)
    assert any("does not seem to be in the song" in warning for warning in result.report["warnings"])


@pytest.mark.parametrize("grid", ["auto", "downbeat", "beat", "none"])
def test_a_silent_song_is_exact_silence(grid: str) -> None:
    mixture = np.zeros((2, 3 * RATE), np.float32)
    result = separator(Forbidden()).separate(mixture, [song(1)], RATE, grid)
    assert not result.target.any() and not result.residual.any()
    assert "the song is silent" in result.report["warnings"]
    assert result.report["target level re mixture (dB)"] is None


def test_silent_bars_between_sounding_ones_stay_silent() -> None:
    mixture = song(18, channels=1)
    mixture[:, 6 * RATE : 12 * RATE] = 0
    result = separator(Whole()).separate(mixture, [mixture], RATE, "downbeat")
    assert result.report["grid"]["kind"] == "downbeat"
    assert snr_db(mixture, result.target) > 60
    assert not result.target[:, 9 * RATE : 10 * RATE].any()


@pytest.mark.parametrize("samples", [1, 2, 100, 5000, 40001])
@pytest.mark.parametrize("grid", ["auto", "downbeat"])
def test_short_songs_keep_their_length(samples: int, grid: str) -> None:
    mixture = song(channels=1)[:, :samples]
    result = separator(Whole()).separate(mixture, [song(1)], RATE, grid)
    assert result.target.shape == (1, samples)
    np.testing.assert_allclose(result.target + result.residual, mixture, atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 48000])
def test_any_rate(rate: int) -> None:
    mixture = song(6, rate=rate, channels=1)
    result = separator(Whole()).separate(mixture, [mixture], rate, "downbeat")
    assert result.sample_rate == rate
    assert snr_db(mixture, result.target) > 50


def test_auto_leaves_noise_whole_and_says_why() -> None:
    mixture = 0.1 * np.random.default_rng(0).standard_normal((1, 8 * RATE)).astype(np.float32)
    report = separator(Whole()).separate(mixture, [mixture], RATE).report
    assert report["grid"]["kind"] == "none"
    assert any("no bar grid" in warning for warning in report["warnings"])


def test_blocks_are_given_while_the_song_goes_by_and_progress_ends_at_one() -> None:
    source = ArraySource(song(20), RATE)
    monitor, shares = Monitor(source.frames, RATE), []
    blocks = list(separator(Whole()).stream(source, None, "downbeat", shares.append, monitor))
    assert max(target.shape[1] for target, _ in blocks) < 4 * RATE
    assert sum(target.shape[1] for target, _ in blocks) == source.frames
    assert shares == sorted(shares) and shares[-1] == 1 and len(shares) > 8
    assert monitor.report({}, {})["boundaries"]["boundaries"] == len(monitor.grid.boundaries) > 5  # type: ignore[union-attr]


def test_the_song_given_is_not_changed() -> None:
    mixture = song()
    kept = mixture.copy()
    separator(Bass()).separate(mixture, [mixture], RATE, "downbeat")
    np.testing.assert_array_equal(mixture, kept)


def test_carried_masks_follow_the_sound_in_time() -> None:
    """High notes in some places, low ones in others: what was found there and only there is in the target there."""
    rate = 44100
    time = np.arange(3 * rate) / rate
    high = np.where((time % 1) < 0.5, 0, 0.4 * np.sin(2 * np.pi * 2000 * time)).astype(np.float32)[None]
    low = np.where((time % 1) < 0.5, 0.4 * np.sin(2 * np.pi * 300 * time), 0).astype(np.float32)[None]
    for ratio in (0.75, 1.35):
        frames = round(3 * rate * ratio)
        paced_low, paced_high = stretch(low, frames, rate), stretch(high, frames, rate)
        target = carry_mask(low + high, paced_low + paced_high, paced_low, rate)
        assert snr_db(low, target) > 15


def test_carried_mask_of_everything_changes_nothing_at_any_level() -> None:
    mixture = song(3)
    for gain in (1e-6, 1.0, 1e12):
        scaled = (gain * mixture).astype(np.float32)
        paced = stretch(scaled, round(2.4 * RATE), RATE)
        assert snr_db(scaled / gain, carry_mask(scaled, paced, paced, RATE) / gain) > 60


def test_bad_arguments_are_named_before_any_work() -> None:
    with pytest.raises(ValueError, match="mask, audio, none"):
        SongSeparator(Whole(), tempo="rubato")
    with pytest.raises(EngineMissing, match="taffy"):
        SongSeparator(Whole(), tracker="librosa", engine="taffy")
    with pytest.raises(EngineMissing, match="sundial"):
        SongSeparator(Whole(), tracker="sundial")
    with pytest.raises(BadAudio, match="the song"):
        separator(Whole()).separate(np.full((1, 100), np.nan, np.float32), [song(1)], RATE)


def test_auto_takes_the_best_tracker_there_is() -> None:
    assert SongSeparator(Whole()).tracker == beats.available_trackers()[0]


def test_bars_come_to_the_tempo_of_the_preset_with_its_context() -> None:
    class Thesis(Whole):
        preset = presets.get("illes2020")

        def __init__(self) -> None:
            self.heard: list[float] = []

        def estimate(self, mixture: np.ndarray, conditioning: Any, sample_rate: int, pace: float = 1.0) -> np.ndarray:
            self.heard.append(mixture.shape[1] / sample_rate * pace)
            return mixture.copy()

    times = 0.5 * np.arange(1, 18)
    known = beats.Beats(times, np.arange(17) % 4 + 1, np.full(17, 0.9), 4, "test")
    model = Thesis()
    song = np.random.default_rng(0).normal(0, 0.1, (1, 10 * RATE)).astype(np.float32)
    SongSeparator(model).separate(song, [song], RATE, "downbeat", known=known)
    assert model.heard[1:-2] == pytest.approx([6 * 60 / 147] * len(model.heard[1:-2]), rel=0.01)
