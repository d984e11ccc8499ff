"""The length that files declare."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fewshot_sep import audio
from fewshot_sep.audio import declared_length, riff
from fewshot_sep.errors import BadAudio


def bursts(frames: int, rate: int) -> np.ndarray:
    """One second of noise, then near silence, and so on: makes a coder of variable bitrate vary."""
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, frames)
    return noise * np.where(np.arange(frames) // rate % 2, 0.5, 1e-4)


def without_first_mp3_frame(path: Path) -> None:
    """Take away the frame that holds the Xing header, and with it the promise."""
    content = path.read_bytes()
    length = declared_length._mp3_frame(content[:4])
    assert length and b"Xing" in content[: length[0]]
    path.write_bytes(content[length[0] :])


@pytest.mark.parametrize(("subtype", "width"), [("PCM_16", 2), ("PCM_24", 3), ("FLOAT", 4)])
@pytest.mark.parametrize(
    ("container", "endian"), [("WAV", None), ("WAV", "BIG"), ("WAVEX", None), ("RF64", None), ("AIFF", None)]
)
def test_sample_chunk_declares_all_samples(
    tmp_path: Path, container: str, endian: str | None, subtype: str, width: int
) -> None:
    path = tmp_path / "a"
    soundfile.write(path, np.zeros((1001, 2)), 44100, subtype, endian, container)
    chunk = declared_length.sample_chunk(path)
    assert chunk is not None and chunk.declared == 1001 * 2 * width
    path.write_bytes(path.read_bytes()[:2000])
    cut = declared_length.sample_chunk(path)
    assert cut is not None and cut.declared == chunk.declared and cut.present < 2000


@pytest.mark.parametrize("size", [0x7FFFF000, 0x80000000, 0xFFFFFFFF])
def test_a_wav_written_to_a_pipe_promises_nothing(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.full(1000, 0.5), 8000, "PCM_16")
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[4:8] = content[at : at + 4] = struct.pack("<I", size)
    path.write_bytes(content)
    assert declared_length.sample_chunk(path) is None
    with audio.open_audio(path) as file:
        assert file.frames == 1000 and file.warnings == []


def test_a_size_that_no_file_has_ends_the_chunks(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.full(1000, 0.5), 8000, "PCM_16", format="RF64")
    content = bytearray(path.read_bytes())
    at = content.index(b"ds64") + 16
    content[at : at + 8] = struct.pack("<Q", 2**64 - 2)
    path.write_bytes(content)
    with path.open("rb") as file:
        assert [chunk.name for chunk in riff.chunks(file)][-1] == b"data"
    with pytest.raises(BadAudio):
        audio.read(path)


def test_ogg_end_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    soundfile.write(path, bursts(48000, 8000), 8000)
    assert declared_length.ogg_is_complete(path)
    content = path.read_bytes()
    for cut in (1, 30, len(content) // 2, len(content) - 20):
        path.write_bytes(content[:-cut])
        assert not declared_length.ogg_is_complete(path)


def test_mp3_with_a_xing_header_is_left_to_the_decoder(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    soundfile.write(path, bursts(50_000, 44100), 44100)
    assert declared_length.mp3_promise(path) is None


@pytest.mark.parametrize(("rate", "per_frame"), [(44100, 1152), (22050, 576), (8000, 576)])
def test_mp3_without_one_is_counted(tmp_path: Path, rate: int, per_frame: int) -> None:
    path = tmp_path / "a.mp3"
    soundfile.write(path, bursts(5 * rate, rate), rate)
    without_first_mp3_frame(path)
    whole = path.read_bytes()
    promise = declared_length.mp3_promise(path)
    assert promise is not None and promise.complete and promise.frames is not None
    assert promise.frames % per_frame == 0 and 5 * rate <= promise.frames <= 5 * rate + 4 * per_frame
    path.write_bytes(whole[:-9])
    assert declared_length.mp3_promise(path) == declared_length.Promise(promise.frames, complete=False)
    path.write_bytes(b"ID3\4\0\0\0\0\1\2" + bytes(130) + whole + b"TAG" + bytes(125))
    assert declared_length.mp3_promise(path) == promise


def test_an_mp3_whose_end_libsndfile_would_drop_is_read_whole(tmp_path: Path) -> None:
    """Variable bitrate, no Xing header, loud at first: the length guessed from the first frames is far too short."""
    rate, seconds = 44100, 12
    noise = np.random.default_rng(2).uniform(-0.5, 0.5, seconds * rate)
    path = tmp_path / "a.mp3"
    soundfile.write(path, np.where(np.arange(len(noise)) < rate, noise, 1e-5 * noise), rate)
    without_first_mp3_frame(path)
    assert soundfile.info(path).frames < 0.8 * seconds * rate, "libsndfile got better: this detour can go"
    with audio.open_audio(path) as file:
        assert file.frames >= seconds * rate and file.warnings == []


def test_flac_of_unknown_length_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    samples = bursts(30_000, 8000)
    soundfile.write(path, samples, 8000, "PCM_16")
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # STREAMINFO: the 36 bits of the number of samples; 0 means unknown
    content[22:26] = bytes(4)
    path.write_bytes(content)
    with audio.open_audio(path) as file:
        assert file.frames == 30_000 and file.warnings == []
        np.testing.assert_allclose(file.read(20_000, 30_000)[0], samples[20_000:], atol=2**-15)
