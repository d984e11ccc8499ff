from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer import Typer
from typer.testing import CliRunner

from fewshot_sep.errors import BadAudio, BadLibrary
from loops import library, make, oneshots
from loops.library import SAMPLE_RATE, Library
from loops.make import invented_voices, plan
from loops.render import InventedVoice, Voice, activity


def fingerprints(made: Library) -> dict[str, str]:
    return {row.path: hashlib.sha256(made.file(row).read_bytes()).hexdigest() for row in made}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return make.make(tmp_path_factory.mktemp("small") / "library", songs=2, seed=3, workers=2)


def test_rows_of_a_song_are_equally_long_and_level(small: Library) -> None:
    assert len({row.song for row in small}) == 2
    for song in {row.song for row in small}:
        rows = [row for row in small if row.song == song]
        assert len(rows) >= 2
        assert len({row.instrument for row in rows}) == len(rows)
        sounds = []
        for row in rows:
            sound, rate = soundfile.read(small.file(row), dtype="float32")
            info = soundfile.info(small.file(row))
            assert (rate, info.channels, info.format, info.subtype) == (SAMPLE_RATE, 1, "FLAC", "PCM_16")
            sounds.append(sound)
            active, rms = activity(sound)
            assert active >= 0.5 and np.abs(sound).max() <= 0.96 and rms < 0.105
        assert {len(sound) for sound in sounds} == {round(rows[0].beats * 60 / rows[0].bpm * SAMPLE_RATE)}


def test_what_is_returned_is_on_disk(small: Library) -> None:
    again = library.read(small.folder)
    assert again.rows == small.rows
    files = {path.relative_to(small.folder).as_posix() for path in small.folder.rglob("*.flac")}
    assert files == {row.path for row in small}
    assert not list(small.folder.rglob("*.part"))


def test_same_seed_same_library_whatever_the_workers(small: Library, tmp_path: Path) -> None:
    again = make.make(tmp_path / "again", songs=2, seed=3, workers=1)
    assert fingerprints(again) == fingerprints(small)


def test_goes_on_where_it_stopped(small: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make.make(tmp_path / "part", songs=2, seed=3, workers=1, progress=stop)
    kept = library.read(tmp_path / "part")
    assert 0 < len(kept) < len(small)
    before = {row.path: kept.file(row).stat().st_mtime_ns for row in kept}
    done = make.make(tmp_path / "part", songs=2, seed=3, workers=1)
    assert fingerprints(done) == fingerprints(small)
    assert {path: (done.folder / path).stat().st_mtime_ns for path in before} == before


def test_another_plan_does_not_mix_into_a_library(small: Library) -> None:
    before = fingerprints(small)
    with pytest.raises(BadLibrary, match="other material or settings"):
        make.make(small.folder, songs=3, seed=3, workers=1)
    assert fingerprints(small) == before


def test_a_library_of_another_origin_is_left_alone(tmp_path: Path) -> None:
    library.write(tmp_path, [])
    with pytest.raises(BadLibrary, match="another folder"):
        make.make(tmp_path, songs=1, workers=1)


def test_missing_material_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadAudio, match="nowhere"):
        make.make(tmp_path / "out", notes=[tmp_path / "nowhere"], songs=1)
    assert not (tmp_path / "out").exists()


def test_stems_stay_aligned_and_silence_is_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "my song"
    folder.mkdir()
    t = np.arange(24 * SAMPLE_RATE) / SAMPLE_RATE
    for name, hz, start in (("vox_lead", 300, 0), ("bass", 60, 8)):
        sound = 0.2 * np.sin(2 * np.pi * hz * t) * (t >= start)
        soundfile.write(folder / f"{name}.wav", sound.astype(np.float32), SAMPLE_RATE)
    rows = [row for take in oneshots.stem_takes(folder) for row in make.cut(take, tmp_path / "out")]
    songs = {
        name: sorted(row.song for row in rows if row.instrument.startswith(name)) for name in ("vocals", "synth bass")
    }
    assert len(songs["vocals"]) == 3 and songs["synth bass"] == songs["vocals"][1:]
    assert all(soundfile.info(tmp_path / "out" / row.path).frames == 8 * SAMPLE_RATE for row in rows)


def voices_named(*names: str, sources: int) -> list[Voice]:
    roles = ("melody",)
    return [
        InventedVoice(name, f"font{source}", "reed", "CC0", roles, 50, 70, (), seed)
        for seed, name in enumerate(names)
        for source in range(sources)
    ]


def test_every_voice_of_a_plan_can_be_queried_from_another_row() -> None:
    songs = plan(invented_voices(80), 80, np.random.default_rng(0), "song", "train")
    plays = Counter((part.voice.instrument, part.voice.source) for song in songs for part in song.parts)
    often = [count for count in plays.values() if count >= 2]
    assert len(often) >= 0.97 * len(plays)
    assert np.mean(list(plays.values())) >= 3


def test_no_instrument_twice_in_a_song() -> None:
    voices = [*invented_voices(20), *voices_named("oboe", "flute", sources=4)]
    for song in plan(voices, 30, np.random.default_rng(1), "song", "train"):
        names = [part.voice.instrument for part in song.parts]
        assert len(names) == len(set(names))


def test_held_out_instruments_are_in_unseen_rows_only() -> None:
    voices = [*invented_voices(60), *voices_named("tuba", "banjo", "oboe", sources=3)]
    songs = make._plan_all(voices, 60, 0)
    held = {song.name.split("-")[0] for song in songs for p in song.parts if p.voice.instrument in library.HELD_OUT}
    assert held == {"unseen"}
    assert Counter(song.split for song in songs)["train"] >= 50


def test_valid_songs_use_voices_that_train_songs_do_not() -> None:
    songs = make._plan_all(invented_voices(200), 100, 0)
    voices = {
        split: {p.voice for song in songs if song.split == split for p in song.parts} for split in ("train", "valid")
    }
    assert voices["train"] and voices["valid"]
    assert not voices["train"] & voices["valid"]


def test_command_makes_a_library_and_says_so(tmp_path: Path) -> None:
    from loops.cli import make_library

    app = Typer()
    app.command()(make_library)
    result = CliRunner().invoke(app, [str(tmp_path / "new"), "--songs", "1", "--workers", "1"])
    assert result.exit_code == 0, result.output
    assert f"{len(library.read(tmp_path / 'new'))} files" in " ".join(result.output.split())
