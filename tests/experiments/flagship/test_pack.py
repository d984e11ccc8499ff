"""Libraries made small enough to be carried."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fewshot_sep import audio, cli
from fewshot_sep.errors import BadLibrary, FewshotSepError
from fewshot_sep.experiments.flagship import pack
from fewshot_sep.loops import library
from fewshot_sep.loops.library import Library, Row
from fewshot_sep.loops.tasks.pool import AudioPool

RATE = 22050
SONGS = [f"{number:02}" for number in range(50)]
ROWS = 2 * len(SONGS) + 2


@pytest.fixture
def source(tmp_path: Path) -> Library:
    """Songs of a flute, a violin and a held-out tuba, two of them to validate with, and a loop of two by itself."""
    rows = []
    for song in (*SONGS, ""):
        for instrument in ("flute", "violin", "tuba")[: 3 if song else 2]:
            path = f"{instrument}/{song or 'loop'}.flac"
            split = "unseen" if instrument == "tuba" else "valid" if song in SONGS[:2] else "train"
            rows.append(Row(path, instrument, "wind", f"maker{song}", "CC0", 120, 8, song, split))
            (tmp_path / "library" / path).parent.mkdir(parents=True, exist_ok=True)
            tone = np.sin(np.arange(RATE) * (len(rows) + 5) / 200) / 2
            soundfile.write(tmp_path / "library" / path, tone, RATE)
    return library.write(tmp_path / "library", rows)


def unpacked(files: list[Path], folder: Path) -> Library:
    for file in reversed(files):
        with tarfile.open(file) as tar:
            tar.extractall(folder, filter="data")
    return library.read(folder)


def test_what_is_unpacked_is_a_library_of_the_same_sound(source: Library, tmp_path: Path) -> None:
    rows, files = pack.write_parts(source, tmp_path / "packed", 4 * pack.MIB, 60_000)
    assert len(files) > 1 and all(file.stat().st_size <= 60_000 for file in files)
    there = unpacked(files, tmp_path / "there")
    assert set(there.rows) == set(rows) and len(rows) == ROWS
    before = {f"{row.path}.opus": row for row in source}
    for row in there:
        assert row.instrument != "tuba" and row.split == before[row.path].split
        (old, _), (new, rate) = audio.read(source.file(before[row.path])), audio.read(there.file(row))
        back = audio.resample(new, rate, RATE)
        assert rate == pack.RATE and abs(back.shape[1] - old.shape[1]) <= 1
        levels = [np.abs(np.fft.rfft(sound[0], 2 * RATE)) for sound in (old, back)]
        assert abs(levels[0].argmax() - levels[1].argmax()) <= 4 and 0.7 < levels[1].max() / levels[0].max() < 1.3
    assert AudioPool(there, "train", RATE).instruments == ["flute", "violin"]


def test_songs_go_whole_and_another_seed_takes_others(source: Library, tmp_path: Path) -> None:
    _, files = pack.write_parts(source, tmp_path / "all", 4 * pack.MIB, 4 * pack.MIB)
    most = sum(file.stat().st_size for file in files) * 7 // 10
    taken = []
    for seed in range(4):
        rows, files = pack.write_parts(source, tmp_path / f"packed{seed}", most, pack.MIB, seed)
        assert sum(file.stat().st_size for file in files) <= most
        songs = [row.song for row in rows if row.song]
        assert all(songs.count(song) == 2 for song in songs)
        assert ROWS / 2 < len(rows) < ROWS
        assert {row.song for row in rows if row.split == "valid"} == set(SONGS[:2])
        taken.append({row.path for row in rows})
    assert len({frozenset(paths) for paths in taken}) > 1
    again, _ = pack.write_parts(source, tmp_path / "again", most, pack.MIB, 3)
    assert {row.path for row in again} == taken[3]


def test_an_instrument_comes_twice_before_others_come() -> None:
    songs = {f"{name}{take}": {name, "drums"} for name in SONGS for take in range(3)} | {"alone": {"harp"}}
    for seed in range(5):
        names = list(pack.in_pairs(songs, seed))
        assert sorted(names) == sorted(songs)
        for count in range(1, len(names)):
            known = [instrument for name in names[:count] for instrument in songs[name] - {"harp"}]
            assert sum(known.count(instrument) == 1 for instrument in set(known)) <= 2
    assert len({tuple(pack.in_pairs(songs, seed)) for seed in range(5)}) > 1


def test_what_cannot_be_packed_is_said(source: Library, tmp_path: Path) -> None:
    with pytest.raises(BadLibrary, match="too few songs to train or to validate with go into"):
        pack.write_parts(source, tmp_path / "small", 1000, 1000)
    assert not list((tmp_path / "small").iterdir())
    pack.write_parts(source, tmp_path / "packed", 4 * pack.MIB, 4 * pack.MIB)
    with pytest.raises(FewshotSepError, match="holds tar files already"):
        pack.write_parts(source, tmp_path / "packed", 4 * pack.MIB, 4 * pack.MIB)


def test_as_a_command(source: Library, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*options: str) -> int | str | None:
        with pytest.raises(SystemExit) as ended:
            cli.run(pack.pack, "pack", [str(source.folder), "-o", str(tmp_path / "packed"), *options])
        return ended.value.code

    assert run("--mib", "4") == 0
    assert capsys.readouterr().out.startswith(f"{ROWS} files of 2 instruments, ")
    assert [file.name for file in (tmp_path / "packed").iterdir()] == ["part-01.tar"]
    assert run("--mib", "4") and "holds tar files already" in capsys.readouterr().err
