"""Which files are songs, and what their results are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewshot_sep.errors import BadAudio, FewshotSepError
from fewshot_sep.songs.jobs import check_template, jobs, sound_files


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_folders_are_searched_to_the_bottom_and_keep_their_shape(tmp_path: Path) -> None:
    album = tmp_path / "album"
    touch(album / "b.wav", album / "disc 1" / "a.MP3", album / ".hidden" / "c.wav", album / ".d.wav", album / "e.txt")
    lone = tmp_path / "lone.flac"
    found = jobs([album, lone], tmp_path / "out", "horn", ".wav")
    assert [job.song for job in found] == [album / "b.wav", album / "disc 1" / "a.MP3", lone]
    assert [job.outputs.target for job in found] == [
        tmp_path / "out" / "b" / "horn.wav",
        tmp_path / "out" / "disc 1" / "a" / "horn.wav",
        tmp_path / "out" / "lone" / "horn.wav",
    ]


def test_results_within_the_folder_of_songs_are_no_songs(tmp_path: Path) -> None:
    touch(tmp_path / "a.wav", tmp_path / "out" / "a" / "horn.wav")
    assert [job.song for job in jobs([tmp_path], tmp_path / "out", "horn", ".wav")] == [tmp_path / "a.wav"]


def test_songs_of_one_name_are_numbered_with_any_template(tmp_path: Path) -> None:
    songs = [tmp_path / "x" / "a.wav", tmp_path / "y" / "a.mp3"]
    outputs = [job.outputs for job in jobs(songs, tmp_path, "horn", ".flac", "{name} of {song}")]
    assert [output.target.name for output in outputs] == ["horn of a.flac", "horn of a-2.flac"]
    assert outputs[1].report == tmp_path / "horn of a-2.report.json"
    assert outputs[1].residual == tmp_path / "horn of a-2.residual.flac"


@pytest.mark.parametrize(
    "template",
    [
        *("{song}", "{name}", "x", "../{song}/{name}", "/{song}/{name}", "{song}/{name}/{x}", "{song}{name}{"),
        *("{song:.1}/{name}", "{song!r}{name}", "{song}/{name:>9}", "{song[0]}/{name}"),  # could make one name of two
    ],
)
def test_templates_that_cannot_name_files_are_refused(template: str) -> None:
    with pytest.raises(FewshotSepError, match=r"needs|must"):
        check_template(template)


def test_a_folder_without_sound_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "notes.txt")
    with pytest.raises(BadAudio, match="holds no sound files"):
        sound_files(tmp_path, deep=True)
