"""Every way in which a sound file, or the place for one, can be wrong."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fewshot_sep import audio
from fewshot_sep.errors import BadAudio, OutputError
from tests.sounds import RATE, noise

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


def test_a_file_that_changes_under_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    soundfile.write(path, LONG.T, RATE)
    with audio.open_audio(path) as file:
        soundfile.write(path, SHORT.T, RATE)
        with pytest.raises(BadAudio, match="changed while"):
            file.read(0, file.frames)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 48000, 96000, 192000])
def test_rate_and_count_stay(tmp_path: Path, rate: int) -> None:
    audio.write(tmp_path / "a.wav", LONG[:, :22_050], rate)
    read, read_rate = audio.read(tmp_path / "a.wav")
    back = audio.resample(audio.resample(read, read_rate, 44100), 44100, rate, frames=read.shape[1])
    audio.write(tmp_path / "b.wav", back, rate)
    assert soundfile.info(tmp_path / "b.wav").frames == 22_050
    assert soundfile.info(tmp_path / "b.wav").samplerate == rate


@pytest.mark.parametrize(
    "name", ["-song.wav", "ein Stück.wav", "夜に.flac", "a  b.wav", "--.wav", "a:b'c\"d.wav", "%s.wav"]
)
def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    audio.write(name, np.full(10, 0.5), 8000)
    assert audio.read(name)[0].shape == (1, 10)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(os.name != "posix", reason="such names exist on POSIX only")
def test_a_name_that_is_not_unicode(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    try:
        path.touch()
    except OSError:
        pytest.skip("this file system refuses such names")
    audio.write(path, np.full(10, 0.5), 8000)
    assert audio.read(path)[0].shape == (1, 10)


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
    assert ".wav, .flac, .ogg, .mp3" in not_written(tmp_path / name)


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
