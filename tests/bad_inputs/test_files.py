"""Every way in which a sound file, or the place for one, can be wrong."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from fewshot_sep import audio
from fewshot_sep.errors import BadAudio, OutputError
from tests.sounds import RATE, noise, tone

LONG, SHORT = noise(2, 4 * RATE), noise(2, RATE // 10)


def refusal(path: Path | str, **options: bool) -> str:
    """The one line with which opening `path` is refused."""
    with pytest.raises(BadAudio) as refused:
        audio.open_audio(path, **options)
    message = str(refused.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message


def test_missing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "no such file" in refusal(tmp_path / "none.wav")
    assert "is a directory" in refusal(tmp_path)
    refusal(tmp_path / "file" / "song.wav")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_named_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    assert "not a regular file" in refusal(tmp_path / "pipe.wav")


@pytest.mark.parametrize("suffix", ["wav", "mp3", "ogg", "m4a", "raw", "txt", ""])
@pytest.mark.parametrize("content", [b"", b"x", b"RIFF", bytes(5000), b"Dear diary,\n" * 50, b"\0\0\0\x20ftypM4A "])
def test_not_audio(tmp_path: Path, suffix: str, content: bytes) -> None:
    (tmp_path / f"a.{suffix}").write_bytes(content)
    assert ("is not audio" if content else "is empty") in refusal(tmp_path / f"a.{suffix}")


def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audio.write(tmp_path / "a.wav", SHORT, RATE)

    def deny(self: Path, *arguments: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", deny)
    assert "Permission denied" in refusal(tmp_path / "a.wav")


@pytest.mark.parametrize("suffix", ["wav", "aiff", "caf"])
def test_no_samples(tmp_path: Path, suffix: str) -> None:
    soundfile.write(tmp_path / f"a.{suffix}", np.zeros((0, 2)), RATE)
    assert "no samples" in refusal(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "aiff"])
def test_one_sample(tmp_path: Path, suffix: str) -> None:
    soundfile.write(tmp_path / f"a.{suffix}", np.full((1, 2), 0.25), RATE)
    samples, _ = audio.read(tmp_path / f"a.{suffix}")
    assert samples.shape == (2, 1)


@pytest.mark.parametrize("channels", [3, 6])
def test_many_channels_say_how_to_downmix(tmp_path: Path, channels: int) -> None:
    path = tmp_path / "surround.wav"
    soundfile.write(path, np.zeros((100, channels)), RATE)
    message = refusal(path)
    assert f"{channels} channels" in message and f"ffmpeg -i {path} -ac 2" in message


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_samples_are_counted_and_located(tmp_path: Path, subtype: str, value: float) -> None:
    samples = noise(2, RATE)
    samples[1, 22050] = samples[0, 30000] = samples[1, 44099] = value
    soundfile.write(tmp_path / "a.wav", samples.T, RATE, subtype)
    message = refusal(tmp_path / "a.wav")
    assert "3 samples are NaN or Inf, the first at sample 22050 (0.500 s) of channel 1" in message


def halve(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "aiff"])
def test_truncated_file_gives_its_readable_part_and_a_warning(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"song.{suffix}"
    soundfile.write(path, LONG.T, RATE)
    whole, _ = audio.read(path)
    assert whole.shape == (2, 4 * RATE)
    halve(path)
    with audio.open_audio(path) as file:
        assert 1.5 * RATE < file.frames < 2.1 * RATE
        (warning,) = file.warnings
        assert str(path) in warning and f"{file.frames / RATE:.3f} s of the promised 4.000 s" in warning
        kept = min(file.frames - 1152, round(1.4 * RATE))  # the last mp3 frame may be concealed
        np.testing.assert_array_equal(file.read(0, kept), whole[:, :kept])
        np.testing.assert_array_equal(file.read(1000, kept), whole[:, 1000:kept])
        assert file.read(0, file.frames).shape == (2, file.frames)
    assert "4.000 s" in refusal(path, strict=True)


@pytest.mark.parametrize("container", ["VORBIS", "OPUS"])
def test_truncated_ogg_has_no_promise_but_misses_its_end(tmp_path: Path, container: str) -> None:
    path = tmp_path / "song.ogg"
    soundfile.write(path, LONG[0], 48000, container, format="OGG")
    audio.open_audio(path, strict=True).close()
    halve(path)
    with audio.open_audio(path) as file:
        assert file.frames > 0
        assert f"{file.frames / 48000:.3f} s could be read, its end is missing" in file.warnings[0]
    assert "its end is missing" in refusal(path, strict=True)


@pytest.mark.parametrize("lost", [1, 2, 4, 5])
def test_a_wav_that_misses_its_last_bytes(tmp_path: Path, lost: int) -> None:
    path = tmp_path / "song.wav"
    soundfile.write(path, SHORT.T, RATE, "PCM_16")
    path.write_bytes(path.read_bytes()[:-lost])
    with audio.open_audio(path) as file:
        assert file.frames == 4410 - (lost + 3) // 4
        assert f"({file.frames} of 4410 samples)" in file.warnings[0]


@pytest.mark.parametrize(
    "name", ["-song.wav", "ein Stück.wav", "夜に.flac", "a  b.wav", "--.wav", "a:b'c\"d.wav", "%s.wav"]
)
def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    audio.write(name, np.full(10, 0.5), 8000)
    assert audio.read(name)[0].shape == (1, 10)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def not_written(path: Path, *blocks: np.ndarray, frames: int | None = None) -> str:
    """The one line with which writing to `path` fails."""
    with pytest.raises(OutputError) as failed, audio.AudioWriter(path, RATE, 2, frames) as writer:
        for block in blocks or (LONG,):
            writer.write(block)
    message = str(failed.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    assert failed.value.exit_code == 1
    return message


def test_a_folder_that_is_a_file_and_a_file_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "a.wav").mkdir()
    not_written(tmp_path / "file" / "a.wav")
    assert "is a directory" in not_written(tmp_path / "a.wav")
    assert sorted(entry.name for entry in tmp_path.rglob("*")) == ["a.wav", "file"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert "Permission denied" in not_written(tmp_path / "a.wav")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("method", "problem"), [("touch", "Read-only file system"), ("replace", "No space left on device")]
)
def test_what_the_system_refuses_at_first_or_at_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, problem: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, problem)

    monkeypatch.setattr(Path, method, refuse)
    assert problem in not_written(tmp_path / "a.wav")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_disk_full(tmp_path: Path, suffix: str) -> None:
    """A limit on the size of files makes the system refuse to write, as a full disk does."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"what was there before")
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        message = not_written(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "disk" in message
    assert path.read_bytes() == b"what was there before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("stage", ["body", "start", "end"])
def test_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    if stage == "start":
        monkeypatch.setattr(soundfile, "SoundFile", interrupt)
    if stage == "end":
        monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt), audio.AudioWriter(tmp_path / "a.wav", RATE, 2) as writer:
        writer.write(SHORT)
        if stage == "body":
            interrupt()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nothing_but_sound_is_written(tmp_path: Path, value: float) -> None:
    assert "NaN or Inf" in not_written(tmp_path / "a.wav", SHORT, np.array([[0.0, value]] * 2))
    assert not list(tmp_path.iterdir())


