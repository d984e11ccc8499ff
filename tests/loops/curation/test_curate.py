from __future__ import annotations

import csv
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer import Typer
from typer.testing import CliRunner

from fewshot_sep import presets
from fewshot_sep.errors import BadAudio, BadLibrary
from fewshot_sep.loops import library
from fewshot_sep.loops.cli import curate as command
from fewshot_sep.loops.curation import analysis
from fewshot_sep.loops.curation import curate as module
from fewshot_sep.loops.curation.analysis import Analysis, analyse, clipped_share, fingerprint
from fewshot_sep.loops.curation.conform import plan, tempo_of
from fewshot_sep.loops.curation.curate import Curated, Settings
from fewshot_sep.loops.curation.decide import CLIPPED, Decision, Edit, Evidence, decide, same_sound
from fewshot_sep.loops.library import Row
from tests.loops.curation.test_loop_chunks import acid

ILLES = Settings(preset="illes2020", stretcher="signalsmith", tracker="librosa")


def clicks(bpm: float, beats: int, rate: int, seed: int = 0) -> np.ndarray:
    """Decaying bursts of noise on eighths, the first of each beat louder; (samples,)."""
    random, out = np.random.default_rng(seed), np.zeros(round(beats * 60 / bpm * rate))
    for eighth in range(2 * beats):
        start = round(eighth * 30 / bpm * rate)
        length = min(rate // 10, len(out) - start)
        tone = np.sin(np.arange(length) * 2 * np.pi * random.uniform(200, 1500) / rate) + random.normal(0, 0.3, length)
        out[start : start + length] += tone * np.exp(-np.arange(length) * 40 / rate) * (0.5 if eighth % 2 == 0 else 0.2)
    return out


def put(path: Path, sound: np.ndarray, rate: int = 44100, subtype: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, rate, subtype=subtype)


def curate(place: Path, settings: Settings = ILLES, library: str = "lib", workers: int = 1, **more: Any) -> Curated:
    return module.curate(place / "src", place / library, settings, workers=workers, **more)


def by_name(made: Curated) -> dict[str, Decision]:
    return {Path(decision.path).name: decision for decision in made.decisions}


def hashes(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No beat tracking: it is what takes time."""
    monkeypatch.setattr(analysis, "_track", lambda mono, rate, tracker: (0.0, 0.0, 0.0))


@pytest.fixture
def analysed(monkeypatch: pytest.MonkeyPatch, quick: None) -> list[str]:
    """Names of the files that were analysed."""
    names: list[str] = []
    monkeypatch.setattr(module, "analyse", lambda path, tracker: names.append(path.name) or analyse(path, tracker))
    return names


def make_fixture(source: Path) -> None:
    put(source / "Pack A/Drums/DS_120bpm_Beat.wav", clicks(120, 8, 44100, 1))
    put(source / "Pack A/Drums/copy.flac", 0.3 * clicks(120, 8, 44100, 1))
    put(source / "Pack A/Gtr_97.wav", np.stack([clicks(97, 16, 32000, 2)] * 2, 1), 32000, "FLOAT")
    put(source / "Pack B/Guira half bar 147bpm.wav", clicks(147, 2, 48000, 3), 48000, "PCM_24")
    put(source / "Pack B/Bandoneon_110.aiff", clicks(110, 4, 22050, 4), 22050)
    put(source / "Pack B/riff_7.wav", clicks(100, 8, 44100, 5))
    put(source / "Pack B/bass 130bpm silent.wav", np.zeros(88200))
    put(source / "Pack B/bass 125bpm hot.wav", np.clip(30 * clicks(125, 4, 44100, 6), -1, 1))
    put(source / "Pack B/snare.wav", clicks(60, 1, 44100, 7)[: 44100 // 4])
    (source / "Pack B/broken kick 120bpm.wav").write_bytes(b"RIFF nothing that can be read")
    (source / "Pack B/empty.wav").write_bytes(b"")
    put(source / "Pack B/cut conga 100bpm.wav", clicks(100, 8, 44100, 8))
    whole = (source / "Pack B/cut conga 100bpm.wav").read_bytes()
    (source / "Pack B/cut conga 100bpm.wav").write_bytes(whole[: len(whole) // 2])
    (source / "Pack B/._Gtr 90bpm.wav").write_bytes(b"\0\5\x16\7")
    (source / "notes.txt").write_text("120 bpm")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder that holds a messy one as `src`."""
    make_fixture(tmp_path / "src")
    return tmp_path


@pytest.mark.usefixtures("quick")
def test_a_messy_folder(place: Path) -> None:
    before = hashes(place / "src")
    made = curate(place, Settings("illes2020", "signalsmith", "librosa", "CC0", {"guira": 3.0}))
    assert hashes(place / "src") == before

    decided = by_name(made)
    kept = {name: (d.instrument, d.bpm, d.beats) for name, d in decided.items() if d.status == "kept"}
    assert kept == {
        "DS_120bpm_Beat.wav": ("drums", 120, 8),
        "Gtr_97.wav": ("guitar", 97, 16),
        "Guira half bar 147bpm.wav": ("guira", 147, 2),
        "Bandoneon_110.aiff": ("accordion", 110, 4),
    }
    reasons = {name: d.reason.split(":")[0].split(" of")[0] for name, d in decided.items() if d.status == "rejected"}
    assert reasons == {
        "copy.flac": "duplicate",
        "bass 130bpm silent.wav": "silence",
        "bass 125bpm hot.wav": "clipping",
        "snare.wav": "one-shot",
        "broken kick 120bpm.wav": "unreadable",
        "empty.wav": "unreadable",
        "cut conga 100bpm.wav": "cut short",
    }
    with (place / "lib/undecided.csv").open(newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == ["Pack B/riff_7.wav"]

    again = library.read(place / "lib")
    assert len(again) == 2 + 8 + 1 + 1  # 97 BPM is counted double, as 194 is nearer to 147
    for row in again:
        sound, rate = soundfile.read(again.file(row))
        assert (rate, sound.shape) == (11025, (18000,))
        assert (row.bpm, row.beats, row.licence, row.song) == (147.0, 4.0, "CC0", "")
        assert row.split == ("unseen" if row.instrument == "accordion" else "train")
    assert {row.source for row in again} == {"pack-a", "pack-b"}


@pytest.mark.usefixtures("quick")
def test_pieces_hold_their_beats_level_and_gain(tmp_path: Path) -> None:
    put(tmp_path / "src/Guira half bar 147bpm.wav", 0.2 * clicks(147, 2, 44100, 1))
    put(tmp_path / "src/Kick 140bpm.wav", clicks(140, 8, 48000, 2), 48000)
    made = curate(tmp_path, Settings("illes2020", gains={"guira": 10.0}))
    guira, kick = (
        [soundfile.read(made.library.file(row))[0] for row in made.library if row.instrument == name]
        for name in ("guira", "kick")
    )
    # The half bar sounds twice, ten times as loud, beyond full scale; at 147 BPM already, so nothing is stretched.
    assert np.allclose(guira[0][500:8500], guira[0][9500:17500], atol=0.06)
    original = 0.2 * clicks(147, 2, 44100, 1)
    assert np.sqrt(np.mean(guira[0] ** 2)) == pytest.approx(10 * np.sqrt(np.mean(original**2)), rel=0.1)
    assert np.abs(guira[0]).max() > 1.1
    note = made.entries["Guira half bar 147bpm.wav"].note
    assert "played 2 times" in note and "gain x10" in note
    assert json.loads((tmp_path / "lib/curation.json").read_text())["settings"]["gains"] == {"guira": 10.0}
    # Each beat of the kick begins at a multiple of 4,500 samples.
    assert len(kick) == 2
    for piece in kick:
        power = np.array([np.sum(piece[max(0, k * 2250 - 100) : k * 2250 + 700] ** 2) for k in range(8)])
        assert power.sum() > 0.8 * np.sum(piece**2)
        assert (power[::2] > power[1::2]).all()


def test_same_again_does_nothing_and_changes_redo_only_their_own(place: Path, analysed: list[str]) -> None:
    folder = place / "lib"
    curate(place)
    before = hashes(folder)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.flac")}
    analysed.clear()
    curate(place)
    assert hashes(folder) == before and not analysed
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.flac")} == times

    put(place / "src/Pack A/Gtr_97.wav", clicks(97, 4, 44100, 9))
    (place / "src/Pack B/Bandoneon_110.aiff").unlink()
    made = curate(place)
    assert analysed == ["Gtr_97.wav"]
    assert {row.instrument: row.split for row in made.library} == dict.fromkeys(("drums", "guitar", "guira"), "train")
    on_disk = {path.relative_to(folder).as_posix() for path in folder.rglob("*.flac")}
    assert on_disk == {row.path for row in made.library}


@pytest.mark.parametrize("stage", ["analysing", "normalising"])
def test_an_interrupted_run_is_resumed(place: Path, stage: str, analysed: list[str]) -> None:
    def stop(share: float, what: str) -> None:
        if what == stage and share > 0.3:
            raise KeyboardInterrupt

    curate(place, library="whole")
    with pytest.raises(KeyboardInterrupt):
        curate(place, progress=stop)
    assert not list((place / "lib").rglob("*.part"))
    analysed.clear()
    made = curate(place)
    assert len(analysed) < len(made.decisions)
    assert hashes(place / "lib") == hashes(place / "whole")


def test_state_and_names_of_old_are_read(tmp_path: Path, analysed: list[str]) -> None:
    """Keys as written up to revision 6f07265, and a name that is no Unicode."""
    put(tmp_path / "src/Kick 147bpm.wav", clicks(147, 4, 11025), 11025)
    odd = os.fsdecode(b"Gtr \xff 97bpm.wav")
    put(tmp_path / "Gtr.wav", clicks(97, 4, 11025, 2), 11025)
    (tmp_path / "Gtr.wav").rename(tmp_path / "src" / odd)
    made = curate(tmp_path)
    assert {name: d.status for name, d in by_name(made).items()} == {odd: "kept", "Kick 147bpm.wav": "kept"}
    state = tmp_path / "lib/curation.json"
    new = old = state.read_text()
    for now, before in (("analysis", "heard"), ("recipe", "mark"), ("fingerprint", "print")):
        old = old.replace(f'"{now}":', f'"{before}":')
    assert old != new
    state.write_text(old)
    analysed.clear()
    assert curate(tmp_path).decisions == made.decisions
    assert not analysed and state.read_text() == new


@pytest.mark.slow
def test_two_processes_give_the_same(tmp_path: Path) -> None:
    for number in range(2):
        put(tmp_path / f"src/Kick {number} 147bpm.wav", clicks(147, 4, 11025, number), 11025)
    one, two = curate(tmp_path, library="one"), curate(tmp_path, library="two", workers=2)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")
    assert one.decisions == two.decisions and all(abs(d.bpm - 147) < 6 for d in one.decisions)


@pytest.mark.usefixtures("quick")
def test_what_the_user_writes_wins_and_lasts(place: Path) -> None:
    folder, table = place / "lib", place / "mine.csv"
    curate(place)
    with (folder / "decisions.csv").open(newline="") as file:
        rows = {Path(row["path"]).name: row for row in csv.DictReader(file)}
    rows["riff_7.wav"] |= {"instrument": "Theremin", "bpm": "100,5"}
    rows["Gtr_97.wav"]["instrument"] = "requinto"
    rows["DS_120bpm_Beat.wav"]["status"] = "rejected"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows["riff_7.wav"].keys())
        writer.writeheader()
        writer.writerows(rows.values())
    made = curate(place, decisions=table)
    decided = by_name(made)
    riff, gtr, beat = (decided[name] for name in ("riff_7.wav", "Gtr_97.wav", "DS_120bpm_Beat.wav"))
    assert (riff.status, riff.instrument, riff.family, riff.bpm, riff.beats) == ("kept", "theremin", "other", 100.5, 8)
    assert (riff.instrument_by, riff.tempo_by, riff.confidence) == ("user", "user", 1.0)
    assert (gtr.instrument, gtr.instrument_by, gtr.tempo_by) == ("requinto", "user", "name")
    assert (beat.status, beat.reason) == ("rejected", "by the user")
    assert {row.instrument for row in made.library} >= {"theremin", "requinto"}
    assert not (folder / "guitar").exists()
    assert curate(place).decisions == made.decisions
    assert curate(place, decisions=folder / "decisions.csv").decisions == made.decisions


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,bpm\nx,1\n", "has no column path"),
        ("x" * 200_000, "line 1: field larger"),
        ("path,bpm\nnowhere.wav,90\n", "line 2: no loop 'nowhere.wav'"),
        ("path,bpm\nriff.wav,fast\n", "line 2: bpm 'fast' is not a number"),
        ("path,bpm\nriff.wav,-3\n", "line 2: bpm -3 is out of range"),
        ("path,status\nriff.wav,maybe\n", "line 2: status 'maybe' is none of"),
    ],
)
def test_mistakes_in_the_table_are_named(tmp_path: Path, text: str, message: str) -> None:
    put(tmp_path / "src/riff.wav", clicks(120, 4, 11025), 11025)
    (tmp_path / "mine.csv").write_text(text)
    with pytest.raises(BadLibrary, match=message):
        curate(tmp_path, decisions=tmp_path / "mine.csv")


