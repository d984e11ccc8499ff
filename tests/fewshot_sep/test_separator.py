from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fewshot_sep import audio, metrics, presets, spectral, systems
from fewshot_sep.errors import BadAudio, BadQuery, FewshotSepError
from fewshot_sep.separator import MAX_WINDOWS, Separator, high_band_gain

RATE = 44100
SEGMENT = 6000
PRESET = replace(presets.get("tiny"), n_fft=512, hop=128, segment=SEGMENT)
QUERY = np.sin(np.arange(RATE) / 7).astype(np.float32)


class Stub(nn.Module):
    """A system that only scales what it hears, and remembers what it was given."""

    average = systems.System.average

    def __init__(self, gain: float = 1.0, preset: presets.Preset = PRESET) -> None:
        super().__init__()
        self.preset, self.gain = preset, gain
        self.heard: list[tuple[int, ...]] = []
        self.asked: list[Tensor] = []

    def condition(self, queries: Tensor) -> tuple[Tensor]:
        self.asked.append(queries)
        return (queries.square().mean(2).sqrt().mean(1),)

    def forward(self, mixture: Tensor, conditioning: tuple[Tensor]) -> Tensor:
        self.heard.append(tuple(mixture.shape))
        return self.gain * mixture


def stub(gain: float = 1.0, **changes: object) -> tuple[Separator, Stub]:
    system = Stub(gain, replace(PRESET, **changes))  # type: ignore[arg-type]
    return Separator(system, "cpu"), system  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def tiny() -> Separator:
    torch.manual_seed(0)
    return Separator(systems.build("tiny"), "cpu")


def noise(channels: int, samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (channels, samples)).astype(np.float32)


def tone(frequency: float, rate: int, seconds: float = 0.5) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)).astype(np.float32)[None]


def middle(samples: np.ndarray) -> np.ndarray:
    """Without the ends, where resampling has nothing to go by."""
    edge = samples.shape[1] // 10
    return samples[:, edge:-edge]


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples))))


# --- overlap-add


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    "samples", [1, 2, 511, 3999, 4000, 4001, SEGMENT - 1, SEGMENT, SEGMENT + 1, 8001, 12_345, 50_000, 100_003]
)
def test_what_passes_all_gives_back_all(samples: int, channels: int) -> None:
    separator, system = stub()
    mixture = noise(channels, samples)
    result = separator.separate(mixture, [QUERY], RATE)
    assert result.target.shape == result.residual.shape == mixture.shape
    assert result.target.dtype == result.residual.dtype == np.float32
    np.testing.assert_allclose(result.target, mixture, atol=1e-6)
    assert all(shape[:2] == (1, 2) and PRESET.n_fft <= shape[2] <= SEGMENT for shape in system.heard)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000, 192000])
@pytest.mark.parametrize("samples", [1, 777, 30_001])
def test_any_rate_gives_back_the_same_samples(rate: int, channels: int, samples: int) -> None:
    separator, _ = stub()
    mixture = noise(channels, samples)
    result = separator.separate(mixture, [(QUERY, RATE)], rate)
    assert result.sample_rate == rate
    assert result.target.shape == mixture.shape
    assert result.target.dtype == np.float32
    np.testing.assert_allclose(result.target + result.residual, mixture, atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 22050, 48000, 96000])
def test_no_seam_at_another_rate(rate: int) -> None:
    separator, system = stub()
    mixture = tone(1000, rate, 1.5)
    error = separator.separate(mixture, [(QUERY, RATE)], rate).residual
    assert len(system.heard) > 3
    assert np.abs(middle(error)).max() < 2e-3


def test_pieces_meet_in_a_smooth_fade() -> None:
    """Each segment scaled differently: between them the gain changes without a step."""

    class Restless(Stub):
        def forward(self, mixture: Tensor, conditioning: tuple[Tensor]) -> Tensor:
            self.gain = 1.5 - self.gain
            return super().forward(mixture, conditioning)

    separator = Separator(Restless(0.5, PRESET), "cpu")  # type: ignore[arg-type]
    out = separator.estimate(np.ones((1, 40_000), np.float32), separator.condition([QUERY], RATE), RATE)
    assert out.min() == pytest.approx(0.5)
    assert out.max() == pytest.approx(1.0)
    assert 0 < np.abs(np.diff(out)).max() < 0.01


