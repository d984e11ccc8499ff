"""Two runs at once into one folder: no result takes the place of the other's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fewshot_sep import audio, files
from fewshot_sep.errors import OutputError
from fewshot_sep.songs import claims
from fewshot_sep.songs.jobs import claimed, jobs
from tests.songs.material import sound

ROOT = Path(__file__).parents[2]
RUN = """
import os, sys, time
from pathlib import Path
from fewshot_sep import Separator, cli
from fewshot_sep.songs import cli as songs_cli
from tests.songs.conftest import FakeSeparator

def meet(stage):
    Path(f"{stage}-{os.getpid()}").touch()
    end = time.monotonic() + 100
    while len(list(Path().glob(f"{stage}-*"))) < 2:
        assert time.monotonic() < end
        time.sleep(0.001)

def half(mixture, sample_rate):
    meet("working")
    return mixture / 2

def pretrained(weights, device):
    meet("planned")
    return FakeSeparator(half)

Separator.from_pretrained = pretrained
cli.run(songs_cli.separate, "separate", sys.argv[1:])
"""


@pytest.mark.parametrize("template", ["{song}/{name}", "{name} of {song}"])
@pytest.mark.parametrize(
    ("songs", "names"),
    [
        (("a/take.wav", "b/take.wav"), ("horn", "horn")),
        (("a/take.wav", "b/take.wav"), ("horn", "bass")),
        (("a/take.wav", "a/take.wav"), ("horn", "horn")),
    ],
)
def test_two_processes(tmp_path: Path, songs: tuple[str, str], names: tuple[str, str], template: str) -> None:
    for seed, each in enumerate(songs):
        sound(tmp_path / each, 0.2, seed=7 if songs[0] == songs[1] else seed)
    rest = ["--query-at", "0-0.2", "-o", "out", "--grid", "none", "--no-residual-pass", "--template", template]
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", RUN, each, "--name", name, *rest],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for each, name in zip(songs, names, strict=True)
    ]
    said = [run.communicate() for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    files = [[tmp_path / line for line in out.splitlines()] for out, _ in said]
    assert not set(files[0]) & set(files[1])
    for each, (target, residual, report) in zip(songs, files, strict=True):
        both = audio.read(target)[0] + audio.read(residual)[0]
        np.testing.assert_allclose(both, audio.read(tmp_path / each)[0], atol=1e-6)
        assert each in report.read_text()
    if template == "{song}/{name}" and songs[0] != songs[1]:
        assert {path.parent.name for each in files for path in each} == {"take", "take-2"}
    assert not list(tmp_path.rglob(".*"))


def test_what_came_in_between_is_kept(tmp_path: Path) -> None:
    (job,) = jobs([sound(tmp_path / "take.wav")], tmp_path / "out", "horn", ".wav")
    job.outputs.residual.parent.mkdir(parents=True)
    job.outputs.residual.write_text("mine")
    with claimed(job) as moved:
        assert moved.outputs.target.name == "horn-2.wav"
    with claimed(moved) as again:
        assert again.outputs == moved.outputs


def test_what_is_moved_takes_no_place_of_its_own_batch(tmp_path: Path) -> None:
    songs = [sound(tmp_path / name, 0.2, seed=seed) for seed, name in enumerate(("a/take.wav", "b/take.wav"))]
    first, second = jobs(songs, tmp_path / "out", "horn", ".wav")
    with claims.claim(first.place, {"digests": {"song": "another", "evidence": ""}}) as is_ours:
        assert is_ours
        with claimed(first) as moved:
            assert moved.place.parent.name == "take-3"
        with claimed(second) as kept:
            assert kept == second


def test_a_place_has_one_claim_and_a_dead_ones_is_swept(tmp_path: Path) -> None:
    place = tmp_path / "made" / "horn"
    with claims.claim(place, {}) as first, claims.claim(place, {}) as second:
        assert first and not second
        assert list(claims.contents(place.with_name("\0"))) == [{}]
    left = place.with_name(f".horn{claims.ENDING}")
    left.write_text("{")  # as a killed process leaves it
    assert not list(claims.contents(place.with_name("\0")))
    with claims.claim(place, {}) as third:
        assert third
    assert not left.exists()


def test_a_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "os", SimpleNamespace(**vars(os) | {"name": "nt"}))
    monkeypatch.setattr(files, "fcntl", None)
    with claims.claim(tmp_path / "horn", {}) as first, claims.claim(tmp_path / "horn", {}) as second:
        assert first and not second
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_line_and_leaves_no_claim(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, limits[1]))
    try:
        with pytest.raises(OutputError, match="made: cannot be written"), claims.claim(tmp_path / "made" / "horn", {}):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_was_made_for_work_that_fails_is_removed(tmp_path: Path) -> None:
    with pytest.raises(KeyError), claims.claim(tmp_path / "a" / "b" / "horn", {}):
        raise KeyError
    assert not list(tmp_path.iterdir())
