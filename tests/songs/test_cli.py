"""`fewshot-sep separate` with a separator that halves: options, names, folders, files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from fewshot_sep import audio, beats, cli
from fewshot_sep.songs import cli as songs_cli
from fewshot_sep.songs import separate_file
from fewshot_sep.songs.checkpoint import Partial
from tests.songs.material import RATE, samples, sound


def report(folder: str = "out/song") -> dict[str, Any]:
    found = max(Path(folder).glob("*.report.json"), key=lambda path: path.stat().st_mtime_ns)
    return dict(json.loads(found.read_text()))


def files(folder: str = "out") -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def test_target_residual_and_report_are_written(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    song, clip = sound("my song.wav"), sound("horn.flac", 0.5, 1, 1)
    assert run(song, "--query", clip) == 0
    assert files() == [f"my song/horn{name}" for name in (".report.json", ".residual.wav", ".wav")]
    target, residual = (samples(f"out/my song/{name}.wav") for name in ("horn", "horn.residual"))
    np.testing.assert_array_equal(target, samples(song) / 2)
    np.testing.assert_allclose(target + residual, samples(song), atol=1e-6)
    content = report("out/my song")
    assert content["song"] == str(song) and content["channels"] == 2
    assert content["queries"] == [str(clip)]
    assert content["model"] == {"name": "fake", "sha256": "0"}
    assert content["target level re mixture (dB)"] == pytest.approx(-6.02, abs=0.01)
    assert content["seconds"]["total"] > 0
    printed = capsys.readouterr().out.splitlines()
    assert printed == [str(Path("out/my song", name)) for name in ("horn.wav", "horn.residual.wav", "horn.report.json")]


def test_queries_from_clips_folders_and_the_song(run: Any, half: Any) -> None:
    song = sound("song.wav", 4)
    sound("horn/b.wav", 0.3, seed=1)
    sound("horn/a.flac", 0.2, seed=2)
    Path("horn/notes.txt").write_text("loud")
    lone = sound("lone.wav", 0.1)
    assert run(song, "-q", "horn", "--query", lone, "--query-at", "0:01-0:02.5", "--query-at", "3-4") == 0
    lengths = [clip.shape[1] / RATE for _, clip in half.encoded]
    np.testing.assert_allclose(lengths, [0.2, 0.3, 0.1, 1.5, 1.0], atol=1e-4)
    np.testing.assert_array_equal(half.encoded[3][1], samples(song)[:, RATE : round(2.5 * RATE)])
    assert "song/horn.wav" in files()
    assert report()["query passages (s)"] == [[1, 2.5], [3, 4]]


def test_each_file_is_read_once_and_each_clip_encoded_once(
    run: Any, half: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    songs, clip, other = [sound(f"{name}.wav") for name in "ab"], sound("clip.wav"), sound("other.wav")
    decoded: list[str] = []
    open_decoder = audio.files.open_decoder

    def counted(path: Path, *more: Any) -> Any:
        decoded.append(str(path))
        return open_decoder(path, *more)

    monkeypatch.setattr(audio.files, "open_decoder", counted)
    evidence = ["-q", clip, "--not", other, "--query-at", "0-1"]
    assert run(*songs, *evidence, "--format", "ogg", "--plot", grid="beat") == 0
    assert decoded == ["clip.wav", "other.wav", "a.wav", "b.wav"]
    assert [name for name, _ in half.encoded] == ["clip.wav", "other.wav", "passage 0-1 s", "passage 0-1 s"]
    for name in "ab":
        assert Path(f"out/{name}/clip.report.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "name"), [([], "target"), (["--name", "Waldhorn 1"], "Waldhorn 1"), (["-q", "x/horn.wav"], "horn")]
)
def test_the_name_is_given_or_that_of_the_query(run: Any, options: list[str], name: str) -> None:
    sound("x/horn.wav")
    assert run(sound("song.wav"), "--query-at", "0-1", *options) == 0
    assert f"song/{name}.wav" in files()


IMPOSSIBLE = [
    *(["--name", name] for name in ("residual", "Residual", "a/b", "..", "")),
    *(["--tracker", "sundial"], ["--stretcher", "taffy"], ["--tempo", "y"], ["--clip", "z"]),
    *(["--format", "mp3", "--bits", "16"], ["--bits", "12"], ["--template", "{song}"], ["--query-at", "5-4"]),
]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        *((["--query-at", "0-1", *options], options[-1]) for options in IMPOSSIBLE),
        (["--not-at", "1-2"], "--with-at"),
        (["--not", "clip.wav"], "--query-at"),
        (["--with-at", "1-3", "--not-at", "2-4"], "passages 1-3 s"),
        (["--with-at", "4-1"], "ends before"),
        (["--query-at", "0-1", "--not-at", "7-9"], "8.00 s"),
    ],
)
def test_options_and_evidence_that_cannot_be_are_named_and_nothing_is_written(
    run: Any, options: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sound("clip.wav")
    assert run(sound("song.wav", 8), *options) == 2
    assert named in capsys.readouterr().err
    assert not Path("out").exists()


def test_options_reach_the_separator(run: Any, half: Any) -> None:
    options = ["--tracker", "librosa", "--tempo", "audio", "--stretcher", "signalsmith", "--device", "cpu"]
    assert run(sound("song.wav"), "--query-at", "0-1", *options, "--weights", "w", grid="downbeat") == 0
    assert half.loaded == (Path("w"), "cpu")
    assert report()["settings"] == {
        "grid": "downbeat", "tracker": "librosa", "stretcher": "signalsmith", "tempo": "audio", "meters": [3, 4],
        "strict": False, "residual_pass": True,
    }  # fmt: skip
    assert half.conditionings[0] == ["1 s", "residual"]


@pytest.mark.parametrize("option", ["--no-residual-pass", "--no-contrast"])
def test_the_residual_pass_can_be_left_out_also_by_its_old_name(run: Any, half: Any, option: str) -> None:
    assert run(sound("song.wav"), "--query-at", "0-1", option) == 0
    assert half.conditionings[0] == ["1 s"]
    assert report()["settings"]["residual_pass"] is False


def python(*arguments: str) -> str:
    """What another interpreter prints, started in the working directory."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_importing_the_command_loads_nothing_heavy() -> None:
    heavy = ("torch", "librosa", "numpy", "scipy", "madmom", "matplotlib", "soundfile")
    code = f"import fewshot_sep.songs.cli, sys; print([module for module in {heavy} if module in sys.modules])"
    assert python("-c", code).strip() == "[]"


