"""Reading exactly, writing safely, resampling, and what is let in."""

from __future__ import annotations

import io
import tempfile
import tracemalloc
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fewshot_sep import audio
from fewshot_sep.audio import decoders, writer
from fewshot_sep.errors import BadAudio, OutputError
from tests.sounds import middle, noise, tone

FORMATS = {
    "wav": {"subtype": "PCM_16"},
    "flac": {"subtype": "PCM_24"},
    "aiff": {"subtype": "PCM_24"},
    "caf": {"subtype": "FLOAT"},
    "ogg": {"subtype": "VORBIS"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "mp3": {"subtype": "MPEG_LAYER_III"},
}
RATES = [8000, 11025, 16000, 22050, 32000, 44100, 48000, 88200, 96000, 192000]


def music(frames: int, channels: int = 2, rate: int = 48000) -> np.ndarray:
    """Bursts of tone and noise, (channels, frames): hard for a lossy coder, so that a wrong seek shows."""
    rng = np.random.default_rng(frames)
    time = np.arange(frames) / rate
    burst = (np.sin(2 * np.pi * 3 * time) > 0) * (0.3 * np.sin(2 * np.pi * 440 * time))
    return (burst + 0.05 * rng.standard_normal((channels, frames))).astype(np.float32)


@pytest.fixture
def temporaries(monkeypatch: pytest.MonkeyPatch) -> list[IO[bytes]]:
    """The temporary files that are opened."""
    opened: list[IO[bytes]] = []
    genuine = tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **options: opened.append(genuine(**options)) or opened[-1])
    return opened


@pytest.mark.parametrize("suffix", FORMATS)
def test_decoding_once_gives_what_reading_gives(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"song.{suffix}"
    soundfile.write(path, music(600_000).T, 48000, **FORMATS[suffix])
    blocks: list[np.ndarray] = []
    facts = audio.decode(path, blocks.append)
    with audio.open_audio(path) as file:
        np.testing.assert_array_equal(np.concatenate(blocks, axis=1), file.read(0, file.frames))
        assert facts == (file.sample_rate, file.channels, file.frames, file.tags, file.warnings)
    promised = audio.check_header(path)
    assert len(blocks) > 1 and promised[:2] == facts[:2] and promised.frames == pytest.approx(facts.frames, rel=0.01)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("channels", [1, 2])
def test_any_part_equals_that_part_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, temporaries: list[IO[bytes]], suffix: str, channels: int
) -> None:
    passes = []
    genuine = decoders.SoundfileDecoder.blocks
    monkeypatch.setattr(decoders.SoundfileDecoder, "blocks", lambda self: passes.append(self) or genuine(self))
    path = tmp_path / f"song.{suffix}"
    soundfile.write(path, music(200_000, channels).T, 48000, **FORMATS[suffix])
    whole = soundfile.read(path, dtype="float32", always_2d=True)[0].T
    rng = np.random.default_rng(0)
    with audio.open_audio(path) as file:
        assert (file.channels, file.sample_rate, file.frames) == (channels, 48000, whole.shape[1])
        assert file.warnings == []
        spans = [(0, file.frames), (file.frames - 1, file.frames), (0, 1), (7, 7)]
        spans += [tuple(sorted(rng.integers(0, file.frames + 1, 2).tolist())) for _ in range(20)]
        for start, stop in spans:
            np.testing.assert_array_equal(file.read(start, stop), whole[:, start:stop])
    np.testing.assert_array_equal(audio.read(path)[0], whole)
    assert len(passes) == 2  # one each
    lossy = suffix in ("ogg", "opus", "mp3")
    assert [file.closed for file in temporaries] == [True] * lossy


def test_no_temporary_file_outlives_an_error(tmp_path: Path, temporaries: list[IO[bytes]]) -> None:
    path = tmp_path / "song.ogg"
    soundfile.write(path, music(100_000).T, 48000)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadAudio, match="strict"):
        audio.open_audio(path, strict=True)
    assert [file.closed for file in temporaries] == [True]


def test_no_room_for_a_temporary_file(tmp_path: Path, temporaries: list[IO[bytes]]) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    soundfile.write(tmp_path / "song.mp3", music(100_000).T, 48000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OutputError, match=r"song\.mp3: .*TMPDIR") as failed:
            audio.open_audio(tmp_path / "song.mp3")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(failed.value) and [file.closed for file in temporaries] == [True]


def test_reads_clip_like_slices(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", np.ones(10), 8000)
    for source in (audio.open_audio(tmp_path / "a.wav"), audio.ArraySource(np.ones(10), 8000)):
        assert source.read(8, 100).shape == (1, 2)
        assert source.read(10, 12).shape == (1, 0)
        with pytest.raises(ValueError, match="cannot read"):
            source.read(-1, 5)


@pytest.mark.parametrize("suffix", ["wav", "mp3"])
def test_memory_is_bounded_for_long_files(tmp_path: Path, suffix: str) -> None:
    minutes, rate = 3, 8000
    path = tmp_path / f"long.{suffix}"
    with soundfile.SoundFile(path, "w", rate, 1, subtype=FORMATS[suffix]["subtype"]) as file:
        for _ in range(minutes):
            file.write(music(60 * rate, 1, rate).T)
    tracemalloc.start()
    try:
        with audio.open_audio(path) as opened:
            length = opened.frames
            for start in range(0, length, rate):
                opened.read(max(0, start - rate), start + rate)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert length == minutes * 60 * rate
    assert peak < 2e6  # the file as float32 is 6 MB


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frames=st.integers(1, 3000),
    channels=st.integers(1, 2),
    rate=st.sampled_from(RATES),
    suffix=st.sampled_from(["wav", "flac"]),
)
def test_what_is_written_is_read(tmp_path: Path, frames: int, channels: int, rate: int, suffix: str) -> None:
    samples = 1.98 * noise(channels, frames, frames)
    audio.write(tmp_path / f"a.{suffix}", samples, rate)
    back, back_rate = audio.read(tmp_path / f"a.{suffix}")
    assert back_rate == rate and back.dtype == np.float32 and back.shape == samples.shape
    np.testing.assert_allclose(back, samples, atol=0 if suffix == "wav" else 2**-23, rtol=0)