@pytest.mark.parametrize("samples", [4001, 12_001, 99_999])
def test_a_short_last_piece_has_a_whole_segment_to_go_by(samples: int) -> None:
    separator, system = stub()
    separator.separate(noise(1, samples), [QUERY], RATE)
    assert system.heard[-1][2] >= min(samples, SEGMENT)


def test_an_image_system_always_sees_a_whole_segment() -> None:
    separator, system = stub(kind="image")
    mixture = noise(1, 20_011)
    np.testing.assert_allclose(separator.separate(mixture, [QUERY], RATE).target, mixture, atol=1e-6)
    assert {shape[2] for shape in system.heard} == {SEGMENT}


def test_mono_model_and_stereo_song() -> None:
    separator, system = stub(channels=1)
    mixture = noise(2, 9000)
    target = separator.separate(mixture, [QUERY], RATE).target
    assert {shape[1] for shape in system.heard} == {1}
    np.testing.assert_allclose(target, np.stack([mixture.mean(0)] * 2), atol=1e-6)


def test_one_dimension_is_one_channel() -> None:
    separator, _ = stub()
    assert separator.separate(noise(1, 5000)[0], [QUERY], RATE).target.shape == (1, 5000)


# --- above the model's band


@pytest.mark.parametrize(("gain", "share"), [(1.0, 1.0), (0.5, 0.5), (0.0, 0.0)])
def test_what_the_model_cannot_hear_goes_with_the_octave_below(gain: float, share: float) -> None:
    separator, _ = stub(gain)
    high, heard = tone(30_000, 96_000), tone(15_000, 96_000)
    target = separator.separate(high + heard, [(QUERY, RATE)], 96_000).target
    assert rms(middle(target - share * (high + heard))) < 0.01 * rms(high)


def test_identity_at_a_high_rate_leaves_nothing() -> None:
    separator, _ = stub()
    mixture = noise(2, 60_001)
    residual = separator.separate(mixture, [(QUERY, RATE)], 96_000).residual
    assert rms(middle(residual)) < 0.01 * rms(mixture)


def test_an_image_system_leaves_what_it_cannot_hear_in_the_residual() -> None:
    separator, _ = stub(kind="image")
    high, heard = tone(30_000, 96_000), tone(5_000, 96_000)
    target = separator.separate(high + heard, [(QUERY, RATE)], 96_000).target
    assert rms(middle(target - heard)) < 0.01 * rms(high)


def test_top_gain_follows_the_moment() -> None:
    mixture = noise(2, 20_000)
    target = mixture.copy()
    target[:, 10_000:] *= 0.25
    gain = high_band_gain(mixture, target, RATE, 43_537)
    assert gain.shape == (2, 43_537)
    np.testing.assert_allclose(gain[:, :19_000], 1, atol=0.01)
    np.testing.assert_allclose(gain[:, 24_000:], 0.25, atol=0.01)


def test_top_gain_stays_in_bounds() -> None:
    loud, nothing = noise(1, 5000), np.zeros((1, 5000), np.float32)
    assert high_band_gain(loud, 10 * loud, RATE, 5000).max() == 1
    assert high_band_gain(loud, nothing, RATE, 5000).max() == 0
    assert np.isfinite(high_band_gain(nothing, nothing, RATE, 5000)).all()


# --- streams


class Tape:
    """A source without end in sight: makes what is read, counts what of it is still alive."""

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
        covered = longest = 0
        for block in separator.stream(tape, conditioning):  # type: ignore[arg-type]
            covered += block.shape[1]
            longest = max(longest, block.shape[1])
        assert covered == tape.frames
        assert longest <= SEGMENT
    assert tapes[0].longest == tapes[1].longest == SEGMENT
    assert tapes[1].most_alive <= tapes[0].most_alive <= 3


def test_stream_reads_no_more_than_it_needs() -> None:
    separator, _ = stub()
    tape = Tape(600_000)
    next(separator.stream(tape, separator.condition([QUERY], RATE)))  # type: ignore[arg-type]
    assert tape.longest > 0
    assert len(tape._blocks) <= 2


