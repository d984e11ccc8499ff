"""The whole command, with a tiny untrained model, on everything that a user may hand it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from fewshot_sep import Separator, audio, cli
from fewshot_sep.songs import cli as songs_cli
from fewshot_sep.songs import pipeline

RATE = 44100


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of an untrained model that is small enough to be quick."""
    import torch

    from fewshot_sep.systems import build
    from fewshot_sep.weights import save

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save(build("tiny"), path, {"name": "tiny"})
    return path


@pytest.fixture
def separate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, weights: Path) -> Callable[..., int]:
    """Exit code of `fewshot-sep separate ARGUMENTS -o out`, run in `tmp_path`."""

    monkeypatch.chdir(tmp_path)

    def call(*arguments: Any, model: Path = weights) -> int:
        options = ["-o", "out", "--weights", model, "--tracker", "librosa", "--device", "cpu"]
        with pytest.raises(SystemExit) as left:
            cli.run(songs_cli.separate, "separate", [*map(str, [*options, *arguments])])
        return int(left.value.code or 0)

    return call


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return sound(tmp_path / "horn.wav", 1.0, channels=1)


def sound(path: Path | str, seconds: float = 1.5, channels: int = 2, rate: int = RATE) -> Path:
    return put(path, np.random.default_rng(0).uniform(-0.3, 0.3, (channels, max(round(seconds * rate), 1))), rate)


def put(name: Path | str, samples: np.ndarray, rate: int = RATE) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples.T, rate, subtype="FLOAT")
    return path


def report(song: str) -> dict[str, Any]:
    (found,) = Path("out", song).glob("*.report.json")
    return dict(json.loads(found.read_text()))


def complete(song: Path, name: str = "horn") -> None:
    """Target and residual have the song's rate, channels and samples, and sum to it."""
    mixture, rate = audio.read(song)
    parts = [audio.read(Path("out", song.stem, f"{part}.wav")) for part in (name, f"{name}.residual")]
    assert all(part_rate == rate and samples.shape == mixture.shape for samples, part_rate in parts)
    np.testing.assert_allclose(parts[0][0] + parts[1][0], mixture, atol=1e-6)


def refused(capsys: pytest.CaptureFixture[str], *said: str) -> None:
    """One line on stderr that says so; nothing written."""
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ")
    assert all(text in lines[0] for text in said), lines[0]
    assert not Path("out").exists()


def broken(name: str, kind: str) -> Path:
    path = Path(name)
    if kind == "empty":
        path.touch()
    elif kind == "not audio":
        path.write_bytes(b"this is a letter, not a song\n" * 50)
    elif kind == "directory":
        path.mkdir()
    elif kind == "no samples":
        put(path, np.zeros((1, 0)))
    return path


@pytest.mark.parametrize("kind", ["missing", "empty", "not audio", "directory", "no samples"])
@pytest.mark.parametrize("role", ["song", "query"])
def test_a_file_that_is_no_sound(kind: str, role: str, separate: Any, clip: Path, capsys: Any) -> None:
    bad = broken("bad.wav", kind)
    song, query = (bad, clip) if role == "song" else (sound("song.wav"), bad)
    assert separate(song, "--query", query) == 2
    refused(capsys, str(bad))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(value: float, separate: Any, clip: Path, capsys: Any) -> None:
    samples = np.zeros((2, 5000))
    samples[1, [1234, 2000]] = value
    assert separate(put("song.wav", samples), "--query", clip) == 2
    refused(capsys, "song.wav", "1234", "2 ")


@pytest.mark.parametrize("frames", [1, 2, 3000])
def test_hardly_any_samples(frames: int, separate: Any, clip: Path) -> None:
    song = put("song.wav", np.full((1, frames), 0.1))
    assert separate(song, "--query", clip) == 0
    complete(song)


def test_silent_song(separate: Any, clip: Path) -> None:
    song = put("song.wav", np.zeros((2, RATE)))
    assert separate(song, "--query", clip) == 0
    complete(song)
    assert not audio.read("out/song/horn.wav")[0].any()
    assert not audio.read("out/song/horn.residual.wav")[0].any()
    assert any("silent" in warning for warning in report("song")["warnings"])


def truncated(name: str) -> Path:
    path = sound(name, 3.0)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


