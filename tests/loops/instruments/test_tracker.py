from pathlib import Path

import numpy as np
import pytest

from fewshot_sep.errors import BadAudio
from fewshot_sep.loops.composing import modules
from fewshot_sep.loops.instruments import tracker
from fewshot_sep.loops.library import SAMPLE_RATE
from tests.tracker_module import SAMPLES, write_mod

pytestmark = pytest.mark.skipif(not tracker.available(), reason="libopenmpt is not installed")


def test_stems_add_up_to_the_song(tmp_path: Path) -> None:
    path = write_mod(tmp_path / "tiny.mod")
    whole = tracker.play(path)
    stems = [tracker.play(path, number) for number in range(tracker.instruments(path))]
    assert [np.abs(stem).max() > 0.01 for stem in stems[: SAMPLES + 1]] == [True] * SAMPLES + [False]
    error = np.square(np.sum(stems, axis=0) - whole).mean() / np.square(whole).mean()
    assert 10 * np.log10(error) < -50
    assert whole.shape[1] > 20 * SAMPLE_RATE
    assert tracker.play(path, max_seconds=1.5).shape == (2, round(1.5 * SAMPLE_RATE))


def test_rows_of_one_moment_share_a_song_and_each_stem_has_two(tmp_path: Path) -> None:
    (tmp_path / "pingus-data").mkdir()
    write_mod(tmp_path / "pingus-data/tiny.mod")
    write_mod(tmp_path / "pingus-data/copy-of-tiny.mod")  # the same bytes: one song
    (song,) = modules.plan(tmp_path)
    rows = [row for row, _ in song.render(0)]
    assert {row.licence for row in rows} == {"GPL-2+"} and {row.split for row in rows} == {song.split}
    stems = [row.instrument for row in rows]
    assert len(set(stems)) > 1 and all(stems.count(stem) > 1 for stem in stems)
    assert len({row.path for row in rows}) == len(rows)
    moments = [row.song for row in rows]
    assert len(set(moments)) > 1 and all(moments.count(moment) > 1 for moment in moments)


def test_about_a_fifth_is_never_trained_on() -> None:
    splits = [modules.split_of_file(Path(f"song {number}.xm")) for number in range(500)]
    assert 60 < splits.count("valid") < 140


def test_what_is_no_module_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.mod").write_bytes(b"no module")
    with pytest.raises(BadAudio, match=r"bad\.mod"):
        tracker.instruments(tmp_path / "bad.mod")
    with pytest.raises(BadAudio, match="no tracker modules"):
        modules.plan(tmp_path / "nothing")