@pytest.mark.parametrize("samples", [1, 4000, 50_000])
def test_progress_rises_to_one(samples: int) -> None:
    separator, _ = stub()
    shares: list[float] = []
    separator.separate(noise(1, samples), [QUERY], RATE, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[0] > 0
    assert shares[-1] == 1
    assert samples < SEGMENT or len(shares) > 5


def test_stream_and_estimate_are_one(tiny: Separator) -> None:
    mixture, conditioning = noise(2, 70_000), tiny.condition([QUERY], RATE)

    class Source:
        sample_rate, channels, frames = RATE, 2, 70_000
        read: Callable[..., np.ndarray] = staticmethod(lambda start, stop: mixture[:, start:stop])

    blocks = list(tiny.stream(Source, conditioning))  # type: ignore[arg-type]
    np.testing.assert_array_equal(np.concatenate(blocks, 1), tiny.estimate(mixture, conditioning, RATE))


# --- queries


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        ([], "at least one clip"),
        ([np.zeros(RATE, np.float32)], "it is silent"),
        ([np.full((2, RATE), 1e-4, np.float32)], "it is silent"),
        ([QUERY[: RATE // 20]], r"only 0\.05 s"),
        ([np.concatenate([QUERY[:3000], np.zeros(RATE, np.float32)])], r"only 0\.07 s"),
        ([QUERY, (np.zeros(8000, np.float32), 8000)], "query 2: it is silent"),
    ],
    ids=["none", "silent", "under -60 dBFS", "too short", "little sound", "the second"],
)
def test_queries_from_which_nothing_can_be_learnt(queries: list, message: str) -> None:
    separator, system = stub()
    with pytest.raises(BadQuery, match=message):
        separator.separate(noise(1, 5000), queries, RATE)
    assert not system.heard


@pytest.mark.parametrize(
    "query", [np.full(RATE, np.nan), np.zeros((3, RATE)), np.zeros(0), np.zeros(RATE, np.int16)], ids=str
)
def test_queries_that_are_no_audio(query: np.ndarray) -> None:
    with pytest.raises(BadAudio, match="the query"):
        stub()[0].condition([query], RATE)


def test_mixtures_that_are_no_audio() -> None:
    for mixture in (np.full((1, 100), np.inf), np.zeros((3, 100)), np.zeros((1, 0))):
        with pytest.raises(BadAudio, match="the mixture"):
            stub()[0].separate(mixture.astype(np.float32), [QUERY], RATE)


def test_a_tenth_of_a_second_is_enough() -> None:
    stub()[0].condition([QUERY[: RATE // 10]], RATE)


def test_a_short_query_is_repeated_and_a_long_one_windowed() -> None:
    separator, system = stub()
    separator.condition([QUERY[:5000], np.tile(QUERY, 3)], RATE)
    short, long = system.asked
    assert short.shape == (1, 1, SEGMENT)
    np.testing.assert_array_equal(short[0, 0], np.concatenate([QUERY[:5000], QUERY[:1000]]))
    assert long.shape[0] == 1
    assert 22 < long.shape[1] <= MAX_WINDOWS
    assert long.shape[2] == SEGMENT
    separator.condition([np.tile(QUERY, 60)], RATE)
    assert system.asked[-1].shape == (1, MAX_WINDOWS, SEGMENT)


def test_silent_stretches_of_a_query_are_left_out() -> None:
    separator, system = stub()
    query = np.concatenate([np.zeros(5 * RATE, np.float32), QUERY, np.zeros(5 * RATE, np.float32)])
    separator.condition([query], RATE)
    assert all(window.abs().max() > 0.1 for window in system.asked[0][0])


def test_a_query_longer_than_the_song(tiny: Separator) -> None:
    mixture = noise(2, 4000)
    assert tiny.separate(mixture, [noise(1, 5 * RATE)], RATE).target.shape == mixture.shape


def test_clips_count_alike_whatever_their_length_and_rate() -> None:
    separator, _ = stub()
    loud, soft = 0.4 * np.sign(QUERY), 0.1 * np.sign(np.tile(QUERY, 4))
    (level,) = separator.condition([loud, (soft, 48_000)], RATE)
    assert float(level) == pytest.approx(0.25, rel=0.02)


@pytest.mark.parametrize("rate", [8000, 44_100, 96_000])
def test_a_query_keeps_its_pitch_at_any_rate(rate: int) -> None:
    separator, system = stub()
    separator.condition([(tone(1000, rate, 1.0), rate)], RATE)
    window = system.asked[0][0, 1].numpy() * np.hanning(SEGMENT)
    assert np.abs(np.fft.rfft(window)).argmax() == pytest.approx(1000 * SEGMENT / RATE, abs=1)


def test_order_of_the_queries_does_not_matter(tiny: Separator) -> None:
    queries = [noise(1, 20_000), (noise(2, 40_000, 1), 16_000), (QUERY, 48_000)]
    for one, other in zip(tiny.condition(queries, RATE), tiny.condition(queries[::-1], RATE), strict=True):
        torch.testing.assert_close(one, other)


def test_what_sounds_like_the_clips_of_what_it_is_not_is_held_back() -> None:
    class Bands(Stub):
        """Finds what lies where the query lies, and a tenth of the rest."""

        def condition(self, queries: Tensor) -> tuple[Tensor]:
            return (torch.fft.rfft(queries[0, 0]).abs().argmax()[None],)

        def forward(self, mixture: Tensor, conditioning: tuple[Tensor]) -> Tensor:
            spectrum, place = torch.fft.rfft(mixture), int(conditioning[0]) * mixture.shape[-1] // SEGMENT
            near = (torch.arange(spectrum.shape[-1]) - place).abs() < 40
            return torch.fft.irfft(spectrum * torch.where(near, 1.0, 0.1), mixture.shape[-1])

    system = Bands(preset=PRESET)
    system.stft = spectral.Stft(512, 128)
    separator = Separator(system, "cpu")  # type: ignore[arg-type]
    low, high = (tone(hertz, separator.sample_rate, 2) for hertz in (500, 2500))
    alone = separator.separate(low + high, [low], separator.sample_rate).target
    held = separator.separate(low + high, [low], separator.sample_rate, unlike=[high]).target
    leak, less = (metrics.si_sdr(middle(low), middle(found)) for found in (alone, held))
    assert leak == pytest.approx(20, abs=1)
    assert less > 25
    with pytest.raises(BadQuery, match="negative clip 2"):
        separator.condition([low], separator.sample_rate, [high, 0 * high])


class Nearby(systems.MaskSystem):
    """Finds what lies where most of a query lies, and three tenths of the rest."""

    def condition(self, queries: Tensor) -> tuple[Tensor]:
        return (torch.fft.rfft(queries[0]).abs().sum(0).argmax()[None],)

    def forward(self, mixture: Tensor, conditioning: tuple[Tensor], time_scale: float = 1.0) -> Tensor:
        spectrum, place = torch.fft.rfft(mixture), int(conditioning[0]) * mixture.shape[-1] // SEGMENT
        near = (torch.arange(spectrum.shape[-1]) - place).abs() < 40 * mixture.shape[-1] // SEGMENT
        return torch.fft.irfft(spectrum * torch.where(near, 0.95, 0.3), mixture.shape[-1])


@pytest.fixture(scope="module")
def nearby() -> Separator:
    return Separator(Nearby(PRESET), "cpu")


def test_what_else_plays_in_the_mixture_is_held_back(nearby: Separator) -> None:
    low, high = (tone(hertz, RATE, 1.0) for hertz in (500, 5000))
    once = nearby.separate(low + high, [low], RATE, residual_pass=False)
    found = nearby.separate(low + high, [low], RATE)
    leak, less = (metrics.si_sdr(middle(low), middle(result.target)[:1]) for result in (once, found))
    assert leak == pytest.approx(10, abs=1)
    assert less > leak + 6
    np.testing.assert_allclose(found.target + found.residual, low + high, atol=1e-6)
    outside = nearby.separate(audio.resample(low + high, RATE, 22_050), [(low, RATE)], 22_050)
    assert metrics.si_sdr(middle(audio.resample(low, RATE, 22_050)), middle(outside.target)) > leak + 5


def test_what_a_run_misses_of_the_target_is_nothing_else(nearby: Separator) -> None:
    low = tone(500, RATE, 1.0)
    assert rms(low - 0.95 * low) > 0.01
    once, found = (nearby.separate(low, [low], RATE, residual_pass=residual_pass).target for contrast in (False, True))
    np.testing.assert_array_equal(found, once)


@pytest.mark.parametrize("samples", [1, 100, SEGMENT, 20_000])
def test_silence_and_scraps_have_nothing_else(nearby: Separator, samples: int) -> None:
    silent, scrap = np.zeros((2, samples), np.float32), noise(2, samples)
    assert not nearby.separate(silent, [QUERY], RATE).target.any()
    assert nearby.separate(scrap, [QUERY], RATE).target.shape == scrap.shape


def test_a_mixture_is_listened_to_in_passages(nearby: Separator) -> None:
    tapes = [Tape(60_000), Tape(6_000_000)]
    for tape in tapes:
        nearby.condition([QUERY], RATE, within=tape)
        assert tape.longest <= SEGMENT
        assert tape.most_alive <= MAX_WINDOWS


def test_other_systems_do_not_listen_to_the_mixture() -> None:
    separator, system = stub()
    separator.condition([QUERY], RATE, within=Tape(60_000))
    assert not system.heard


def test_several_queries_steer_together(tiny: Separator) -> None:
    a, b = noise(1, 40_000), QUERY
    for both, one, other in zip(
        tiny.condition([a, b], RATE), tiny.condition([a], RATE), tiny.condition([b], RATE), strict=True
    ):
        torch.testing.assert_close(both, (one + other) / 2)


# --- the real thing, untrained


@pytest.mark.parametrize("preset", ["tiny", "tiny-informed", "tiny-image"])
@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_target_and_residual_are_the_mixture(preset: str, rate: int) -> None:
    torch.manual_seed(0)
    separator, mixture = Separator(systems.build(preset), "cpu"), noise(2, 30_011)
    result = separator.separate(mixture, [(QUERY, RATE)], rate)
    assert np.isfinite(result.target).all()
    np.testing.assert_allclose(result.target + result.residual, mixture, atol=1e-6)


@pytest.mark.parametrize("samples", [1, 100, 1023, 33_791])
def test_odd_lengths(tiny: Separator, samples: int) -> None:
    mixture = noise(1, samples)
    target = tiny.separate(mixture, [QUERY], RATE).target
    assert target.shape == mixture.shape
    assert np.abs(target).max() < 2


def test_silence_stays_silence(tiny: Separator) -> None:
    for channels, rate in ((1, 8000), (2, 44_100), (2, 96_000)):
        result = tiny.separate(np.zeros((channels, 50_000), np.float32), [(QUERY, RATE)], rate)
        assert not result.target.any()
        assert not result.residual.any()


def test_a_system_that_makes_noise_of_silence_is_not_asked() -> None:
    class Noisy(Stub):
        def forward(self, mixture: Tensor, conditioning: tuple[Tensor]) -> Tensor:
            return super().forward(mixture, conditioning) + 0.1

    separator, silence = Separator(Noisy(), "cpu"), np.zeros((1, 20_000), np.float32)  # type: ignore[arg-type]
    assert not separator.separate(silence, [QUERY], RATE).target.any()


def test_same_in_same_out(tiny: Separator) -> None:
    mixture = noise(2, 50_000)
    one, two = (tiny.separate(mixture, [QUERY], RATE).target for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_nothing_given_is_changed(tiny: Separator) -> None:
    mixture, query = noise(2, 20_000), QUERY.copy()
    before = mixture.copy()
    tiny.separate(mixture, [query], RATE)
    np.testing.assert_array_equal(mixture, before)
    np.testing.assert_array_equal(query, QUERY)


@pytest.mark.parametrize("device", ["no-such-device", "", "cpu:x", "cuda:99", "meta:oops"])
def test_devices_that_are_not_there(device: str) -> None:
    with pytest.raises(FewshotSepError, match=r"device .* try --device cpu") as error:
        Separator(Stub(), device)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_describe_names_the_model(tiny: Separator) -> None:
    facts = tiny.describe()
    assert facts["preset"] == "tiny"
    assert facts["device"] == "cpu"
    assert facts["sample_rate"] == RATE