def test_truncated_song_is_done_as_far_as_it_goes(separate: Any, clip: Path, capsys: Any) -> None:
    song = truncated("song.wav")
    assert separate(song, "--query", clip, "--grid", "none") == 0
    complete(song)
    (warning,) = [line for line in report("song")["warnings"] if "cut short" in line]
    assert "1.5" in warning and "3.000 s" in warning
    assert f"warning: {warning}" in capsys.readouterr().err


def test_truncated_song_is_refused_when_strict(separate: Any, clip: Path, capsys: Any) -> None:
    assert separate(truncated("song.wav"), "--query", clip, "--strict") == 2
    refused(capsys, "song.wav", "cut short")


@pytest.mark.parametrize(("channels", "rate"), [(1, RATE), (2, RATE), (2, 8000), (1, 48000), (2, 192000)])
def test_a_file_gives_what_its_array_gives_at_its_rate(
    channels: int, rate: int, separate: Any, clip: Path, weights: Path
) -> None:
    song = sound("song.wav", 1.01, channels, rate)
    assert separate(song, "--query", clip, "--grid", "none") == 0
    complete(song)
    model = pipeline.SongSeparator(Separator.from_pretrained(weights, "cpu"), tracker="librosa")
    result = model.separate(audio.read(song)[0], [audio.read(clip)], rate, "none")
    np.testing.assert_array_equal(audio.read("out/song/horn.wav")[0], result.target)
    for key in ("grid", "target level re mixture (dB)", "boundaries"):
        assert report("song")[key] == result.report[key]


def test_too_many_channels(separate: Any, clip: Path, capsys: Any) -> None:
    assert separate(sound("song.wav", 0.2, channels=6), "--query", clip) == 2
    refused(capsys, "6 channels", "downmix")


@pytest.mark.parametrize("name", ["Füße & 音楽.wav", "two  spaces .wav", 'quote\'s "name".wav', "new\nline.wav"])
def test_names(name: str, separate: Any) -> None:
    song, query = sound(name, 0.5), sound(f"query {name}")
    assert separate(song, "--query", query, "--grid", "none") == 0
    complete(song, query.stem)


def test_leading_dashes(separate: Any) -> None:
    sound("-song.wav", 0.5)
    sound("-horn.wav")
    assert separate("--query=-horn.wav", "--grid", "none", "--", "-song.wav") == 0
    complete(Path("-song.wav"), "-horn")


def test_output_folder_cannot_be_made(separate: Any, clip: Path, capsys: Any) -> None:
    Path("out").write_text("a file is in the way")
    assert separate(sound("song.wav", 0.5), "--query", clip, "--grid", "none") == 1
    assert "out" in capsys.readouterr().err


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_output_folder(separate: Any, clip: Path) -> None:
    Path("out").mkdir(mode=0o500)
    assert separate(sound("song.wav", 0.5), "--query", clip, "--grid", "none") == 1
    assert not list(Path("out").iterdir())


def interrupted(error: BaseException) -> Callable[..., Any]:
    """`SongRun.stems` that gives a block and then fails."""

    def stems(self: pipeline.SongRun, *_: Any, **__: Any) -> Any:
        block = self.source.read(0, 1000)
        yield block, np.zeros_like(block)
        raise error

    return stems


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [(KeyboardInterrupt(), 130), (OSError(28, "No space left on device"), 1), (MemoryError(), 1)],
)
def test_failing_midway_leaves_nothing(
    error: BaseException, exit_code: int, separate: Any, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.SongRun, "stems", interrupted(error))
    assert separate(sound("song.wav"), "--query", clip) == exit_code
    assert not Path("out").exists()


