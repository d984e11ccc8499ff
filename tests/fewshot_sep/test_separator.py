"""The separator around a stub, whose output is known, and around small untrained systems."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fewshot_sep import audio, levels, metrics, presets, systems
from fewshot_sep.bandwidth import high_band_gain
from fewshot_sep.errors import BadAudio, BadQuery, FewshotSepError
from fewshot_sep.separator import MAX_WINDOWS, Separator
from tests.sounds import RATE, middle, noise, rms, tone

SEGMENT = 6000
PRESET = replace(presets.get("tiny"), n_fft=512, hop=128, segment=SEGMENT)
QUERY = np.sin(np.arange(RATE) / 7).astype(np.float32)


class Level(NamedTuple):
    """The stub's conditioning."""

    number: Tensor


class Stub(systems.System[Level]):
    """A system that only scales its mixture, and records its inputs."""

    def __init__(self, gain: float = 1.0, preset: presets.Preset = PRESET) -> None:
        super().__init__(preset)
        self.network = nn.Identity()
        self.gain = gain
        self.mixtures: list[tuple[int, ...]] = []
        self.queries: list[Tensor] = []

    def encode(self, clips: Tensor) -> Level:
        self.queries.append(clips)
        return Level(clips.square().mean(2).sqrt().mean(1))

    def average(self, conditionings: Sequence[Level]) -> Level:
        return Level(torch.stack([one.number for one in conditionings]).mean(0))

    def forward(self, mixture: Tensor, conditioning: Level, time_scale: float = 1.0) -> Tensor:
        self.mixtures.append(tuple(mixture.shape))
        return self.gain * mixture


class BandPass(Stub):
    """Passes what lies near the query's strongest frequency at one gain, everything else at another."""

    def __init__(self, gain: float, leak: float) -> None:
        super().__init__(gain)
        self.leak = leak

    def encode(self, clips: Tensor) -> Level:
        return Level(torch.fft.rfft(clips[0]).abs().sum(0).argmax()[None])

    def forward(self, mixture: Tensor, conditioning: Level, time_scale: float = 1.0) -> Tensor:
        spectrum, place = torch.fft.rfft(mixture), int(conditioning.number) * mixture.shape[-1] // SEGMENT
        near = (torch.arange(spectrum.shape[-1]) - place).abs() < 40 * mixture.shape[-1] / SEGMENT
        return torch.fft.irfft(spectrum * torch.where(near, self.gain, self.leak), mixture.shape[-1])


def stub(gain: float = 1.0, **changes: object) -> tuple[Separator, Stub]:
    system = Stub(gain, replace(PRESET, **changes))  # type: ignore[arg-type]
    return Separator(system, "cpu"), system


@pytest.fixture(scope="module")
def tiny() -> Separator:
    torch.manual_seed(0)
    return Separator(systems.build("tiny"), "cpu")


@pytest.fixture(scope="module")
def nearby() -> Separator:
    return Separator(BandPass(0.95, 0.3), "cpu")


# --- overlap-add


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    "samples", [1, 2, 511, 3999, 4000, 4001, SEGMENT - 1, SEGMENT, SEGMENT + 1, 8001, 12_345, 50_000, 100_003]
)
def test_identity_gives_back_the_mixture(samples: int, channels: int) -> None:
    separator, system = stub()
    mixture = noise(channels, samples)
    result = separator.separate(mixture, [QUERY], RATE)
    assert result.target.shape == result.residual.shape == mixture.shape
    assert result.target.dtype == result.residual.dtype == np.float32
    np.testing.assert_allclose(result.target, mixture, atol=1e-6)
    assert all(shape[:2] == (1, 2) and PRESET.n_fft <= shape[2] <= SEGMENT for shape in system.mixtures)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000, 192000])
@pytest.mark.parametrize("samples", [1, 777, None])
def test_any_rate_gives_back_the_mixture(rate: int, channels: int, samples: int | None) -> None:
    separator, system = stub()
    mixture = tone(1000, 1.3, rate, channels)[:, :samples]
    result = separator.separate(mixture, [(QUERY, RATE)], rate)
    assert result.sample_rate == rate and result.target.dtype == np.float32
    assert result.target.shape == mixture.shape
    np.testing.assert_allclose(result.target + result.residual, mixture, atol=1e-6)
    if samples is None:
        assert len(system.mixtures) > 3
        assert np.abs(middle(result.residual)).max() < 2e-3, "boundaries are audible"


