"""No result takes the place of another's, whatever songs, clips, folders and templates are called."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewshot_sep import audio
from fewshot_sep.songs.jobs import MAX_NAME_BYTES, jobs
from tests.songs import material


def sound(path: str | Path, seed: int = 0) -> Path:
    return material.sound(path, 0.2, seed=seed)


def results(folder: str | Path = "out") -> dict[Path, dict[str, Any]]:
    """Reports by their paths."""
    return {path: json.loads(path.read_text()) for path in sorted(Path(folder).rglob("*report.json"))}


def every_song_is_there(songs: list[Path], folder: str | Path = "out") -> None:
    """As many results as songs, and each target and residual sums to its own song."""
    found = results(folder)
    assert sorted(report["song"] for report in found.values()) == sorted(map(str, songs))
    for path, report in found.items():
        stem = path.name.removesuffix(".report.json")
        parts = [audio.read(next(path.parent.glob(f"{stem}{ending}.[wf]*")))[0] for ending in ("", ".residual")]
        np.testing.assert_allclose(sum(parts), audio.read(report["song"])[0], atol=1e-6)


@pytest.mark.parametrize(
    "names",
    [
        ["d1/take.wav", "d2/take.wav", "take-2.wav"],
        ["take-2.wav", "d1/take.wav", "d2/take.wav"],
        ["x.wav", "x.flac", "x-2.wav"],
        ["a/X.wav", "b/x.wav", "c/x-2.wav", "d/X-2.wav"],
        ["a/caf\u00e9.wav", "b/cafe\u0301.wav"],
        ["a/STRASSE.wav", "b/stra\u00dfe.wav"],
        ["...wav", "..wav.wav", ".wav.wav"],
    ],
    ids=str,
)
@pytest.mark.parametrize("template", ["{song}/{name}", "{name}-{song}", "{song}{name}"])
def test_songs_whose_names_are_alike(run: Any, names: list[str], template: str, tmp_path: Path) -> None:
    songs = [sound(name, seed) for seed, name in enumerate(names)]
    assert run(*songs, "--query-at", "0-0.2", "--template", template) == 0
    every_song_is_there(songs)
    keys = [str(path).casefold() for path in Path("out").rglob("*") if path.is_file()]
    assert len(set(keys)) == len(keys) == 3 * len(songs)
    outside = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*.residual.*")}
    assert outside == {"out"}


def test_a_folder_of_songs_whose_names_are_alike(run: Any) -> None:
    songs = [sound(f"in/{name}", seed) for seed, name in enumerate(("x.wav", "x.flac", "x-2.wav", "deep/x.wav"))]
    assert run("in", "--query-at", "0-0.2") == 0
    every_song_is_there(songs)


def test_a_second_instrument_has_a_residual_and_a_report_of_its_own(run: Any) -> None:
    song = sound("song.wav")
    for name in ("guitar", "bass", "Guitar"):
        assert run(song, "-q", sound(f"{name}-clip/clip.wav", len(name)), "--name", name) == 0
    assert len(results()) == 3
    every_song_is_there([song] * 3)


def test_songs_of_one_name_one_run_after_the_other(run: Any) -> None:
    songs = [sound(f"{folder}/intro.wav", seed) for seed, folder in enumerate("abc")]
    for song in songs:
        assert run(song, "--query-at", "0-0.2", "--skip-existing") == 0
    every_song_is_there(songs)
    assert sorted(path.name for path in Path("out").iterdir()) == ["intro", "intro-2", "intro-3"]
    before = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*")}
    for song in reversed(songs):
        assert run(song, "--query-at", "0-0.2", "--skip-existing") == 0
    assert {path: path.stat().st_mtime_ns for path in Path("out").rglob("*")} == before


@pytest.mark.parametrize(
    "second",
    [
        ["-q", "b/clip.wav"],
        ["-q", "a/clip.wav", "--not", "b/clip.wav"],
        ["-q", "a/clip.wav", "--query-at", "0-0.1", "--name", "clip"],
        ["--query-at", "0-0.1", "--name", "clip"],
        ["-q", "a/clip.wav", "-q", "b/clip.wav"],
    ],
    ids=str,
)
def test_other_evidence_of_the_same_name_is_not_done_before_and_overwrites_nothing(run: Any, second: list[str]) -> None:
    song = sound("song.wav")
    for seed, folder in enumerate("ab"):
        sound(f"{folder}/clip.wav", seed + 1)
    assert run(song, "-q", "a/clip.wav") == 0
    before = {path: path.read_bytes() for path in Path("out").rglob("*.*")}
    assert run(song, *second, "--skip-existing") == 0
    assert len(results()) == 2
    assert {path: path.read_bytes() for path in before} == before


OTHER_OPTIONS = [["--strict"], ["--bits", "16"], ["--meter", "5"], ["--clip", "clamp"], ["--plot"]]


@pytest.mark.parametrize("more", OTHER_OPTIONS, ids=str)
def test_other_options_are_not_done_before_but_take_the_place(run: Any, more: list[str]) -> None:
    song, common = sound("song.wav"), ["--query-at", "0-0.2", "--skip-existing"]
    assert run(song, *common) == 0
    report = Path("out/song/target.report.json")
    before = report.stat().st_mtime_ns
    assert run(song, *common, *more) == 0
    assert report.stat().st_mtime_ns > before and len(results()) == 1
    after = report.stat().st_mtime_ns
    assert run(song, *common, *more) == 0
    assert report.stat().st_mtime_ns == after


def test_resuming_a_batch_leaves_finished_songs_alone(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    songs = [sound(f"{name}.wav", seed) for seed, name in enumerate("abc")]
    assert run(*songs[:2], "--query-at", "0-0.2", "--resume") == 0
    capsys.readouterr()
    assert run(*songs, "--query-at", "0-0.2", "--resume") == 0
    assert capsys.readouterr().err.count("done before, left out") == 2
    every_song_is_there(songs)


@pytest.mark.parametrize("out", [".", "songs", "songs/out", "../songs"])
def test_results_among_the_songs(run: Any, out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    songs = [sound(f"songs/{name}.wav", seed) for seed, name in enumerate("ab")]
    if out == "../songs":
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        songs = [Path("..") / song for song in songs]
    given = songs[0].parent
    for _ in range(2):
        assert run(given, "--query-at", "0-0.2", out=out) == 0
    every_song_is_there(songs, out)


def test_a_folder_of_results_alone_is_said(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(sound("song.wav"), "--query-at", "0-0.2") == 0
    assert run("out", "--query-at", "0-0.2", out="again") == 2
    assert "results of earlier runs" in capsys.readouterr().err


def test_the_clip_and_other_peoples_files_are_never_overwritten(run: Any) -> None:
    song, clip = sound("song.wav"), sound("out/song/guitar.wav", 5)
    other = Path("out/song/guitar-2.residual.wav")
    other.write_text("mine")
    before = clip.read_bytes()
    assert run(song, "-q", clip) == 0
    assert clip.read_bytes() == before and other.read_text() == "mine"
    assert [path.name for path in results()] == ["guitar-3.report.json"]


def test_reports_that_are_damaged_or_of_older_versions_protect_what_they_report(run: Any) -> None:
    song = sound("song.wav")
    for count, text in enumerate(("{", "[" * 100_000, "[]", "{}", '{"digests": 3}', '{"digests": {"song": []}}'), 2):
        assert run(song, "--query-at", "0-0.2") == 0
        Path(f"out/song/target{'' if count == 2 else f'-{count - 1}'}.report.json").write_text(text)
    assert run(song, "--query-at", "0-0.2") == 0
    assert len(list(Path("out").rglob("target*.residual.wav"))) == 7


@pytest.mark.parametrize(
    "arguments", [[""], ["song.wav", ""], ["song.wav", "--query="], ["song.wav", "-q", ""]], ids=str
)
def test_an_empty_argument_is_not_the_current_folder(run: Any, arguments: list[str], capsys: Any) -> None:
    sound("song.wav")
    assert run(*arguments, "--query-at", "0-0.1") == 2
    assert "is empty" in capsys.readouterr().err and not Path("out").exists()


@pytest.mark.parametrize("length", [250, 251])
@pytest.mark.parametrize("letter", ["n", "é", "夜"])
def test_the_longest_names(run: Any, length: int, letter: str) -> None:
    stem = (letter * 250)[: length // len(letter.encode())]
    songs = [sound(f"{stem}.wav", 1), sound(f"{stem}.wav"[1:], 2)]
    clip = shutil.copy(songs[0], f"{'q' + stem[1:]}.wav")
    for template in ("{song}/{name}", "{name} of {song}"):
        out = template.replace("/", "").replace("{", "").replace("}", "")
        assert run(*songs, "-q", clip, "--template", template, out=out) == 0
        every_song_is_there(songs, out)


def test_what_is_cut_is_numbered(tmp_path: Path) -> None:
    songs = [tmp_path / f"{'x' * 240}{end}.wav" for end in "abc"]
    targets = [job.outputs.target for job in jobs(songs, tmp_path / "out", "horn", ".wav")]
    assert len({str(path) for path in targets}) == 3
    assert all(len(os.fsencode(part)) <= MAX_NAME_BYTES + 5 for path in targets for part in path.parts)
