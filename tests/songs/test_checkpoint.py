"""What is kept of an interrupted song, and what is not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fewshot_sep import files
from fewshot_sep.errors import OutputError
from fewshot_sep.songs.checkpoint import Partial

FINGERPRINT = {"song": "a"}
BLOCK = np.arange(20, dtype=np.float32).reshape(2, 10)


def interrupted(folder: Path, blocks: int = 3, *, keep: bool = True) -> list[Path]:
    """What lies in a folder after a run of so many blocks was interrupted: samples and journal, if they are kept."""
    with pytest.raises(KeyboardInterrupt), Partial(folder / "a.wav", 2, FINGERPRINT, keep=keep) as partial:
        for _ in range(blocks):
            partial.write(BLOCK)
        raise KeyboardInterrupt
    return sorted(folder.iterdir(), reverse=True)


def resumed(folder: Path) -> int:
    """How many frames the next run begins with; they are as they were written, and it can finish."""
    with Partial(folder / "a.wav", 2, FINGERPRINT, keep=True) as partial:
        frames = partial.frames
        partial.write(2 * BLOCK)
        expected = np.concatenate([np.tile(BLOCK, 3)[:, :frames], 2 * BLOCK], axis=1)
        np.testing.assert_array_equal(partial.read(0, frames + 10), expected)
    assert not list(folder.iterdir())
    return frames


def test_samples_come_back_and_nothing_is_left_after_success(tmp_path: Path) -> None:
    with Partial(tmp_path / "a.wav", 2, FINGERPRINT) as partial:
        partial.write(BLOCK[:, :3])
        partial.write(BLOCK[:, 3:])
        np.testing.assert_array_equal(partial.read(2, 9), BLOCK[:, 2:9])
        assert partial.frames == 10
    assert not list(tmp_path.iterdir())


def test_not_kept_if_not_asked_for(tmp_path: Path) -> None:
    assert interrupted(tmp_path, keep=False) == []


def test_what_was_made_otherwise_is_not_resumed(tmp_path: Path) -> None:
    interrupted(tmp_path)
    with Partial(tmp_path / "a.wav", 2, {"song": "b"}, keep=True) as partial:
        assert partial.frames == 0


def test_kept_on_request_and_resumed_though_interrupted_twice(tmp_path: Path) -> None:
    interrupted(tmp_path, 1)
    interrupted(tmp_path, 2)
    assert resumed(tmp_path) == 30


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


@pytest.mark.parametrize(
    ("damage", "frames"),
    [
        (lambda data: data[:-3], 20),
        (lambda data: flipped(data, 0), 0),
        (lambda data: flipped(data, 85), 10),
        (lambda data: flipped(data, -1), 20),
        (lambda data: np.full(60, np.nan, "<f4").tobytes(), 0),
        (lambda data: np.full(60, np.inf, "<f4").tobytes(), 0),
    ],
    ids=["torn", "first block", "second block", "last block", "NaN", "Inf"],
)
def test_damaged_samples_are_not_used_again(tmp_path: Path, damage: Callable[[bytes], bytes], frames: int) -> None:
    samples, _ = interrupted(tmp_path)
    samples.write_bytes(damage(samples.read_bytes()))
    assert resumed(tmp_path) == frames


@pytest.mark.parametrize(
    "journal", [b"", b"\xff\xfe", b'{"song": "a"}\nx y\n', b'{"song": "a"}\n999999999999 1\n', b"[" * 100_000, None]
)
def test_a_damaged_or_missing_journal_begins_anew(tmp_path: Path, journal: bytes | None) -> None:
    _, path = interrupted(tmp_path)
    path.unlink() if journal is None else path.write_bytes(journal)
    assert resumed(tmp_path) == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="links and pipes as on POSIX")
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe"])
def test_links_and_pipes_are_neither_followed_nor_waited_for(tmp_path: Path, which: int, kind: str) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    path = interrupted(folder)[which]
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
    interrupted(tmp_path)
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


def test_a_sweep_of_another_process_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([False, False, True])
    monkeypatch.setattr(files, "lock", lambda file: next(answers))
    with Partial(tmp_path / "a.wav", 2, FINGERPRINT) as partial:
        partial.write(BLOCK)
    assert not list(answers)


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
