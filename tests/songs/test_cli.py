"""`fewshot-sep separate` with a separator that halves: options, names, folders, files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from fewshot_sep import audio, beats, cli, presets
from fewshot_sep.audio import Source
from fewshot_sep.errors import BadQuery
from fewshot_sep.songs import cli as songs_cli
from fewshot_sep.songs.checkpoint import Partial
from fewshot_sep.songs.queries import parse_span

RATE = 22050


class Half:
    """Finds half of everything, and keeps what it was asked with."""

    sample_rate = RATE
    preset = presets.get(presets.DEFAULT)

    def __init__(self) -> None:
        self.asked: list[list[tuple[np.ndarray, int]]] = []
        self.device: Any = None

    def condition(self, queries: Any, sample_rate: int, unlike: Any = (), within: Any = None) -> Any:
        if not all(samples.any() for samples, _ in queries):
            raise BadQuery("a query is silent")
        self.asked.append(queries)
        self.unlike, self.within = unlike, within
        return queries

    def estimate(self, mixture: np.ndarray, conditioning: Any, sample_rate: int, pace: float = 1.0) -> np.ndarray:
        return mixture / 2

    def stream(self, source: Source, conditioning: Any, progress: Any = None, start: int = 0) -> Iterator[np.ndarray]:
        for at in range(start, source.frames, 10000):
            yield source.read(at, at + 10000) / 2

    def polyphony_logit(self, query: np.ndarray, sample_rate: int) -> float:
        return 9.0 if query.shape[1] > 3 * sample_rate else -9.0

    def describe(self) -> dict[str, Any]:
        return {"name": "half", "sha256": "0"}


@pytest.fixture
def half(monkeypatch: pytest.MonkeyPatch) -> Half:
    separator = Half()

    def load(weights: Path | None, device: str) -> Half:
        separator.device = (weights, device)
        return separator

    monkeypatch.setattr(songs_cli, "load_separator", load)
    return separator


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, half: Half) -> Any:
    """Exit code of `fewshot-sep separate ARGUMENTS`."""

    class Plug:
        def load(self) -> Any:
            return songs_cli.separate

    monkeypatch.setattr(cli, "installed_commands", lambda: {"separate": Plug()})

    def call(*arguments: Any) -> int:
        with pytest.raises(SystemExit) as left:
            cli.main(["separate", *map(str, arguments)])
        return int(left.value.code or 0)

    return call


def sound(path: Path, seconds: float = 1.0, channels: int = 2, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, (channels, round(seconds * RATE)))
    audio.write(path, samples.astype(np.float32), RATE)
    return path


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_target_residual_and_report_are_written(tmp_path: Path, run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    song, clip = sound(tmp_path / "my song.wav"), sound(tmp_path / "horn.flac", 0.5, 1, 1)
    assert run(song, "--query", clip, "-o", tmp_path / "out", "--grid", "none") == 0
    folder = tmp_path / "out" / "my song"
    assert files(tmp_path / "out") == [
        "my song",
        *(f"my song/{n}" for n in ("horn.wav", "report.json", "residual.wav")),
    ]
    mixture, _ = audio.read(song)
    target, rate = audio.read(folder / "horn.wav")
    residual, _ = audio.read(folder / "residual.wav")
    assert rate == RATE
    np.testing.assert_array_equal(target, mixture / 2)
    np.testing.assert_allclose(target + residual, mixture, atol=1e-6)
    report = json.loads((folder / "report.json").read_text())
    assert report["song"] == str(song) and report["channels"] == 2
    assert report["queries"] == [str(clip)]
    assert report["settings"]["grid"] == "none" and report["settings"]["strict"] is False
    assert report["model"] == {"name": "half", "sha256": "0"}
    assert report["target level re mixture (dB)"] == pytest.approx(-6.02, abs=0.01)
    assert report["seconds"]["total"] > 0
    printed = capsys.readouterr().out.split("\n")
    assert printed[:3] == [str(folder / name) for name in ("horn.wav", "residual.wav", "report.json")]


def test_queries_from_clips_folders_and_the_song(tmp_path: Path, run: Any, half: Half) -> None:
    song = sound(tmp_path / "song.wav", 4)
    sound(tmp_path / "horn" / "b.wav", 0.3, seed=1)
    sound(tmp_path / "horn" / "a.flac", 0.2, seed=2)
    (tmp_path / "horn" / "notes.txt").write_text("loud")
    lone = sound(tmp_path / "lone.wav", 0.1)
    arguments = ["-q", tmp_path / "horn", "--query", lone, "--query-at", "0:01-0:02.5", "--query-at", "3-4"]
    assert run(song, *arguments, "-o", tmp_path / "out", "--grid", "none") == 0
    lengths = [samples.shape[1] / RATE for samples, _ in half.asked[0]]
    np.testing.assert_allclose(lengths, [0.2, 0.3, 0.1, 1.5, 1.0], atol=1e-4)
    mixture, _ = audio.read(song)
    np.testing.assert_array_equal(half.asked[0][3][0], mixture[:, RATE : round(2.5 * RATE)])
    assert (tmp_path / "out" / "song" / "horn.wav").is_file()
    report = json.loads((tmp_path / "out" / "song" / "report.json").read_text())
    assert report["query passages (s)"] == [[1, 2.5], [3, 4]]


def test_the_name_is_chosen_or_taken_from_the_query(tmp_path: Path, run: Any) -> None:
    song = sound(tmp_path / "song.wav")
    assert run(song, "--query-at", "0-1", "-o", tmp_path / "a", "--grid", "none") == 0
    assert (tmp_path / "a" / "song" / "target.wav").is_file()
    assert run(song, "--query-at", "0-1", "-o", tmp_path / "b", "--grid", "none", "--name", "Waldhorn 1") == 0
    assert (tmp_path / "b" / "song" / "Waldhorn 1.wav").is_file()


@pytest.mark.parametrize("name", ["residual", "Residual", "a/b", "..", ""])
def test_names_that_would_clash_or_escape_are_refused(tmp_path: Path, run: Any, name: str) -> None:
    song = sound(tmp_path / "song.wav")
    assert run(song, "--query-at", "0-1", "-o", tmp_path / "out", "--name", name) == 2
    assert not (tmp_path / "out").exists()


def test_options_reach_the_separator(tmp_path: Path, run: Any, half: Half) -> None:
    song = sound(tmp_path / "song.wav")
    options = ["--grid", "downbeat", "--tracker", "librosa", "--tempo", "audio", "--stretcher", "signalsmith"]
    assert run(song, "--query-at", "0-1", "-o", tmp_path / "out", *options, "--device", "cpu", "--weights", "w") == 0
    assert half.device == (Path("w"), "cpu")
    settings = json.loads((tmp_path / "out" / "song" / "report.json").read_text())["settings"]
    assert settings == {
        "grid": "downbeat", "tracker": "librosa", "stretcher": "signalsmith", "tempo": "audio", "meters": [3, 4],
        "strict": False, "residual_pass": True,
    }  # fmt: skip
    assert half.within


def test_a_song_is_not_listened_to_first_if_told_so(tmp_path: Path, run: Any, half: Half) -> None:
    song = sound(tmp_path / "song.wav")
    assert run(song, "--query-at", "0-1", "-o", tmp_path / "out", "--no-residual_pass") == 0
    assert not half.within
    assert json.loads((tmp_path / "out" / "song" / "report.json").read_text())["settings"]["residual_pass"] is False


@pytest.mark.parametrize(
    ("option", "value"), [("--tracker", "sundial"), ("--stretcher", "taffy"), ("--grid", "x"), ("--tempo", "y")]
)
def test_unknown_engines_are_one_line(
    tmp_path: Path, run: Any, option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    song = sound(tmp_path / "song.wav")
    assert run(song, "--query-at", "0-1", "-o", tmp_path / "out", option, value) == 2
    assert value in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_plot_is_drawn(tmp_path: Path, run: Any) -> None:
    song = sound(tmp_path / "song.wav", 2)
    assert run(song, "--query-at", "0-1", "-o", tmp_path / "out", "--grid", "none", "--plot") == 0
    assert (tmp_path / "out" / "song" / "report.png").read_bytes().startswith(b"\x89PNG")


def test_songs_of_one_name_get_folders_of_their_own(tmp_path: Path, run: Any) -> None:
    songs = [sound(tmp_path / folder / "song.wav", seed=k) for k, folder in enumerate("ab")]
    assert run(*songs, "--query-at", "0-1", "-o", tmp_path / "out", "--grid", "none") == 0
    for song, name in zip(songs, ("song", "song-2"), strict=True):
        target, _ = audio.read(tmp_path / "out" / name / "target.wav")
        np.testing.assert_array_equal(target, audio.read(song)[0] / 2)


def test_a_second_run_replaces_the_first(tmp_path: Path, run: Any) -> None:
    song = sound(tmp_path / "song.wav")
    for _ in range(2):
        assert run(song, "--query-at", "0-1", "-o", tmp_path / "out", "--grid", "none") == 0
    assert len(files(tmp_path / "out")) == 4


@pytest.mark.parametrize(
    ("text", "span"), [("0:12-0:18", (12, 18)), ("1:02:03.5 - 1:02:04", (3723.5, 3724)), ("3-4.25", (3, 4.25))]
)
def test_passages_are_read(text: str, span: tuple[float, float]) -> None:
    assert parse_span(text) == span


@pytest.mark.parametrize("text", ["", "12", "a-b", "5-5", "0:18-0:12", "-3-4", "1:2:3:4-5", "nan-inf"])
def test_passages_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"passage|ends before"):
        parse_span(text)


def test_importing_the_command_loads_nothing_heavy() -> None:
    heavy = ("torch", "librosa", "scipy", "madmom", "matplotlib", "soundfile")
    code = f"import fewshot_sep.songs.cli, sys; print([module for module in {heavy} if module in sys.modules])"
    paths = "import sys; sys.path[:0] = " + repr([p for p in sys.path if p]) + "; "
    found = subprocess.run([sys.executable, "-c", paths + code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_folder_of_songs_and_what_is_there_is_left_out(tmp_path: Path, run: Any, capsys: Any) -> None:
    clip = sound(tmp_path / "horn.wav", 2, seed=9)
    one, two = sound(tmp_path / "album" / "a.wav"), sound(tmp_path / "album" / "more" / "b.wav", seed=1)
    arguments = [tmp_path / "album", "-q", clip, "-o", tmp_path / "out", "--grid", "none", "--skip-existing"]
    assert run(*arguments) == 0
    for song, folder in ((one, "a"), (two, "more/b")):
        target, _ = audio.read(tmp_path / "out" / folder / "horn.wav")
        np.testing.assert_array_equal(target, audio.read(song)[0] / 2)
    (tmp_path / "out" / "a" / "horn.wav").unlink()
    before = (tmp_path / "out" / "more" / "b" / "horn.wav").stat().st_mtime_ns
    capsys.readouterr()
    assert run(*arguments) == 0
    assert (tmp_path / "out" / "a" / "horn.wav").is_file()
    assert (tmp_path / "out" / "more" / "b" / "horn.wav").stat().st_mtime_ns == before
    assert f"{two}: done before, left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "name", "subtype"),
    [
        (["--format", "flac"], "song/horn.flac", "PCM_24"),
        (["--bits", "16"], "song/horn.wav", "PCM_16"),
        (["--format", "mp3", "--template", "{name} ({song})"], "horn (song).mp3", "MPEG_LAYER_III"),
        (["--format", "ogg"], "song/horn.ogg", "VORBIS"),
    ],
)
def test_formats_bits_names_and_tags(tmp_path: Path, run: Any, options: list[str], name: str, subtype: str) -> None:
    song = tmp_path / "song.flac"
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (2, RATE)).astype(np.float32)
    with audio.AudioWriter(song, RATE, 2, tags={"title": "Süden", "artist": "Sectoid"}) as writer:
        writer.write(samples)
    assert run(song, "--query-at", "0-1", "--name", "horn", "-o", tmp_path / "out", "--grid", "none", *options) == 0
    with soundfile.SoundFile(tmp_path / "out" / name) as file:
        assert file.subtype == subtype
        assert (file.title, file.artist) == ("Süden", "Sectoid")
        assert (file.samplerate, file.channels, file.frames) == (RATE, 2, RATE)
        if subtype.startswith("PCM"):
            np.testing.assert_allclose(file.read().T, samples / 2, atol=4e-5)


@pytest.mark.parametrize("options", [["--format", "mp3", "--bits", "16"], ["--bits", "12"], ["--template", "{song}"]])
def test_output_options_that_do_not_go_together(tmp_path: Path, run: Any, options: list[str]) -> None:
    song = sound(tmp_path / "song.wav")
    assert run(song, "--query-at", "0-1", "-o", tmp_path / "out", *options) == 2
    assert not (tmp_path / "out").exists()


def test_what_a_format_cannot_hold_is_made_softer_or_cut_off(tmp_path: Path, run: Any, capsys: Any) -> None:
    song = tmp_path / "song.wav"
    samples = np.random.default_rng(0).uniform(-3, 3, (1, RATE)).astype(np.float32)
    audio.write(song, samples, RATE)
    common = [song, "--query-at", "0-1", "--name", "x", "--grid", "none", "-o"]
    assert run(*common, tmp_path / "soft", "--format", "flac") == 0
    parts = [audio.read(tmp_path / "soft" / "song" / f"{name}.flac")[0] for name in ("x", "residual")]
    gain = 2 / np.abs(samples).max()
    np.testing.assert_allclose(parts[0] + parts[1], gain * samples, atol=1e-5)
    assert "softer" in capsys.readouterr().err
    assert run(*common, tmp_path / "cut", "--format", "flac", "--clip", "clamp") == 0
    cut, _ = audio.read(tmp_path / "cut" / "song" / "x.flac")
    np.testing.assert_allclose(cut, np.clip(samples / 2, -1, 1), atol=1e-5)
    assert "clipped" in capsys.readouterr().err
    assert run(*common, tmp_path / "whole") == 0
    np.testing.assert_array_equal(audio.read(tmp_path / "whole" / "song" / "x.wav")[0], samples / 2)
    assert "softer" not in capsys.readouterr().err


def test_beats_are_kept_and_not_tracked_again(tmp_path: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    song = sound(tmp_path / "song.wav", 3)
    arguments = [song, "--query-at", "0-2", "-o", tmp_path / "out", "--grid", "beat", "--tracker", "librosa"]
    calls = []
    track = beats.track

    def counted(*given: Any, **more: Any) -> Any:
        calls.append(more["meters"])
        return track(*given, **more)

    monkeypatch.setattr(beats, "track", counted)
    assert run(*arguments) == 0
    first = (tmp_path / "out" / "song" / "report.json").read_text()
    assert run(*arguments) == 0
    assert len(calls) == 1
    again = (tmp_path / "out" / "song" / "report.json").read_text()
    assert json.loads(again)["grid"] == json.loads(first)["grid"]
    assert run(*arguments, "--meter", "5") == 0
    sound(song, 3, seed=4)
    assert run(*arguments) == 0
    assert calls == [(3, 4), (5,), (3, 4)]
    (tmp_path / "out" / "song" / "beats.json").write_text("{", encoding="utf-8")
    assert run(*arguments) == 0
    assert len(calls) == 4


@pytest.mark.parametrize("grid", ["none", "beat"])
def test_an_interrupted_song_is_gone_on_with(
    tmp_path: Path, run: Any, half: Half, grid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    song = sound(tmp_path / "song.wav", 12)
    arguments = [song, "--query-at", "0-2", "--grid", grid, "--tracker", "librosa", "-o"]
    assert run(*arguments, tmp_path / "whole") == 0
    share = []

    def stop(self: Partial, block: np.ndarray) -> None:
        write(self, block)
        share.append(self.frames / (12 * RATE))
        if share[-1] > 0.4:
            raise KeyboardInterrupt

    write = Partial.write
    with monkeypatch.context() as patch:
        patch.setattr(Partial, "write", stop)
        assert run(*arguments, tmp_path / "out", "--resume") == 130
    assert not list((tmp_path / "out").rglob("*.wav"))
    begun = []

    def begin(self: Partial, block: np.ndarray) -> None:
        begun.append(self.frames / (12 * RATE))
        write(self, block)

    monkeypatch.setattr(Partial, "write", begin)
    assert run(*arguments, tmp_path / "out", "--resume") == 0
    assert begun[0] == share[-1] > 0.4
    for name in ("target", "residual"):
        parts = [audio.read(tmp_path / place / "song" / f"{name}.wav")[0] for place in ("out", "whole")]
        np.testing.assert_array_equal(*parts)
    reports = [json.loads((tmp_path / place / "song" / "report.json").read_text()) for place in ("out", "whole")]
    assert reports[0]["target level re mixture (dB)"] == reports[1]["target level re mixture (dB)"]
    assert not [path for path in (tmp_path / "out").rglob("*") if path.name.startswith(".")]


def test_what_it_is_not_reaches_the_model_and_the_report(tmp_path: Path, run: Any, half: Half) -> None:
    song, folder = sound(tmp_path / "song.wav", 3), tmp_path / "others"
    folder.mkdir()
    others = [sound(folder / name, 2, seed=seed) for seed, name in enumerate(("drums.wav", "voice.wav"))]
    assert run(song, "--query-at", "0-2", "--not", folder, "--grid", "none", "-o", tmp_path / "out") == 0
    assert [clip.shape for clip, _ in half.unlike] == [audio.read(path)[0].shape for path in others]
    report = json.loads((tmp_path / "out" / "song" / "report.json").read_text())
    assert report["not"] == [str(path) for path in others]
    assert len(report["query quality"]) == 1


def test_another_query_in_the_same_file_begins_anew(
    tmp_path: Path, run: Any, half: Half, monkeypatch: pytest.MonkeyPatch
) -> None:
    song, query = sound(tmp_path / "song.wav", 8), sound(tmp_path / "query.wav", 2, seed=1)
    arguments = [song, "-q", query, "--grid", "none", "-o", tmp_path / "out", "--resume"]
    write, begun = Partial.write, []

    def stop(self: Partial, block: np.ndarray) -> None:
        begun.append(self.frames)
        write(self, block)
        raise KeyboardInterrupt

    monkeypatch.setattr(Partial, "write", stop)
    assert [run(*arguments), run(*arguments)] == [130, 130]
    assert 0 == begun[0] < begun[1]
    sound(query, 2, seed=2)
    assert run(*arguments) == 130
    assert begun[2] == 0


def test_doubtful_queries_are_said(tmp_path: Path, run: Any, capsys: Any) -> None:
    song, clip = sound(tmp_path / "song.wav"), sound(tmp_path / "horn.wav", 0.5)
    assert run(song, "-q", clip, "-o", tmp_path / "out", "--grid", "none") == 0
    assert f"warning: {clip}: only 0.5 s of it sound" in capsys.readouterr().err
    (quality,) = json.loads((tmp_path / "out" / "song" / "report.json").read_text())["query quality"]
    assert quality["query"] == str(clip) and quality["sound (s)"] == pytest.approx(0.5, abs=0.05)
    assert quality["polyphony_logit"] == -9
    long = sound(tmp_path / "band.wav", 4)
    assert run(song, "-q", long, "-o", tmp_path / "band", "--grid", "none") == 0
    assert f"warning: {long}: more than one instrument" in capsys.readouterr().err