def test_refuses_what_it_must_not_touch(tmp_path: Path) -> None:
    put(tmp_path / "src/a.wav", clicks(120, 4, 11025), 11025)
    (tmp_path / "bare/src").mkdir(parents=True)
    library.write(tmp_path / "other", [Row("a", "b", "c", "d", "e", 0, 0, "", "train")])
    with pytest.raises(BadLibrary, match="must lie outside"):
        curate(tmp_path, library="src/lib")
    with pytest.raises(BadLibrary, match="did not make"):
        curate(tmp_path, library="other")
    with pytest.raises(BadAudio, match="not a folder"):
        curate(tmp_path / "none")
    with pytest.raises(BadAudio, match="holds no sound files"):
        curate(tmp_path / "bare")


def test_fingerprint_sees_through_rate_format_and_level(tmp_path: Path) -> None:
    sound, prints = clicks(120, 8, 44100, 1), []
    for name, samples in {"a.wav": sound, "b.ogg": 0.2 * sound, "c.wav": clicks(120, 8, 44100, 2)}.items():
        put(tmp_path / name, samples)
        read, rate = soundfile.read(tmp_path / name, dtype="float32")
        for step in (1, 2):
            about = {"frames": len(read[::step]), "sample_rate": rate // step, "sha256": f"{name}{step}"}
            prints.append(Analysis(**about, fingerprint=fingerprint(read[::step], rate // step)))
    whole, *same, other, slow = prints
    assert all(same_sound(whole, one) for one in same)
    assert not same_sound(whole, other) and not same_sound(whole, slow)


def sound(seconds: float, bpm: float = 0.0, **rest: float) -> Analysis:
    about = {"peak": 0.9, "rms": 0.1, "onsets": 9, "strength": 0.6, "steadiness": 1.0, **rest}
    return Analysis(sample_rate=1000, channels=1, frames=round(seconds * 1000), bpm=bpm, **about)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "tracked", "bpm", "beats"),
    [
        (4.0, 120.3, 120.0, 8),
        (4.0, 60.5, 60.0, 4),
        (2.0, 121.0, 120.0, 4),
        (2.78, 168.0, 172.66, 8),
        (3.6, 100.0, 100.0, 6),
        (5.2, 131.0, 131.0, 8),
    ],
)
def test_length_and_tracker_agree_on_a_tempo(seconds: float, tracked: float, bpm: float, beats: float) -> None:
    found = decide(Evidence("x.wav", sound(seconds, tracked)))
    assert (found.bpm, found.beats) == (pytest.approx(bpm, abs=0.01), beats)


def test_mp3_padding_is_not_counted() -> None:
    found = decide(Evidence("x.mp3", sound(4.1, 120.0, head_s=0.05, tail_s=0.05)))
    assert (found.bpm, found.beats, found.start) == (120.0, 8, 0.05)


@pytest.mark.parametrize(("start", "beats"), [(0.02, 16), (1.0, 12), (7.9, 0)])
def test_beats_are_those_from_the_users_start_on(start: float, beats: float) -> None:
    found = decide(Evidence("drums 120bpm.wav", sound(8.0, 120.0), edit=Edit(start=start)))
    assert (found.bpm, found.beats, found.start) == (120.0, beats, start)
    assert found.status == ("kept" if beats else "undecided")


@pytest.mark.usefixtures("quick")
def test_a_start_after_the_end_is_left_to_the_user(tmp_path: Path) -> None:
    for name in ("Kick 120bpm.wav", "Gtr 120bpm.wav", "Bass 120bpm.wav"):
        put(tmp_path / "src" / name, clicks(120, 8, 11025, ord(name[0])), 11025)
    table = "path,bpm,beats,start\nKick 120bpm.wav,,,4\nGtr 120bpm.wav,120.5,8,4.00001\nBass 120bpm.wav,,16,9\n"
    (tmp_path / "mine.csv").write_text(table)
    for more in ({"decisions": tmp_path / "mine.csv"}, {}):
        made = curate(tmp_path, **more)
        assert {d.status for d in made.decisions} == {"undecided"}
        assert all("but it lasts 4.00 s" in d.reason for d in made.decisions)


@pytest.mark.usefixtures("quick")
def test_a_pack_that_is_held_out_is_unseen(tmp_path: Path) -> None:
    put(tmp_path / "src/freepats/Kick 147bpm.wav", clicks(147, 4, 11025), 11025)
    curate(tmp_path)
    assert [(row.source, row.split) for row in library.read(tmp_path / "lib")] == [("freepats", "unseen")]


@pytest.mark.parametrize("drive", [0.01, 1.5])
@pytest.mark.parametrize("hertz", [30, 41.2, 50, 82.41, 110, 440])
def test_flat_tops_are_clipped_round_ones_are_not(hertz: float, drive: float) -> None:
    wave = np.tanh(drive * np.sin(2 * np.pi * hertz * np.arange(2 * 44100) / 44100))[None] / np.tanh(drive)
    noise = np.random.default_rng(0).normal(0, 1e-4, wave.shape)
    assert clipped_share(np.round(wave * 32767) / 32768) < CLIPPED
    for level in (0.8, 0.95):
        flat = np.clip(wave, -level, level)
        for sound in (flat, np.round(flat * 20000) / 32768, flat + noise):
            assert clipped_share(sound) == pytest.approx((np.abs(wave) >= level).mean(), rel=0.1)


def test_a_name_that_contradicts_the_sound_is_left_to_the_user() -> None:
    found = decide(Evidence("x/drums 101bpm.wav", sound(8.0, 120.0)))
    assert (found.status, found.bpm) == ("undecided", 120.0) and "its name says 101 BPM" in found.reason


@pytest.mark.parametrize("preset", ["steered", "illes2020"])
@pytest.mark.parametrize(("bpm", "beats"), [(60, 4), (100, 8), (140, 16), (200, 64), (174, 2), (90, 1), (120, 12)])
def test_nothing_is_stretched_by_more_than_an_octave_needs(bpm: float, beats: float, preset: str) -> None:
    target = tempo_of(presets.get(preset))
    how = plan(bpm, beats, target)
    assert how is not None and 2**-0.51 < bpm * how.octave / target < 2**0.51
    assert how.pieces * 4 == pytest.approx((beats - how.dropped) * how.octave * how.repeats)


@pytest.mark.usefixtures("quick")
def test_command_and_report(tmp_path: Path) -> None:
    put(tmp_path / "src/Gtr_97.wav", clicks(97, 8, 22050, 2), 22050)
    put(tmp_path / "src/riff.wav", clicks(97, 8, 11025, 3), 11025)
    put(tmp_path / "src/Bass 90bpm.wav", np.zeros(11025), 11025)
    put(tmp_path / "src/kick.wav", clicks(126, 4, 11025, 11), 11025)
    with (tmp_path / "src/kick.wav").open("ab") as file:
        file.write(acid(126, 4))
    app = Typer()
    app.command()(command)
    arguments = [str(tmp_path / "src"), str(tmp_path / "lib"), "--preset", "illes2020", "--workers", "1"]
    result = CliRunner().invoke(app, [*arguments, "--gain", "guitar=0.333", "--tracker", "librosa"])
    assert result.exit_code == 0, result.output
    assert "2 kept, 1 rejected, 1 undecided; 5 pieces" in result.output
    report = (tmp_path / "lib/report.md").read_text()
    assert "| guitar | guitar | 1 | 4 | 0.1 | train | 0.333 |" in report and "chunk 1" in report
    for picture in [part.split(")")[0] for part in report.split("](report/")[1:]]:
        assert (tmp_path / "lib/report" / picture).read_bytes().startswith(b"\x89PNG")