def test_what_lies_in_the_working_directory_shadows_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("songs/__init__.py", "songs.py", "loops.py", "experiments.py"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("raise RuntimeError('not ours')")
    code = "from fewshot_sep import SongSeparator; import fewshot_sep.songs.cli; print(SongSeparator.__module__)"
    assert python("-c", code).strip() == "fewshot_sep.songs.pipeline"
    assert "separate" in python("-m", "fewshot_sep", "--help")
    assert "--query" in python("-m", "fewshot_sep", "separate", "--help")


def test_a_folder_of_songs_and_results_that_are_there(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    clip, one, two = sound("horn.wav", 2, seed=9), sound("album/a.wav"), sound("album/more/b.wav", seed=1)
    assert run("album", "-q", clip, "--skip-existing") == 0
    for song, folder in ((one, "a"), (two, "more/b")):
        np.testing.assert_array_equal(samples(f"out/{folder}/horn.wav"), samples(song) / 2)
    Path("out/a/horn.wav").unlink()
    kept = Path("out/more/b/horn.wav")
    before = kept.stat().st_mtime_ns
    capsys.readouterr()
    assert run("album", "-q", clip, "--skip-existing") == 0
    assert Path("out/a/horn.wav").is_file() and kept.stat().st_mtime_ns == before
    assert f"{two}: done before, left out" in capsys.readouterr().err
    assert run("album", "-q", clip) == 0
    assert kept.stat().st_mtime_ns > before and len(files()) == 6


@pytest.mark.parametrize(
    ("options", "name", "subtype"),
    [
        (["--format", "flac"], "song/horn.flac", "PCM_24"),
        (["--bits", "16"], "song/horn.wav", "PCM_16"),
        (["--format", "mp3", "--template", "{name} ({song})"], "horn (song).mp3", "MPEG_LAYER_III"),
        (["--format", "ogg"], "song/horn.ogg", "VORBIS"),
    ],
)
def test_formats_bits_names_and_tags(run: Any, options: list[str], name: str, subtype: str) -> None:
    mixture = np.random.default_rng(0).uniform(-0.5, 0.5, (2, RATE)).astype(np.float32)
    with audio.AudioWriter("song.flac", RATE, 2, tags={"title": "Süden", "artist": "Sectoid"}) as writer:
        writer.write(mixture)
    assert run("song.flac", "--query-at", "0-1", "--name", "horn", *options) == 0
    with soundfile.SoundFile(Path("out", name)) as file:
        assert file.subtype == subtype
        assert (file.title, file.artist) == ("Süden", "Sectoid")
        assert (file.samplerate, file.channels, file.frames) == (RATE, 2, RATE)
        if subtype.startswith("PCM"):
            np.testing.assert_allclose(file.read().T, mixture / 2, atol=4e-5)


@pytest.mark.parametrize(
    ("options", "warning"),
    [(["--format", "flac"], "quieter"), (["--format", "flac", "--clip", "clamp"], "clipped"), ([], None)],
)
def test_what_a_format_cannot_hold_is_made_quieter_or_cut_off(
    run: Any, capsys: pytest.CaptureFixture[str], options: list[str], warning: str | None
) -> None:
    song = sound("song.wav", channels=1, peak=3)
    assert run(song, "--query-at", "0-1", *options) == 0
    target, residual = (samples(next(Path("out/song").glob(f"{name}.*a*"))) for name in ("target", "target.residual"))
    half = samples(song) / 2
    gain = 1 / np.abs(half).max() if warning == "quieter" else 1.0
    for part in (target, residual):
        np.testing.assert_allclose(part, np.clip(gain * half, -1, 1) if warning else half, atol=1e-5)
    said = capsys.readouterr().err
    assert [word for word in ("quieter", "clipped") if word in said] == ([warning] if warning else [])


def test_beats_are_kept_and_not_tracked_again(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    song = sound("song.wav", 3)
    meters = []
    track = beats.track

    def counted(*given: Any, **more: Any) -> Any:
        meters.append(more["meters"])
        return track(*given, **more)

    monkeypatch.setattr(beats, "track", counted)

    def again(*more: str) -> list[Any]:
        assert run(song, "--query-at", "0-2", "--tracker", "librosa", *more, grid="beat") == 0
        return meters

    assert again() == [(3, 4)]
    first = report()["grid"]
    assert again() == [(3, 4)] and report()["grid"] == first
    assert again("--meter", "5") == [(3, 4), (5,)]
    sound(song, 3, seed=4)
    assert again()[2:] == [(3, 4)]
    kept = Path("out/song-2/beats.json")
    stored = json.loads(kept.read_text(encoding="utf-8"))
    for number, damage in enumerate(("{", json.dumps(stored | {"meter": 10**20})), 4):
        kept.write_text(damage, encoding="utf-8")
        assert len(again()) == number


def interrupted(monkeypatch: pytest.MonkeyPatch, share: float) -> list[float]:
    """Shares of the song done before each block that is written; the run is interrupted above `share`."""
    shares: list[float] = []
    write = Partial.write

    def stop(self: Partial, block: np.ndarray) -> None:
        shares.append(self.frames / (12 * RATE))
        write(self, block)
        if self.frames / (12 * RATE) > share:
            raise KeyboardInterrupt

    monkeypatch.setattr(Partial, "write", stop)
    return shares


@pytest.mark.parametrize("grid", ["none", "beat"])
def test_an_interrupted_song_is_resumed(run: Any, grid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = [sound("song.wav", 12), "--query-at", "0-2", "--tracker", "librosa"]
    assert run(*arguments, out="whole", grid=grid) == 0
    with monkeypatch.context() as patch:
        interrupted(patch, 0.4)
        assert run(*arguments, "--resume", grid=grid) == 130
    assert not list(Path("out").rglob("*.wav"))
    shares = interrupted(monkeypatch, 1)
    assert run(*arguments, "--resume", grid=grid) == 0
    assert shares[0] > 0.4
    for name in ("target", "target.residual"):
        np.testing.assert_array_equal(samples(f"out/song/{name}.wav"), samples(f"whole/song/{name}.wav"))
    resumed, whole = (report(f"{folder}/song")["target level re mixture (dB)"] for folder in ("out", "whole"))
    assert resumed == whole
    assert files("out") == files("whole")


def test_another_query_in_the_same_file_begins_anew(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = [sound("song.wav", 8), "-q", sound("query.wav", 2, seed=1), "--resume"]
    shares = interrupted(monkeypatch, 0)
    assert [run(*arguments), run(*arguments)] == [130, 130]
    assert 0 == shares[0] < shares[1]
    sound("query.wav", 2, seed=2)
    assert run(*arguments) == 130
    assert shares[2] == 0


@pytest.mark.parametrize(("seconds", "logit", "said"), [(0.5, -9, "only 0.5 s"), (4, 9, "more than one instrument")])
def test_doubtful_queries_are_said(run: Any, capsys: Any, seconds: float, logit: float, said: str) -> None:
    clip = sound("horn.wav", seconds)
    assert run(sound("song.wav"), "-q", clip) == 0
    assert f"warning: {clip}: {said}" in capsys.readouterr().err
    (quality,) = report()["query quality"]
    assert quality["query"] == str(clip) and quality["sound (s)"] == pytest.approx(seconds, abs=0.05)
    assert quality["polyphony_logit"] == logit


def test_every_kind_of_evidence_reaches_model_report_and_figure(
    run: Any, half: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(separate_file.figure, "draw", lambda *given: drawn.append(given[-1]))
    for name, seconds in (("query", 2), ("with", 2.5), ("others/drums", 3), ("others/voice", 2)):
        sound(f"{name}.wav", seconds)
    files = ["--query", "query.wav", "--with", "with.wav", "--not", "others"]
    marks = ["--query-at", "0-1.5", "--with-at", "2-4", "--with-at", "0:03-0:05", "--not-at", "5-7.5"]
    assert run(sound("song.wav", 8), *files, *marks, "--plot") == 0
    expected = ["2 s", "1.5 s", "among 2.5 s", "among 2 s", "among 2 s", "not 3 s", "not 2 s", "not 2.5 s"]
    assert half.conditionings[0] == [*expected, "residual"]
    content = report()
    evidence, others = content["evidence"], ["others/drums.wav", "others/voice.wav"]
    assert {role: [clip.get("clip") or clip["from-to (s)"] for clip in given] for role, given in evidence.items()} == {
        "alone": ["query.wav", [0, 1.5]], "among": ["with.wav", [2, 4], [3, 5]], "absent": [*others, [5, 7.5]],
    }  # fmt: skip
    assert all(clip["sound (s)"] > 1.4 for given in evidence.values() for clip in given)
    assert content["queries"] == ["query.wav"] and content["not"] == others
    assert content["query passages (s)"] == [[0, 1.5]] and len(content["query quality"]) == 2
    assert drawn == [([(0, 1.5)], [(2, 4), (3, 5)], [(5, 7.5)])]
    assert content["warnings"] == []


def test_marks_alone_are_enough_and_what_they_leave_open_is_said(run: Any, half: Any) -> None:
    song = sound("song.wav", 8)
    assert run(song, "--with-at", "0-3", "--not-at", "5-8") == 0
    assert half.conditionings[0] == ["among 3 s", "not 3 s", "residual"]
    assert report()["warnings"] == [] and "song/target.wav" in files()
    assert run(song, "--with-at", "0-3") == 0
    (warning,) = report()["warnings"]
    assert "may be any of them" in warning and "--not-at" in warning


@pytest.mark.parametrize(("before", "after"), [("--with", "--query"), ("--with-at", "--query-at")])
def test_the_same_clip_in_another_role_begins_anew(
    run: Any, before: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fingerprints = []
    begin = Partial.__init__
    monkeypatch.setattr(
        Partial, "__init__", lambda self, *given, **more: fingerprints.append(given[2]) or begin(self, *given, **more)
    )
    song, clip = sound("song.wav", 3), sound("clip.wav")
    for option in (before, after, after):
        assert run(song, option, clip if option in ("--with", "--query") else "0-1", "--not-at", "2-3") == 0
    assert fingerprints[0] != fingerprints[1] == fingerprints[2]


def test_a_newcomer_finds_the_marks(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        cli.run(songs_cli.separate, "separate", ["--help"])
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("Evidence:")
    panel = " ".join(" ".join(lines[start : lines.index("", start)]).split())
    for option in ("--query", "--with", "--not"):
        assert re.search(rf"{option} CLIP\|FOLDER .*: (-q|{option}) \w+\.wav", panel)
        assert re.search(rf"{option}-at FROM-TO .*: {option}-at \d:\d\d-\d:\d\d", panel)
    assert max(map(len, lines)) <= 100
