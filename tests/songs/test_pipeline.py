"""From a song to its stems, with separators whose answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from fewshot_sep import Prompt, Separator, SongSeparator, beats
from fewshot_sep.audio import ArraySource
from fewshot_sep.errors import BadAudio, EngineMissing
from fewshot_sep.songs import report
from fewshot_sep.songs.pipeline import TEMPOS, SongResult, SongRun
from fewshot_sep.songs.tempo import carry_mask
from fewshot_sep.stretch import stretch
from fewshot_sep.systems import build

RATE = 22050


def nothing(mixture: np.ndarray, sample_rate: int) -> np.ndarray:
    return np.zeros_like(mixture)


def bass(mixture: np.ndarray, sample_rate: int) -> np.ndarray:
    return sosfiltfilt(butter(4, 400, output="sos", fs=sample_rate), mixture).astype(np.float32)


def forbidden(mixture: np.ndarray, sample_rate: int) -> np.ndarray:
    raise AssertionError("the network was run on silence")


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


def separate(
    model: Any, mixture: np.ndarray, grid: str = "auto", tempo: str = "hop", rate: int = RATE, **more: Any
) -> SongResult:
    """The result, whose parts are shaped like the mixture and sum to it; the mixture is left as it was."""
    kept = mixture.copy()
    separator = SongSeparator(model, tracker="librosa", tempo=tempo)
    result = separator.separate(mixture, [mixture], rate, grid, **more)
    np.testing.assert_array_equal(mixture, kept)
    assert result.target.shape == result.residual.shape == mixture.shape
    assert result.target.dtype == np.float32 and result.sample_rate == rate
    np.testing.assert_allclose(result.target + result.residual, mixture, atol=1e-6)
    return result


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("grid", "tempo"),
    [("downbeat", "hop"), ("downbeat", "mask"), ("downbeat", "none"), ("beat", "mask"), ("none", "mask")],
)
def test_an_identity_network_gives_the_song_back(channels: int, grid: str, tempo: str, fake: Any) -> None:
    mixture = song(channels=channels)
    result = separate(fake(), mixture, grid, tempo)
    assert result.report["grid"]["kind"] == grid
    assert snr_db(mixture, result.target) > 60


@pytest.mark.parametrize("tempo", TEMPOS)
def test_a_filter_in_the_common_tempo_is_the_filter_in_the_songs_own(tempo: str, fake: Any) -> None:
    mixture = song()
    result = separate(fake(bass), mixture, "downbeat", tempo)
    assert ("stretching" in result.report["seconds"]) is (tempo in ("mask", "audio"))
    if tempo != "audio":  # whose wave is another
        assert snr_db(bass(mixture, RATE), result.target) > 25


def test_stretched_audio_keeps_the_level(fake: Any) -> None:
    result = separate(fake(), song(), "downbeat", "audio")
    assert result.report["target level re mixture (dB)"] == pytest.approx(0, abs=1.5)


@pytest.mark.parametrize("grid", ["auto", "downbeat", "none"])
def test_nothing_found_is_exact_silence_and_is_said(grid: str, fake: Any) -> None:
    result = separate(fake(nothing), song(), grid)
    assert not result.target.any()
    assert any("does not seem to be in the song" in warning for warning in result.report["warnings"])


@pytest.mark.parametrize("grid", ["auto", "downbeat", "beat", "none"])
def test_a_silent_song_is_exact_silence(grid: str, fake: Any) -> None:
    result = separate(fake(forbidden), np.zeros((2, 3 * RATE), np.float32), grid)
    assert not result.target.any() and not result.residual.any()
    assert "the song is silent" in result.report["warnings"]
    assert result.report["target level re mixture (dB)"] is None


def test_silent_bars_between_sounding_ones_stay_silent(fake: Any) -> None:
    mixture = song(18, channels=1)
    mixture[:, 6 * RATE : 12 * RATE] = 0
    result = separate(fake(), mixture, "downbeat")
    assert result.report["grid"]["kind"] == "downbeat"
    assert snr_db(mixture, result.target) > 60
    assert not result.target[:, 9 * RATE : 10 * RATE].any()


@pytest.mark.parametrize("samples", [1, 2, 100, 5000, 40001])
@pytest.mark.parametrize("grid", ["auto", "downbeat"])
def test_short_songs_keep_their_length(samples: int, grid: str, fake: Any) -> None:
    separate(fake(), song(channels=1)[:, :samples], grid)


@pytest.mark.parametrize("rate", [8000, 48000])
def test_any_rate(rate: int, fake: Any) -> None:
    mixture = song(6, rate=rate, channels=1)
    assert snr_db(mixture, separate(fake(), mixture, "downbeat", rate=rate).target) > 50


def test_auto_leaves_noise_whole_and_says_why(fake: Any) -> None:
    mixture = 0.1 * np.random.default_rng(0).standard_normal((1, 8 * RATE)).astype(np.float32)
    content = separate(fake(), mixture).report
    assert content["grid"]["kind"] == "none"
    assert any("no bar grid" in warning for warning in content["warnings"])


def run(model: Any, mixture: np.ndarray, grid: str = "downbeat") -> SongRun:
    return SongRun(
        SongSeparator(model, tracker="librosa"), ArraySource(mixture, RATE), model.condition([mixture], RATE), grid
    )


def test_blocks_are_given_while_the_song_goes_by_and_progress_ends_at_one(fake: Any) -> None:
    mixture = song(20)
    on_its_way, shares = run(fake(), mixture), []
    blocks = [target.shape[1] for target, _ in on_its_way.stems(shares.append)]
    assert max(blocks) < 4 * RATE and sum(blocks) == mixture.shape[1]
    assert shares == sorted(shares) and shares[-1] == 1 and len(shares) > 8
    assert report.of(on_its_way.monitor, {}, {})["boundaries"]["count"] > 5


@pytest.mark.parametrize(("find", "grid"), [([bass], "downbeat"), ([], "none")])
def test_a_run_from_within_the_song_gives_the_same_samples(find: list[Any], grid: str, fake: Any) -> None:
    mixture = song(channels=1)
    whole, late = (
        [np.concatenate(blocks, 1) for blocks in zip(*run(fake(*find), mixture, grid).stems(start=start), strict=True)]
        for start in (0, 100_001)
    )
    for one, other in zip(whole, late, strict=True):
        np.testing.assert_array_equal(one[:, 100_001:], other)


@pytest.mark.parametrize("residual_pass", [True, False])
def test_the_network_is_conditioned_on_queries_negatives_and_the_residual(residual_pass: bool, fake: Any) -> None:
    mixture, model = song(2), fake()
    result = separate(model, mixture, "none", unlike=[mixture[:, :RATE]], residual_pass=residual_pass)
    assert model.conditionings[0] == ["2 s", "not 1 s", *(["residual"] if residual_pass else [])]
    assert result.report["settings"]["residual_pass"] is residual_pass
    assert ("conditioning" in result.report["seconds"]) is residual_pass


def test_a_prompt_needs_no_clip_of_the_instrument_alone(fake: Any) -> None:
    model, mixture = fake(), song(3)
    prompt = Prompt(among=[mixture[:, : 2 * RATE]], absent=[mixture[:, 2 * RATE :]])
    SongSeparator(model, tracker="librosa").separate(mixture, prompt, RATE, "none", unlike=[mixture])
    assert model.conditionings[0] == ["among 2 s", "not 1 s", "not 3 s", "residual"]


def test_weights_that_know_roles_give_a_song_what_they_give_an_array() -> None:
    separator, mixture = Separator(build("tiny-prompted"), "cpu"), song(2)
    prompt = Prompt(among=[mixture[:, :RATE]], absent=[(mixture[:, RATE:], RATE)])
    found = SongSeparator(separator, tracker="librosa").separate(mixture, prompt, RATE, "none")
    np.testing.assert_allclose(found.target + found.residual, mixture, atol=1e-6)
    np.testing.assert_array_equal(found.target, separator.separate(mixture, prompt, RATE).target)


def test_carried_masks_follow_the_sound_in_time() -> None:
    """High notes in some places, low ones in others: what was found there and only there is in the target there."""
    rate = 44100
    time = np.arange(3 * rate) / rate
    high = np.where((time % 1) < 0.5, 0, 0.4 * np.sin(2 * np.pi * 2000 * time)).astype(np.float32)[None]
    low = np.where((time % 1) < 0.5, 0.4 * np.sin(2 * np.pi * 300 * time), 0).astype(np.float32)[None]
    for scale in (0.75, 1.35):
        long_low, long_high = (stretch(part, round(3 * rate * scale), rate) for part in (low, high))
        assert snr_db(low, carry_mask(low + high, long_low + long_high, long_low, rate)) > 15


@pytest.mark.parametrize("gain", [1e-6, 1.0, 1e12])
def test_a_carried_mask_of_everything_changes_nothing_at_any_level(gain: float) -> None:
    mixture = (gain * song(3)).astype(np.float32)
    stretched = stretch(mixture, round(2.4 * RATE), RATE)
    assert snr_db(mixture / gain, carry_mask(mixture, stretched, stretched, RATE) / gain) > 60


def test_bad_arguments_are_named_before_any_work(fake: Any) -> None:
    for error, said, arguments in (
        (ValueError, "mask, audio, none", {"tempo": "rubato"}),
        (ValueError, "from 2 to 8", {"meters": (1,)}),
        (EngineMissing, "taffy", {"engine": "taffy"}),
        (EngineMissing, "sundial", {"tracker": "sundial"}),
    ):
        with pytest.raises(error, match=said):
            SongSeparator(fake(), **{"tracker": "librosa", **arguments})
    with pytest.raises(BadAudio, match="the song"):
        SongSeparator(fake()).separate(np.full((1, 100), np.nan, np.float32), [song(1)], RATE)


def test_auto_takes_the_best_tracker_there_is(fake: Any) -> None:
    assert SongSeparator(fake()).tracker == beats.available_trackers()[0]


def test_bars_come_to_the_tempo_of_the_preset_with_its_context(fake: Any) -> None:
    model = fake(preset="illes2020")
    times = 0.5 * np.arange(1, 18)
    known = beats.Beats(times, np.arange(17) % 4 + 1, np.full(17, 0.9), 4, "test")
    mixture = np.random.default_rng(0).normal(0, 0.1, (1, 10 * RATE)).astype(np.float32)
    separate(model, mixture, "downbeat", known=known)
    inner = model.seconds[1:-2]
    assert inner and inner == pytest.approx([6 * 60 / 147] * len(inner), rel=0.01)
