"""What is kept of an interrupted song, and what is not."""

from __future__ import annotations

import os
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


def kept(folder: Path, blocks: int = 3) -> tuple[Path, Path]:
    """Samples and journal of an interrupted run of so many blocks."""
    with pytest.raises(KeyboardInterrupt), Partial(folder / "a.wav", 2, FINGERPRINT, keep=True) as partial:
        for _ in range(blocks):
            partial.write(BLOCK)
        raise KeyboardInterrupt
    return next(folder.glob("*.resume")), next(folder.glob("*.journal"))


def resumed(folder: Path) -> int:
    """How many frames the next run begins with; they are as they were written, and it can finish."""
    with Partial(folder / "a.wav", 2, FINGERPRINT, keep=True) as partial:
        frames = partial.frames
        np.testing.assert_array_equal(partial.read(0, frames), np.tile(BLOCK, 3)[:, :frames])
        partial.write(BLOCK)
    assert not list(folder.iterdir())
    return frames


def test_a_torn_block_at_the_end_is_left_out(tmp_path: Path) -> None:
    samples, _ = kept(tmp_path)
    samples.write_bytes(samples.read_bytes()[:-3])
    assert resumed(tmp_path) == 20


def test_it_can_be_interrupted_twice(tmp_path: Path) -> None:
    kept(tmp_path, 1)
    kept(tmp_path, 2)
    assert resumed(tmp_path) == 30


@pytest.mark.parametrize(("at", "frames"), [(0, 0), (85, 10), (-1, 20)])
def test_damaged_samples_are_not_used_again(tmp_path: Path, at: int, frames: int) -> None:
    samples, _ = kept(tmp_path)
    data = bytearray(samples.read_bytes())
    data[at] ^= 1
    samples.write_bytes(data)
    assert resumed(tmp_path) == frames


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_not_used_again(tmp_path: Path, value: float) -> None:
    samples, _ = kept(tmp_path)
    samples.write_bytes(np.full(60, value, "<f4").tobytes())
    assert resumed(tmp_path) == 0


@pytest.mark.parametrize(
    "journal", [b"", b"\xff\xfe", b'{"song": "a"}\nx y\n', b'{"song": "a"}\n999999999999 1\n', b"[" * 100_000, None]
)
def test_a_damaged_or_missing_journal_begins_anew(tmp_path: Path, journal: bytes | None) -> None:
    _, path = kept(tmp_path)
    path.unlink() if journal is None else path.write_bytes(journal)
    assert resumed(tmp_path) == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="links and pipes as on POSIX")
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe"])
def test_links_and_pipes_are_neither_followed_nor_waited_for(tmp_path: Path, which: int, kind: str) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    path = kept(folder)[which]
    path.unlink()
    victim = tmp_path / "victim"
    victim.write_bytes(bytes(240))
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(victim if kind == "link" else tmp_path / "none")
    assert resumed(folder) == 0
    assert victim.read_bytes() == bytes(240) and not (tmp_path / "none").exists()


def test_a_run_that_keeps_nothing_removes_what_was_kept_once_it_is_done(tmp_path: Path) -> None:
    kept(tmp_path)
    with Partial(tmp_path / "a.wav", 2, FINGERPRINT) as partial:
        assert partial.frames == 0
        partial.write(BLOCK)
    assert not list(tmp_path.iterdir())


def test_two_runs_that_keep_do_not_write_into_one_file(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with Partial(tmp_path / "a.wav", 2, FINGERPRINT, keep=True) as first:
        first.write(BLOCK)
        with pytest.raises(OutputError, match="another run"), Partial(tmp_path / "a.wav", 2, FINGERPRINT, keep=True):
            pass
        np.testing.assert_array_equal(first.read(0, 10), BLOCK)


@pytest.mark.parametrize("keep", [False, True])
def test_a_full_disk_is_one_line(tmp_path: Path, keep: bool) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with (
        pytest.raises(OutputError, match=r"a\.wav: could not be written"),
        Partial(tmp_path / "a.wav", 2, FINGERPRINT, keep=keep) as partial,
    ):
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        try:
            for _ in range(3):
                partial.write(BLOCK)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