def test_segments_are_crossfaded() -> None:
    """Each segment scaled differently: between them the gain changes without a step."""

    class Restless(Stub):
        def forward(self, mixture: Tensor, conditioning: Level, time_scale: float = 1.0) -> Tensor:
            self.gain = 1.5 - self.gain
            return super().forward(mixture, conditioning)

    separator = Separator(Restless(0.5), "cpu")
    out = separator.estimate(np.ones((1, 40_000), np.float32), separator.condition([QUERY], RATE), RATE)
    assert out.min() == pytest.approx(0.5)
    assert out.max() == pytest.approx(1.0)
    assert 0 < np.abs(np.diff(out)).max() < 0.01


@pytest.mark.parametrize("samples", [4001, 12_001, 99_999])
def test_a_short_last_chunk_has_a_whole_segment_of_context(samples: int) -> None:
    separator, system = stub()
    separator.separate(noise(1, samples), [QUERY], RATE)
    assert system.mixtures[-1][2] >= min(samples, SEGMENT)


def test_a_system_that_needs_a_whole_segment_gets_one() -> None:
    separator, system = stub()
    system.min_samples = lambda time_scale=1.0: SEGMENT  # type: ignore[method-assign]
    mixture = noise(1, 20_011)
    np.testing.assert_allclose(separator.separate(mixture, [QUERY], RATE).target, mixture, atol=1e-6)
    assert {shape[2] for shape in system.mixtures} == {SEGMENT}


def test_a_mono_model_gives_both_channels_the_same() -> None:
    separator, system = stub(channels=1)
    mixture = noise(2, 9000)
    target = separator.separate(mixture, [QUERY], RATE, residual_pass=False).target
    assert {shape[1] for shape in system.mixtures} == {1}
    np.testing.assert_allclose(target, np.stack([mixture.mean(0)] * 2), atol=1e-6)
    assert separator.separate(mixture[0], [QUERY], RATE).target.shape == (1, 9000), "one dimension is one channel"


# --- above the model's band


@pytest.mark.parametrize(("gain", "share"), [(1.0, 1.0), (0.5, 0.5), (0.0, 0.0)])
def test_the_band_above_the_models_gets_the_gain_of_the_octave_below(gain: float, share: float) -> None:
    separator, _ = stub(gain)
    high, low = tone(30_000, rate=96_000), tone(15_000, rate=96_000)
    target = separator.separate(high + low, [(QUERY, RATE)], 96_000, residual_pass=False).target
    assert rms(middle(target - share * (high + low))) < 0.01 * rms(high)


def test_an_image_system_leaves_the_band_above_its_own_in_the_residual() -> None:
    separator, _ = stub(kind="image")
    high, low = tone(30_000, rate=96_000), tone(5_000, rate=96_000)
    target = separator.separate(high + low, [(QUERY, RATE)], 96_000).target
    assert rms(middle(target - low)) < 0.01 * rms(high)


def test_high_band_gain_follows_time_within_bounds() -> None:
    mixture, nothing = noise(2, 20_000), np.zeros((2, 20_000), np.float32)
    target = np.concatenate([mixture[:, :10_000], 0.25 * mixture[:, 10_000:]], 1)
    gain = high_band_gain(mixture, target, 43_537)
    assert gain.shape == (2, 43_537)
    np.testing.assert_allclose(gain[:, :19_000], 1, atol=0.01)
    np.testing.assert_allclose(gain[:, 24_000:], 0.25, atol=0.01)
    assert high_band_gain(mixture, 10 * mixture, 5000).max() == 1
    assert not high_band_gain(mixture, nothing, 5000).any()
    assert np.isfinite(high_band_gain(nothing, nothing, 5000)).all()


# --- streams


class Tape:
    """A long source: makes what is read, and counts the blocks that are still referenced."""

    sample_rate, channels = RATE, 2

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.longest = 0
        self.most_alive = 0
        self._blocks: list[weakref.ref[np.ndarray]] = []

    def read(self, start: int, stop: int) -> np.ndarray:
        assert 0 <= start < stop <= self.frames
        block = np.full((2, stop - start), 0.1, np.float32)
        self._blocks = [ref for ref in self._blocks if ref() is not None] + [weakref.ref(block)]
        self.longest = max(self.longest, stop - start)
        self.most_alive = max(self.most_alive, len(self._blocks))
        return block


def test_memory_does_not_grow_with_length() -> None:
    separator, _ = stub()
    conditioning = separator.condition([QUERY], RATE)
    tapes = [Tape(60_000), Tape(600_000)]
    for tape in tapes:
        next(separator.stream(tape, conditioning))  # type: ignore[arg-type]
        assert len(tape._blocks) <= 2, "it reads no more than it needs"
        covered = longest = 0
        for block in separator.stream(tape, conditioning):  # type: ignore[arg-type]
            covered += block.shape[1]
            longest = max(longest, block.shape[1])
        assert covered == tape.frames
        assert longest <= SEGMENT
    assert tapes[0].longest == tapes[1].longest == SEGMENT
    assert tapes[1].most_alive <= tapes[0].most_alive <= 3