def test_a_result_of_another_length_is_not_kept(tmp_path: Path) -> None:
    assert "4410 samples instead of 5000" in not_written(tmp_path / "a.wav", SHORT, frames=5000)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.aac", "a", "a.txt"])
def test_formats_that_are_not_written(tmp_path: Path, name: str) -> None:
    assert ".wav, .flac, .ogg, .opus, .mp3" in not_written(tmp_path / name)


def test_two_writers_of_one_file_do_not_clash(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    low, high = np.full((1, 9000), 0.25), np.full((1, 5000), 0.75)
    with audio.AudioWriter(path, RATE, 1) as first:
        first.write(low[:, :4000])
        with audio.AudioWriter(path, RATE, 1) as second:
            second.write(high[:, :1000])
            first.write(low[:, 4000:])
            second.write(high[:, 1000:])
        np.testing.assert_array_equal(audio.read(path)[0], high)
    np.testing.assert_array_equal(audio.read(path)[0], low)
    assert list(tmp_path.iterdir()) == [path]


def mp3(path: Path, seconds: float = 2.0, hertz: float = 440, tag: bytes = b"") -> bytes:
    """The bytes of an mp3 file, after a tag."""
    audio.write(path, tone(hertz, seconds, channels=2), RATE)
    return tag + path.read_bytes()


ID3 = b"ID3\x03\0\0\0\0\x01\0" + bytes(128)


@pytest.mark.parametrize("between", [b"", b"TAG" + bytes(125), ID3, bytes(777), b"APETAGEX" + bytes(200)], ids=len)
@pytest.mark.parametrize("seconds", [(2, 2), (2, 1, 3), (1, 4)], ids=str)
def test_mp3_files_put_together_are_read_to_the_end(tmp_path: Path, between: bytes, seconds: tuple[float, ...]) -> None:
    parts = [mp3(tmp_path / "part.mp3", length, 440 * (k + 1)) for k, length in enumerate(seconds)]
    (tmp_path / "all.mp3").write_bytes(between.join(parts))
    with audio.open_audio(tmp_path / "all.mp3") as file:
        assert file.frames == pytest.approx(sum(seconds) * RATE, abs=0.1 * RATE * len(seconds))
        last = file.read(file.frames - RATE // 2, file.frames - RATE // 10)[0]
    strongest = np.abs(np.fft.rfft(last * np.hanning(len(last)))).argmax() * RATE / len(last)
    assert strongest == pytest.approx(440 * len(seconds), rel=0.02)


@pytest.mark.parametrize("tag", [b"", ID3], ids=len)
def test_one_mp3_file_is_as_long_as_its_header_says(tmp_path: Path, tag: bytes) -> None:
    (tmp_path / "one.mp3").write_bytes(mp3(tmp_path / "part.mp3", 2, tag=tag))
    with audio.open_audio(tmp_path / "one.mp3", strict=True) as file:
        assert file.frames == 2 * RATE


@pytest.mark.parametrize("riff_size", [True, False])
@pytest.mark.parametrize(
    ("form", "subtype", "mark", "at"),
    [
        ("WAV", "PCM_16", b"data", 4),
        ("WAV", "FLOAT", b"data", 4),
        ("WAVEX", "PCM_24", b"data", 4),
        ("AU", "PCM_16", b".snd", 8),
    ],
)
def test_a_size_of_nothing_though_there_is_something(
    tmp_path: Path, form: str, subtype: str, mark: bytes, at: int, riff_size: bool
) -> None:
    path = tmp_path / ("a.au" if form == "AU" else "a.wav")
    soundfile.write(path, SHORT.T, RATE, subtype, format=form)
    whole, _ = audio.read(path)
    data = bytearray(path.read_bytes())
    place = data.find(mark) + at
    data[place : place + 4] = bytes(4)
    if form != "AU" and not riff_size:
        data[4:8] = bytes(4)
    path.write_bytes(data)
    with audio.open_audio(path) as file:
        np.testing.assert_array_equal(file.read(0, file.frames)[:, : whole.shape[1]], whole)
        assert "its end is missing" in file.warnings[0]
    refusal(path, strict=True)


def test_a_wav_that_is_empty_and_says_so_stays_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((0, 2)), RATE, "PCM_16")
    path.write_bytes(path.read_bytes() + b"LIST\x04\0\0\0INFO")
    assert "no samples" in refusal(path)


def test_a_flac_cut_anywhere_can_be_read_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(1, RATE)[0], RATE)
    data = path.read_bytes()
    starts = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xf8"]  # of frames, mostly
    for cut in [*starts, *(at + 1 for at in starts), *range(100, len(data), len(data) // 60)]:
        path.write_bytes(data[:cut])
        try:
            with audio.open_audio(path) as file:
                assert file.warnings
                for start in (0, file.frames // 2, file.frames - 1):
                    assert file.read(start, file.frames).shape == (1, file.frames - start)
        except BadAudio as error:
            assert "no samples" in str(error) or "not audio" in str(error)


@pytest.mark.parametrize("promised", [2**36 - 1, 2**35, 2**31, RATE + 1])
def test_a_flac_that_promises_far_more_than_it_has(tmp_path: Path, promised: int) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(1, RATE)[0], RATE)
    data = bytearray(path.read_bytes())
    data[21] = data[21] & 0xF0 | promised >> 32
    data[22:26] = (promised & 0xFFFFFFFF).to_bytes(4, "big")
    path.write_bytes(data)
    with audio.open_audio(path) as file:
        assert file.frames == RATE and f"({RATE} of {promised} samples)" in file.warnings[0]
        assert file.read(RATE - 10, RATE).shape == (1, 10)


@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff"])
@pytest.mark.parametrize("how", ["in place", "shorter", "replaced", "noise", "gone"])
def test_whatever_is_written_over_an_open_file_is_noticed(tmp_path: Path, suffix: str, how: str) -> None:
    path = tmp_path / f"song.{suffix}"
    soundfile.write(path, LONG.T, RATE)
    with audio.open_audio(path) as file:
        file.read(0, 100)
        if how == "in place":
            with path.open("r+b") as other:
                other.seek(path.stat().st_size // 2)
                other.write(os.urandom(1000))
        elif how == "shorter":
            soundfile.write(path, SHORT.T, RATE)
        elif how == "replaced":
            soundfile.write(tmp_path / f"new.{suffix}", LONG.T / 2, RATE)
            (tmp_path / f"new.{suffix}").replace(path)
        elif how == "noise":
            path.write_bytes(os.urandom(path.stat().st_size))
        else:
            path.unlink()
        os.utime(path, ns=(0, 1)) if path.exists() else None  # clocks are coarse
        with pytest.raises(BadAudio, match="changed while" if how == "shorter" else r"changed while|cannot be read"):
            file.read(RATE, file.frames)


@pytest.mark.parametrize(
    "name", ["list.m3u8", "list.m3u", "list.ffconcat", "list.wav", "list.pls", "list.sdp", "list.txt"]
)
@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:4,\n{}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{}'\n",
        "#EXTM3U\n#EXTINF:4,\nhttp://127.0.0.1:9/a.wav\n",
        "[playlist]\nFile1={}\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
        "concat:{}|{}",
    ],
    ids=["hls", "concat script", "stream", "pls", "sdp", "concat"],
)
def test_no_list_is_followed_to_other_files(tmp_path: Path, name: str, text: str) -> None:
    audio.write(tmp_path / "neighbour.wav", LONG, RATE)
    for neighbour in ("neighbour.wav", tmp_path / "neighbour.wav"):
        (tmp_path / name).write_text(text.format(neighbour, neighbour))
        assert "is not audio" in refusal(tmp_path / name)


@pytest.mark.parametrize("rate", [1, 10, 7999, 192_001, 2**31 - 1])
@pytest.mark.parametrize("suffix", ["wav", "aiff", "au"])
def test_rates_at_which_nothing_is_recorded(tmp_path: Path, rate: int, suffix: str) -> None:
    soundfile.write(tmp_path / f"a.{suffix}", SHORT.T, rate, "PCM_16")
    assert "sample rate" in refusal(tmp_path / f"a.{suffix}")


def test_whole_rates_may_be_floats(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", SHORT, 44100.0)  # type: ignore[arg-type]
    assert soundfile.info(tmp_path / "a.wav").samplerate == RATE
    assert audio.ArraySource(SHORT, np.float64(48000)).sample_rate == 48000


@pytest.mark.parametrize("value", ["", "a\0b", "x" * 100_000, "\udce9", "夜\n夜", "[red]"], ids=ascii)
@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_odd_tags_do_not_lose_a_result(tmp_path: Path, value: str, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    with audio.AudioWriter(path, RATE, 2, tags={"title": value, "artist": "A"}) as writer:
        writer.write(SHORT)
    assert soundfile.info(path).frames >= SHORT.shape[1]
    with audio.open_audio(path) as file:
        assert file.tags.get("artist", "A") == "A"


def test_empty_and_latin_tags_are_read(tmp_path: Path) -> None:
    tag = b"TAG" + "Süden".encode("latin-1").ljust(30, b"\0") + b"Gr\xfcn".ljust(30, b"\0") + bytes(64) + b"\xff"
    (tmp_path / "a.mp3").write_bytes(mp3(tmp_path / "part.mp3") + tag)
    with audio.open_audio(tmp_path / "a.mp3") as file:
        assert file.tags["title"] == "Süden" and file.tags["artist"] == "Grün"


def test_tags_of_m4a_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    with av.open(str(path), "w") as container:
        container.metadata.update({"title": "Süden", "artist": "A", "track": "3"})
        stream = container.add_stream("aac", rate=48000, layout="stereo")
        frame = av.AudioFrame.from_ndarray(noise(2, 1024 * 20), "fltp", "stereo")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with audio.open_audio(path) as file:
        assert (file.tags["title"], file.tags["artist"], file.tags["tracknumber"]) == ("Süden", "A", "3")


@pytest.mark.parametrize(("bitrate", "kbps"), [(None, 256), (96, 96), (320, 320), (8, 32)])
def test_bitrates_of_mp3(tmp_path: Path, bitrate: int | None, kbps: int) -> None:
    path = tmp_path / "a.mp3"
    with audio.AudioWriter(path, RATE, 2, bitrate=bitrate) as writer:
        writer.write(LONG)
    assert path.stat().st_size * 8 / 4 / 1000 == pytest.approx(kbps, rel=0.05)


@pytest.mark.parametrize(
    ("name", "rate"),
    [("a.mp3", 96_000), ("a.mp3", 192_000), ("a.mp3", 44_056), ("a.flac", 96_001), ("a.flac", 191_999)],
)
def test_formats_that_cannot_have_such_a_rate_say_so_before_any_work(tmp_path: Path, name: str, rate: int) -> None:
    with pytest.raises(OutputError, match=f"{rate} Hz; choose wav"):
        audio.check_writable(tmp_path / name, rate, 2)
    audio.check_writable(tmp_path / "a.wav", rate, 2)
    assert not list(tmp_path.iterdir())


def test_the_decoders_print_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(mp3(tmp_path / "a.mp3", 2, tag=b"ID3\x03\0\0\0\0\x10\0TIT2\xff\xff\xff\xff\0\0" + bytes(2038)))
    for at in range(5000, len(data), 3000):
        data[at : at + 40] = bytes(range(200, 240))
    (tmp_path / "a.mp3").write_bytes(data)
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x20ftypM4A \xff\xff\xff\xff" * 50)
    with contextlib.suppress(BadAudio), audio.open_audio(tmp_path / "a.mp3") as file:
        file.read(0, file.frames)
    refusal(tmp_path / "a.m4a")
    assert capfd.readouterr() == ("", "")