def test_failing_midway_keeps_an_earlier_result(separate: Any, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    song = sound("song.wav")
    assert separate(song, "--query", clip, "--grid", "none") == 0
    before = {path: path.read_bytes() for path in Path("out").rglob("*.*")}
    monkeypatch.setattr(pipeline.SongRun, "stems", interrupted(KeyboardInterrupt()))
    assert separate(song, "--query", clip, "--grid", "none") == 130
    assert {path: path.read_bytes() for path in Path("out").rglob("*.*")} == before


def test_two_runs_at_once(weights: Path, clip: Path, tmp_path: Path) -> None:
    song = sound(tmp_path / "song.wav")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", "fewshot_sep", "separate", song, "--query", clip, "-o", "out"]
    command += ["--weights", weights, "--grid", "none"]
    runs = [
        subprocess.Popen([*map(str, command)], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [run.wait(timeout=300) for run in runs] == [0, 0]
    out = tmp_path / "out" / "song"
    names = {path.name.partition(".")[0] for path in out.iterdir()}
    assert names in ({"horn"}, {"horn", "horn-2"})  # the one if its run had ended before the other began
    files = [f"{name}{ending}" for name in names for ending in (".report.json", ".residual.wav", ".wav")]
    assert sorted(path.name for path in out.iterdir()) == sorted(files)
    mixture, _ = audio.read(song)
    for name in names:
        target, residual = (audio.read(out / f"{part}.wav")[0] for part in (name, f"{name}.residual"))
        np.testing.assert_allclose(target + residual, mixture, atol=1e-6)


@pytest.mark.parametrize("seconds", [0.0, 0.05])
def test_query_without_enough_sound(seconds: float, separate: Any, capsys: Any) -> None:
    samples = np.zeros((1, 2 * RATE))
    samples[0, : round(seconds * RATE)] = 0.3
    query = put("query.wav", samples)
    assert separate(sound("song.wav"), "--query", query) == 2
    refused(capsys, "quer")


def test_no_query(separate: Any, capsys: Any) -> None:
    assert separate(sound("song.wav")) == 2
    assert "--query" in capsys.readouterr().err
    Path("clips").mkdir()
    Path("clips", "readme.txt").write_text("none yet")
    assert separate("song.wav", "--query", "clips") == 2
    refused(capsys, "clips", "no sound files")


@pytest.mark.parametrize("span", ["1-99", "0:01-0:02", "2-3"])
def test_passage_beyond_the_song(span: str, separate: Any, capsys: Any) -> None:
    assert separate(sound("song.wav"), "--query-at", span) == 2
    refused(capsys, "song.wav", "1.50 s")


def test_weights_that_know_no_roles_say_what_to_do(separate: Any, clip: Path, capsys: Any) -> None:
    song = sound("song.wav")
    assert separate(song, "--with-at", "0-1", "--not-at", "1-1.5") == 2
    refused(capsys, "--query", "--with", "prompted")
    assert separate(song, "--query", clip, "--not-at", "1-1.5", "--grid", "none") == 0
    complete(song)


@pytest.mark.parametrize(
    "evidence",
    [["--with-at", "0-1", "--not-at", "1-1.5"], ["-q", "horn.wav", "--with-at", "0-1"], ["--with", "horn.wav"]],
)
def test_weights_that_know_roles_take_any_evidence(evidence: list[str], separate: Any, clip: Path) -> None:
    from fewshot_sep.systems import build
    from fewshot_sep.weights import save

    model, song = Path("prompted.safetensors"), sound("song.wav")
    save(build("tiny-prompted"), model, {"name": "tiny-prompted"})
    assert separate(song, *evidence, "--grid", "none", "--name", "horn", model=model) == 0
    complete(song)


@pytest.mark.parametrize("role", ["--query-at", "--with-at", "--not-at"])
def test_a_silent_mark_is_named(role: str, separate: Any, clip: Path, capsys: Any) -> None:
    samples = np.random.default_rng(0).uniform(-0.3, 0.3, (2, 2 * RATE))
    samples[:, RATE:] = 0
    song = put("song.wav", samples)
    assert separate(song, "--query", clip, role, "1-2") == 2
    refused(capsys, "passage 1-2 s", "silent")


@pytest.mark.parametrize("damage", ["flipped", "short", "missing", "no card"])
def test_damaged_weights(damage: str, separate: Any, clip: Path, weights: Path, capsys: Any) -> None:
    model = Path("model.safetensors")
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    if damage != "missing":
        model.write_bytes(data if damage == "flipped" else data[: len(data) // 2])
    if damage != "no card":
        model.with_suffix(".json").write_bytes(weights.with_suffix(".json").read_bytes())
    assert separate(sound("song.wav"), "--query", clip, model=model) == 2
    refused(capsys, "model.", *(["SHA-256", "fetch"] if damage in ("flipped", "short") else []))


ERRORS = [MemoryError(), RuntimeError("CUDA out of memory"), ZeroDivisionError(), KeyError("x"), RecursionError("deep")]


@pytest.mark.parametrize("error", [None, *ERRORS], ids=repr)
def test_one_bad_song_does_not_stop_the_others(
    error: Exception | None,
    separate: Any,
    clip: Path,
    capsys: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is no audio, or any exception comes of it."""
    first, last = sound("first.wav", 0.5), sound("last.wav", 0.5)
    bad = sound("bad.wav", 1.0) if error else broken("bad.wav", "not audio")
    stems = pipeline.SongRun.stems

    def fails_once(self: pipeline.SongRun, *given: Any, **more: Any) -> Any:
        if error and self.source.frames == RATE:
            raise error
        return stems(self, *given, **more)

    monkeypatch.setattr(pipeline.SongRun, "stems", fails_once)
    assert separate(first, bad, last, "--query", clip, "--grid", "none") == 1
    complete(first)
    complete(last)
    assert sorted(path.name for path in Path("out").iterdir()) == ["first", "last"]
    assert not list(Path("out").rglob(".*"))
    said = capsys.readouterr().err.strip()
    assert said.splitlines()[-1] == f"1 of 3 songs failed: {bad}"
    (line,) = (line for line in said.splitlines() if line.startswith("error: "))
    assert str(bad) in line and "Traceback" not in said
    assert ("--device cpu" in said) == ("CUDA" in str(error))


def test_what_a_format_cannot_hold_is_said_before_the_network_runs(
    separate: Any, clip: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.SongRun, "stems", interrupted(AssertionError("it ran")))
    song = sound("song.wav", 0.5, rate=96000)
    assert separate(song, "--query", clip, "--format", "mp3") == 1
    refused(capsys, "96000 Hz", "wav")


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_song_that_is_overwritten_in_mid_run_fails(
    suffix: str, separate: Any, clip: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    song = Path(f"song.{suffix}")
    soundfile.write(song, np.random.default_rng(0).uniform(-0.3, 0.3, (3 * RATE, 2)), RATE)
    stems = pipeline.SongRun.stems

    def overwritten(self: pipeline.SongRun, *given: Any, **more: Any) -> Any:
        for number, block in enumerate(stems(self, *given, **more)):
            yield block
            if not number:
                song.write_bytes(os.urandom(song.stat().st_size))
                os.utime(song, ns=(1, 1))

    monkeypatch.setattr(pipeline.SongRun, "stems", overwritten)
    assert separate(song, "--query", clip, "--grid", "none") == 2
    refused(capsys, "changed while")


def test_a_mistyped_song_or_clip_is_found_before_the_model_is_loaded(
    separate: Any, clip: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Separator, "from_pretrained", interrupted(AssertionError("loaded")))
    assert separate("sogn.wav", "--query", clip) == 2
    refused(capsys, "sogn.wav: no such file")
    assert separate(sound("song.wav", 0.5), "--query", "cilp.wav") == 2
    refused(capsys, "cilp.wav: no such file")


@pytest.mark.parametrize("options", [[], ["--resume"]], ids=str)
def test_an_interrupted_run_says_how_to_go_on(
    options: list[str], separate: Any, clip: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.SongRun, "stems", interrupted(KeyboardInterrupt()))
    assert separate(sound("song.wav"), "--query", clip, *options) == 130
    assert "--resume goes on" in capsys.readouterr().err


def test_off_a_terminal_progress_is_lines(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(cli, "LINE_SECONDS", 0)
    with cli.progress("song.wav") as progress:
        progress(0.25)
    assert capsys.readouterr().err == "song.wav: 25%\n"


@pytest.mark.skipif(os.name != "posix", reason="such names exist on POSIX only")
def test_names_that_are_not_unicode(separate: Any, tmp_path: Path) -> None:
    song, query = (Path(os.fsdecode(os.fsencode(tmp_path) + name)) for name in (b"/caf\xe9.wav", b"/cl\xefp.wav"))
    try:
        song.touch()
    except OSError:
        pytest.skip("this file system refuses such names")
    for path in (song, query):
        audio.write(path, np.random.default_rng(0).uniform(-0.3, 0.3, (2, RATE)), RATE)
    assert separate(song, "--query", query, "--grid", "none", "--plot") == 0
    complete(song, query.stem)
    assert report(song.stem)["song"] == str(song)
