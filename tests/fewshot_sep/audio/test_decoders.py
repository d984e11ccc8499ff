"""What FFmpeg reads: compared with what was encoded, cut short, damaged, and not led astray."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from fewshot_sep import audio
from fewshot_sep.audio import decoders
from fewshot_sep.errors import BadAudio

RATE = 48000
CODECS = {"m4a": "aac", "aac": "aac", "webm": "libopus", "wma": "wmav2", "mka": "flac", "ac3": "ac3", "tta": "tta"}


def sweeps(seconds: float = 2.0, channels: int = 2) -> np.ndarray:
    """A sweep from 100 Hz to 4 kHz each second: a shift in time shows."""
    time = np.arange(round(seconds * RATE)) / RATE % 1
    return np.tile(0.5 * np.sin(2 * np.pi * (100 * time + 1950 * time**2)), (channels, 1)).astype(np.float32)


def encode(path: Path, sounds: Sequence[np.ndarray] = (), picture_s: float = 0, **options: str) -> Path:
    """Sounds (streams) and a black picture into the container and codec that the suffix stands for."""
    codec = CODECS.get(path.suffix[1:], "aac")
    with av.open(str(path), "w", format={".m4a": "mp4", ".aac": "adts"}.get(path.suffix), options=options) as file:
        streams = []
        for sound in sounds:
            layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(sound)]
            streams.append(file.add_stream(codec, RATE, layout=layout, bit_rate=256_000))
        if picture_s:
            video = file.add_stream("mpeg4", 25)
            video.width = video.height = 16
            for number in range(round(picture_s * 25)):
                frame = av.VideoFrame(16, 16)
                frame.pts = number
                file.mux(video.encode(frame))
            file.mux(video.encode())
        for sound, stream in zip(sounds, streams, strict=True):
            resampler = av.AudioResampler(stream.format, stream.layout, RATE, stream.frame_size or 1024)
            frame = av.AudioFrame.from_ndarray(sound, "fltp", stream.layout.name)
            frame.sample_rate, frame.pts = RATE, 0
            for part in (*resampler.resample(frame), *resampler.resample(None), None):
                file.mux(stream.encode(part))
    return path


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("suffix", CODECS)
def test_what_was_encoded_is_read_at_any_position(tmp_path: Path, suffix: str, channels: int) -> None:
    sound = sweeps(channels=channels)
    with audio.open_audio(encode(tmp_path / f"-so:ng.{suffix}", [sound])) as file:
        assert (file.sample_rate, file.channels, file.warnings) == (RATE, channels, [])
        whole = file.read(0, file.frames)
        np.testing.assert_array_equal(file.read(70_001, 80_000), whole[:, 70_001:80_000])
        np.testing.assert_array_equal(file.read(3, 9), whole[:, 3:9])
    if suffix in ("m4a", "webm", "mka", "tta"):  # these say what is padding
        assert whole.shape == sound.shape
        assert np.corrcoef(whole[-1], sound[-1])[0, 1] > 0.99
    else:
        assert abs(whole.shape[1] - sound.shape[1]) < 4096


def test_a_stream_that_changes_its_rate_keeps_its_time(tmp_path: Path) -> None:
    first = encode(tmp_path / "a.aac", [sweeps(1)]).read_bytes()
    with av.open(str(tmp_path / "b.aac"), "w", format="adts") as file:
        stream = file.add_stream("aac", 24000, layout="mono")
        frame = av.AudioFrame.from_ndarray(sweeps(1, 1), "fltp", "mono")
        frame.sample_rate, frame.pts = 24000, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    (tmp_path / "a.aac").write_bytes(first + (tmp_path / "b.aac").read_bytes())
    samples, rate = audio.read(tmp_path / "a.aac")
    assert (rate, len(samples)) == (RATE, 2)
    assert samples.shape[1] == pytest.approx(3 * RATE, abs=8192)


@pytest.mark.parametrize(
    ("suffix", "says"),
    [("m4a", "promised 4.000 s"), ("webm", "promised 4.0"), ("tta", "4.000 s"), ("aac", "is missing")],
)
def test_cut_short(tmp_path: Path, suffix: str, says: str) -> None:
    path = encode(tmp_path / f"song.{suffix}", [sweeps(4)], **({"movflags": "+faststart"} if suffix == "m4a" else {}))
    whole, _ = audio.read(path, strict=True)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with audio.open_audio(path) as file:
        assert RATE < file.frames < 3 * RATE
        (warning,) = file.warnings
        assert str(path) in warning and says in warning
        np.testing.assert_array_equal(file.read(0, RATE), whole[:, :RATE])
    with pytest.raises(BadAudio, match="strict reading"):
        audio.read(path, strict=True)


def test_a_damaged_middle_is_said_and_the_rest_read(tmp_path: Path) -> None:
    path = encode(tmp_path / "song.m4a", [sweeps()])
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 500] = b"\xaa" * 500
    path.write_bytes(content)
    with audio.open_audio(path) as file:
        assert RATE < file.frames <= 2 * RATE
        assert "damaged" in file.warnings[0]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_videos(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(BadAudio, match=r"has no audio stream$"):
        audio.open_audio(encode(tmp_path / f"silent.{suffix}", picture_s=0.2))
    with audio.open_audio(encode(tmp_path / f"long.{suffix}", [sweeps(1)], picture_s=2)) as file:
        assert file.warnings == [] and file.frames == pytest.approx(RATE, abs=2048)
    with pytest.raises(BadAudio, match=r"has 6 channels.*-ac 2"):
        audio.open_audio(encode(tmp_path / f"surround.{suffix}", [sweeps(0.2, 6)]))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:2.0,\nsong.aac\n#EXT-X-ENDLIST\n"),
        ("a.ffconcat", "ffconcat version 1.0\nfile song.aac\n"),
        ("a.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n"),
    ],
)
def test_no_other_file_or_host_is_opened_even_if_lists_were_formats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    """That they are none is the other guard, see `tests/bad_inputs/test_files.py`."""
    monkeypatch.setattr(decoders, "_GUESS_LENGTH", f"{decoders._GUESS_LENGTH},hls,concat,sdp")
    encode(tmp_path / "song.aac", [sweeps()])
    (tmp_path / name).write_text(text)
    with pytest.raises(BadAudio, match="is not audio"):
        audio.open_audio(tmp_path / name)
