"""What is kept of an interrupted song, and what is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fewshot_sep.errors import OutputError
from fewshot_sep.songs.checkpoint import Partial

FINGERPRINT = {"song": "a"}
BLOCK = np.arange(20, dtype=np.float32).reshape(2, 10)


def interrupt(path: Path, keep: bool, fingerprint: dict[str, str] = FINGERPRINT) -> None:
    with pytest.raises(KeyboardInterrupt), Partial(path, 2, fingerprint, keep=keep) as partial:
        partial.write(BLOCK)
        raise KeyboardInterrupt


def test_samples_come_back_and_nothing_is_left_after_success(tmp_path: Path) -> None:
    with Partial(tmp_path / "a.wav", 2, FINGERPRINT) as partial:
        partial.write(BLOCK[:, :3])
        partial.write(BLOCK[:, 3:])
        np.testing.assert_array_equal(partial.read(2, 9), BLOCK[:, 2:9])
        assert partial.frames == 10
    assert not list(tmp_path.iterdir())


def test_kept_on_request_and_resumed(tmp_path: Path) -> None:
    interrupt(tmp_path / "a.wav", keep=True)
    with Partial(tmp_path / "a.wav", 2, FINGERPRINT, keep=True) as partial:
        assert partial.frames == 10
        partial.write(2 * BLOCK)
        np.testing.assert_array_equal(partial.read(5, 15), np.concatenate([BLOCK[:, 5:], 2 * BLOCK[:, :5]], 1))
    assert not list(tmp_path.iterdir())


def test_not_kept_otherwise(tmp_path: Path) -> None:
    interrupt(tmp_path / "a.wav", keep=False)
    assert not list(tmp_path.iterdir())


def test_what_was_made_otherwise_is_not_resumed(tmp_path: Path) -> None:
    interrupt(tmp_path / "a.wav", keep=True)
    with Partial(tmp_path / "a.wav", 2, {"song": "b"}, keep=True) as partial:
        assert partial.frames == 0


def test_a_torn_frame_at_the_end_is_left_out(tmp_path: Path) -> None:
    interrupt(tmp_path / "a.wav", keep=True)
    (samples,) = tmp_path.glob("*.part")
    samples.write_bytes(samples.read_bytes()[:-3])
    with Partial(tmp_path / "a.wav", 2, FINGERPRINT, keep=True) as partial:
        assert partial.frames == 9
        np.testing.assert_array_equal(partial.read(0, 9), BLOCK[:, :9])


def test_two_runs_that_keep_do_not_write_into_one_file(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with Partial(tmp_path / "a.wav", 2, FINGERPRINT, keep=True) as first:
        first.write(BLOCK)
        with pytest.raises(OutputError, match="another run"), Partial(tmp_path / "a.wav", 2, FINGERPRINT, keep=True):
            pass
        np.testing.assert_array_equal(first.read(0, 10), BLOCK)


def test_a_full_disk_is_one_line() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    partial = Partial(Path("a.wav"), 2, FINGERPRINT)
    partial._samples, partial._fingerprint = Path("/dev/full"), Path("/dev/null")
    with pytest.raises(OutputError, match=r"a\.wav: could not be written"):
        partial.__enter__()
        partial.write(BLOCK)