def test_float_wav_in_a_new_folder_keeps_what_is_beyond_full_scale(tmp_path: Path) -> None:
    path, samples = tmp_path / "new" / "folder" / "a.wav", np.array([[1.5, -3.0, 1e-30]], np.float32)
    audio.write(path, samples, 44100)
    np.testing.assert_array_equal(audio.read(path)[0], samples)
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_blocks_add_up_and_bytes_are_the_same(tmp_path: Path) -> None:
    samples = music(10_000)
    audio.write(tmp_path / "whole.wav", samples, 48000)
    with audio.AudioWriter(tmp_path / "blocks.wav", 48000, 2, frames=10_000) as writer:
        for start in range(0, 10_000, 777):
            writer.write(samples[:, start : start + 777])
    content = (tmp_path / "whole.wav").read_bytes()
    assert content == (tmp_path / "blocks.wav").read_bytes()
    peak_chunk = content.index(b"PEAK")
    assert content[peak_chunk + 12 : peak_chunk + 16] == bytes(4)  # no clock time, so the same tomorrow


def test_a_wav_too_long_for_riff_becomes_rf64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_RIFF_MAX_BYTES", 1000)
    samples = music(500)
    audio.write(tmp_path / "long.wav", samples, 48000)
    assert soundfile.info(tmp_path / "long.wav").format == "RF64"
    np.testing.assert_array_equal(audio.read(tmp_path / "long.wav")[0], samples)
    audio.write(tmp_path / "short.wav", samples[:, :100], 48000)
    assert soundfile.info(tmp_path / "short.wav").format == "WAV"
    with (
        pytest.raises(OutputError, match="4 GB"),
        audio.AudioWriter(tmp_path / "unannounced.wav", 48000, 2) as file,
    ):
        file.write(samples)
    assert not (tmp_path / "unannounced.wav").exists()


@pytest.mark.parametrize("form", [("MP3", None), ("OGG", "VORBIS"), ("WAV", "FLOAT"), ("AIFF", "PCM_16")])
def test_encoded_in_memory(form: tuple[str, str | None]) -> None:
    sound = 4 * music(48000, 1)
    kept, rate = soundfile.read(io.BytesIO(audio.encode(sound, 48000, *form)))
    expected = sound if "FLOAT" in form else sound.clip(-1, 1)
    assert rate == 48000 and kept.ndim == 1
    assert np.corrcoef(kept[:48000], expected[0])[0, 1] > 0.95


@pytest.mark.parametrize(("from_rate", "to_rate"), [(8000, 44100), (48000, 44100), (44100, 192000), (192000, 44100)])
def test_resampling_a_tone_gives_that_tone(from_rate: int, to_rate: int) -> None:
    resampled = audio.resample(tone(997, 1, from_rate), from_rate, to_rate)
    assert resampled.shape == (1, to_rate)
    np.testing.assert_allclose(middle(resampled), middle(tone(997, 1, to_rate)), atol=5e-5)


@settings(max_examples=50, deadline=None)
@given(frames=st.integers(1, 5000), channels=st.integers(1, 2), rate=st.sampled_from(RATES))
def test_there_and_back_keeps_the_count(frames: int, channels: int, rate: int) -> None:
    samples = noise(channels, frames)
    there = audio.resample(samples, rate, 44100)
    assert there.shape == (channels, max(1, round(frames * 44100 / rate)))
    back = audio.resample(there, 44100, rate, frames=frames)
    assert back.shape == samples.shape and back.dtype == np.float32


def test_same_rate_is_a_copy() -> None:
    samples = noise(1, 100)
    same = audio.resample(samples, 44100, 44100)
    np.testing.assert_array_equal(same, samples)
    same[:] = 0
    assert samples.any()


def test_validate_gives_channels_by_samples_float32() -> None:
    assert audio.validate(np.zeros(5), "x").shape == (1, 5)
    assert audio.validate([[0.0], [0.5]], "x").dtype == np.float32


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((2, 0)), "no samples"),
        (np.zeros(0), "no samples"),
        (np.zeros((3, 100)), "3 channels"),
        (np.zeros((100, 2)), "transposed"),
        (np.zeros((1, 2, 3)), r"shape \(1, 2, 3\)"),
        (np.float32(1), r"shape \(\)"),
        (np.zeros(4, np.int16), "int16"),
        (np.zeros(4, complex), "complex"),
        (np.array([0, 1e300]), "1 sample is NaN or Inf, the first at sample 1 of channel 0"),
        (
            np.array([[0, 0, 0, np.nan], [0, 0, np.inf, 0]]),
            "2 samples are NaN or Inf, the first at sample 2 of channel 1",
        ),
    ],
)
def test_validate_refuses(array: np.ndarray, says: str) -> None:
    with pytest.raises(BadAudio, match=says) as refusal:
        audio.validate(array, "mixture")
    assert str(refusal.value).startswith("mixture: ") and "\n" not in str(refusal.value)
