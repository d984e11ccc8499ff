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
import typer

from fewshot_sep import audio, cli
from fewshot_sep.audio import Source
from fewshot_sep.errors import BadQuery
from songs import cli as songs_cli

RATE = 22050


class Half:
    """Finds half of everything, and keeps what it was asked with."""

    sample_rate = RATE

    def __init__(self) -> None:
        self.asked: list[list[tuple[np.ndarray, int]]] = []
        self.device: Any = None

    def condition(self, queries: Any, sample_rate: int) -> Any:
        if not all(samples.any() for samples, _ in queries):
            raise BadQuery("a query is silent")
        self.asked.append(queries)
        return queries

    def estimate(self, mixture: np.ndarray, conditioning: Any, sample_rate: int) -> np.ndarray:
        return mixture / 2

    def stream(self, source: Source, conditioning: Any, progress: Any = None) -> Iterator[np.ndarray]:
        for start in range(0, source.frames, 10000):
            yield source.read(start, start + 10000) / 2

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
        "grid": "downbeat", "tracker": "librosa", "stretcher": "signalsmith", "tempo": "audio", "strict": False,
    }  # fmt: skip


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
    assert songs_cli.parse_span(text) == span


@pytest.mark.parametrize("text", ["", "12", "a-b", "5-5", "0:18-0:12", "-3-4", "1:2:3:4-5", "nan-inf"])
def test_passages_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"passage|ends before"):
        songs_cli.parse_span(text)


def test_importing_the_command_loads_nothing_heavy() -> None:
    heavy = ("torch", "librosa", "scipy", "madmom", "matplotlib", "soundfile")
    code = f"import songs.cli, sys; print([module for module in {heavy} if module in sys.modules])"
    paths = "import sys; sys.path[:0] = " + repr([p for p in sys.path if p]) + "; "
    found = subprocess.run([sys.executable, "-c", paths + code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