@pytest.mark.parametrize("samples", [1, 4000, 50_000])
def test_progress_rises_to_one(samples: int) -> None:
    separator, _ = stub()
    shares: list[float] = []
    separator.separate(noise(1, samples), [QUERY], RATE, progress=shares.append)
    assert shares == sorted(shares) and shares[0] > 0 and shares[-1] == 1
    assert samples < SEGMENT or len(shares) > 5


@pytest.mark.parametrize("start", [0, 1, 30_000, 69_999])
@pytest.mark.parametrize("time_scale", [1.0, 1.25])
def test_stream_from_any_sample_is_the_rest_of_the_estimate(tiny: Separator, start: int, time_scale: float) -> None:
    mixture, conditioning = noise(2, 70_000), tiny.condition([QUERY], RATE)
    blocks = list(tiny.stream(audio.ArraySource(mixture, RATE), conditioning, None, time_scale, start))
    estimate = tiny.estimate(mixture, conditioning, RATE, time_scale=time_scale)
    np.testing.assert_array_equal(np.concatenate(blocks, 1), estimate[:, start:])


# --- queries


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        ([], "at least one clip"),
        ([np.zeros(RATE, np.float32)], "it is silent"),
        ([np.full((2, RATE), 2e-5, np.float32)], "it is silent"),
        ([QUERY[: RATE // 20]], r"only 0\.05 s"),
        ([np.concatenate([QUERY[:3000], np.zeros(RATE, np.float32)])], r"only 0\.07 s"),
        ([QUERY, (np.zeros(8000, np.float32), 8000)], "query 2: it is silent"),
    ],
    ids=["none", "silent", "under -90 dBFS", "too short", "little sound", "the second"],
)
def test_queries_without_enough_sound(queries: list[np.ndarray], message: str) -> None:
    separator, system = stub()
    with pytest.raises(BadQuery, match=message):
        separator.separate(noise(1, 5000), queries, RATE)
    assert not system.mixtures


@pytest.mark.parametrize(
    "sound", [np.full(RATE, np.nan), np.zeros((3, RATE)), np.zeros((1, 0)), np.zeros(RATE, np.int16)], ids=str
)
def test_what_is_no_audio(sound: np.ndarray) -> None:
    with pytest.raises(BadAudio, match="the query"):
        stub()[0].condition([sound], RATE)
    with pytest.raises(BadAudio, match="the mixture"):
        stub()[0].separate(sound, [QUERY], RATE)


def test_a_short_query_is_repeated_and_a_long_one_windowed_without_its_silence() -> None:
    separator, system = stub()
    silence = np.zeros(5 * RATE, np.float32)
    clips = [QUERY[1:5001], np.tile(QUERY, 3), np.tile(QUERY, 60), np.concatenate([silence, QUERY, silence])]
    separator.condition(clips, RATE)
    short, long, longest, padded = system.queries
    np.testing.assert_array_equal(short[0], np.concatenate([QUERY[1:5001], QUERY[1:1001]])[None])
    assert all(windows.shape[::2] == (1, SEGMENT) for windows in system.queries)
    assert 22 < long.shape[1] <= MAX_WINDOWS == longest.shape[1]
    assert all(window.abs().max() > 0.1 for window in padded[0])


SILENT = np.zeros(RATE // 3 + 7, np.float32)
SOUND = np.cos(np.arange(RATE) / 7).astype(np.float32)


@pytest.mark.parametrize("length", [RATE // 8, RATE], ids=["short", "long"])
@pytest.mark.parametrize(
    "changed",
    [
        lambda clip: np.concatenate([SILENT, clip]),
        lambda clip: np.concatenate([clip, *[SILENT] * 40]),
        lambda clip: np.concatenate([*[SILENT] * 40, clip, SILENT]),
        lambda clip: np.stack([clip, -clip]),
        lambda clip: np.stack([-clip, clip]),
        lambda clip: np.stack([clip * 2, 0 * clip]),
        lambda clip: np.stack([0 * clip, clip * 2]),
    ],
    ids=["before", "after", "around", "anti-phase", "anti-phase, turned", "right dead", "left dead"],
)
def test_silence_polarity_and_a_dead_channel_change_nothing_of_a_query(changed: Any, length: int) -> None:
    separator, system = stub()
    clip = SOUND[:length]
    separator.condition([clip, changed(clip)], RATE)
    plain, other = system.queries
    np.testing.assert_allclose(other.abs(), plain.abs(), atol=1e-6)


@pytest.mark.parametrize("dbfs", [-30, -60, -72, -84])
def test_a_quiet_query_is_a_query(dbfs: float, tiny: Separator) -> None:
    mixture = noise(2, 30_000)
    loud, quiet = (tiny.separate(mixture, [gain * QUERY], RATE).target for gain in (1.0, 10 ** (dbfs / 20)))
    np.testing.assert_allclose(quiet, loud, atol=2e-3)


def test_a_struck_sounds_tail_stays_and_a_long_silence_within_becomes_a_second() -> None:
    decay = np.cos(np.arange(2 * RATE) / 7).astype(np.float32) * np.exp(-np.arange(2 * RATE) * 6 / RATE)
    end = round(np.log(1000) / 6 * RATE)  # 60 dB below its beginning
    found = levels.without_silence(decay.astype(np.float32), RATE)
    assert abs(len(found) - end) < 30
    twice = np.concatenate([SOUND, *[SILENT] * 30, SOUND])
    assert len(levels.without_silence(twice, RATE)) == 3 * RATE
    close = np.concatenate([SOUND, SILENT, SOUND])
    np.testing.assert_array_equal(levels.without_silence(close, RATE), close)


# --- channels


@pytest.mark.parametrize("residual_pass", [False, True])
@pytest.mark.parametrize(
    "gains", [(1, 0), (0, 1), (1, 1e-3), (0.01, 1), (0.2, 1), (1, -1), (-1, 1), (1, -0.1)], ids=str
)
def test_each_channel_is_separated_as_well_as_in_mono(tiny: Separator, gains: Any, residual_pass: bool) -> None:
    mono, gain = noise(1, 60_000), np.array(gains, np.float32)[:, None]
    known = tiny.separate(mono, [QUERY], RATE, residual_pass=residual_pass).target
    found = tiny.separate(gain * mono, [QUERY], RATE, residual_pass=residual_pass).target
    for channel, one in zip(found, gain[:, 0], strict=True):
        np.testing.assert_allclose(channel, one * known[0], atol=2e-4 * abs(one))


def test_a_quiet_channel_with_a_sound_of_its_own_keeps_it_to_itself(tiny: Separator) -> None:
    left, right = noise(1, 60_000, seed=1), 0.01 * noise(1, 60_000, seed=2)
    conditioning = tiny.condition([QUERY], RATE)
    both = tiny.estimate(np.concatenate([left, right]), conditioning, RATE)
    for found, channel in zip(both, (left, right), strict=True):
        np.testing.assert_array_equal(found, tiny.estimate(channel, conditioning, RATE)[0])


@pytest.mark.parametrize("rate", [1, 7999, 192_001, 44_100.5, -1, 0, float("nan"), float("inf"), None, "x"])
def test_sample_rates_that_cannot_be(tiny: Separator, rate: Any) -> None:
    with pytest.raises(BadAudio, match="sample rate"):
        tiny.separate(noise(1, 1000), [(QUERY, RATE)], rate)
    with pytest.raises(BadAudio, match="sample rate"):
        tiny.condition([(QUERY, rate)], RATE)


def test_whole_rates_may_be_floats(tiny: Separator) -> None:
    found = [tiny.separate(noise(1, 9000), [QUERY], rate).target for rate in (RATE, float(RATE), np.float64(RATE))]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_clips_have_equal_weight_whatever_their_length_and_rate() -> None:
    separator, _ = stub()
    loud, quiet = 0.4 * np.sign(QUERY[: RATE // 10]), 0.1 * np.sign(np.tile(QUERY, 4))
    for queries in ([loud, (quiet, 48_000)], [(quiet, 48_000), loud]):
        (level,) = separator.condition(queries, RATE).positive
        assert float(level) == pytest.approx(0.25, rel=0.02)


@pytest.mark.parametrize("rate", [8000, 44_100, 96_000])
def test_a_query_keeps_its_pitch_at_any_rate(rate: int) -> None:
    separator, system = stub()
    separator.condition([(tone(1000, 1, rate), rate)], RATE)
    window = system.queries[0][0, 1].numpy() * np.hanning(SEGMENT)
    assert np.abs(np.fft.rfft(window)).argmax() == pytest.approx(1000 * SEGMENT / RATE, abs=1)


def test_what_sounds_like_clips_of_interference_is_suppressed() -> None:
    separator = Separator(BandPass(1.0, 0.1), "cpu")
    low, high = (tone(hertz, 2) for hertz in (500, 2500))
    scores = []
    for unlike in ([], [high]):
        found = separator.separate(low + high, [low], RATE, unlike=unlike, residual_pass=False).target
        scores.append(metrics.si_sdr(middle(low), middle(found)))
    assert scores[0] == pytest.approx(20, abs=1)
    assert scores[1] > 25
    with pytest.raises(BadQuery, match="negative clip 2"):
        separator.condition([low], RATE, [high, 0 * high])


def test_the_residual_of_a_first_pass_is_suppressed(nearby: Separator) -> None:
    low, high = (tone(hertz, 1) for hertz in (500, 5000))
    once = nearby.separate(low + high, [low], RATE, residual_pass=False)
    found = nearby.separate(low + high, [low], RATE)
    leak, less = (metrics.si_sdr(middle(low), middle(result.target)[:1]) for result in (once, found))
    assert leak == pytest.approx(10, abs=1)
    assert less > leak + 6
    np.testing.assert_allclose(found.target + found.residual, low + high, atol=1e-6)
    outside = nearby.separate(audio.resample(low + high, RATE, 22_050), [(low, RATE)], 22_050)
    assert metrics.si_sdr(middle(audio.resample(low, RATE, 22_050)), middle(outside.target)) > leak + 5


def test_what_the_first_pass_misses_of_the_target_is_not_suppressed(nearby: Separator) -> None:
    low = tone(500, 1)
    assert rms(low - 0.95 * low) > 0.01
    once, found = (nearby.separate(low, [low], RATE, residual_pass=both).target for both in (False, True))
    np.testing.assert_array_equal(found, once)


def test_the_residual_pass_reads_segments_and_keeps_few(nearby: Separator) -> None:
    tapes = [Tape(60_000), Tape(6_000_000)]
    for tape in tapes:
        nearby.condition([QUERY], RATE, within=tape)
        assert tape.longest <= SEGMENT
        assert tape.most_alive <= MAX_WINDOWS


def test_systems_without_a_mask_make_no_residual_pass() -> None:
    separator, system = stub(kind="image")
    assert not separator.condition([QUERY], RATE, within=Tape(60_000)).negative  # type: ignore[arg-type]
    assert not system.mixtures


def test_polyphony_is_read_off_an_encoded_clip(tiny: Separator) -> None:
    torch.nn.init.constant_(tiny.system.multi_source_detector.bias, 0.7)  # type: ignore[union-attr, arg-type]
    assert tiny.polyphony_logit(tiny.encode(QUERY, RATE)) == pytest.approx(0.7)
    other, _ = stub()
    assert other.polyphony_logit(other.encode(QUERY, RATE)) is None


# --- untrained systems


@pytest.mark.parametrize("preset", ["tiny", "tiny-informed", "tiny-image"])
@pytest.mark.parametrize(("rate", "samples"), [(16_000, 30_011), (44_100, 1), (44_100, 1023), (48_000, 33_791)])
def test_target_and_residual_are_the_mixture(preset: str, rate: int, samples: int) -> None:
    torch.manual_seed(0)
    separator, mixture = Separator(systems.build(preset), "cpu"), noise(2, samples)
    given, query = mixture.copy(), QUERY.copy()  # mostly longer than the mixture
    result = separator.separate(mixture, [(query, RATE)], rate)
    assert np.isfinite(result.target).all() and np.abs(result.target).max() < 2
    np.testing.assert_allclose(result.target + result.residual, mixture, atol=1e-6)
    np.testing.assert_array_equal(separator.separate(mixture, [(query, RATE)], rate).target, result.target)
    np.testing.assert_array_equal(mixture, given)
    np.testing.assert_array_equal(query, QUERY)


@pytest.mark.parametrize(("channels", "rate"), [(1, 8000), (2, 44_100), (2, 96_000)])
def test_silence_stays_silence_even_if_the_system_makes_noise_of_it(channels: int, rate: int) -> None:
    class Noisy(Stub):
        def forward(self, mixture: Tensor, conditioning: Level, time_scale: float = 1.0) -> Tensor:
            return super().forward(mixture, conditioning) + 0.1

    silence = np.zeros((channels, 50_000), np.float32)
    result = Separator(Noisy(), "cpu").separate(silence, [(QUERY, RATE)], rate)
    assert not result.target.any() and not result.residual.any()


@pytest.mark.parametrize("device", ["no-such-device", "", "cpu:x", "cuda:99", "meta", "meta:oops"])
def test_devices_that_are_not_there_or_cannot_compute(device: str) -> None:
    with pytest.raises(FewshotSepError, match=r"device .* try --device cpu") as error:
        Separator(Stub(), device)
    assert "\n" not in str(error.value)
