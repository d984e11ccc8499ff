"""The script for a lent machine, without the trainings themselves."""

from __future__ import annotations

import argparse
import json
import tarfile
from pathlib import Path

import pytest

from fewshot_sep.experiments.flagship import lease as script
from fewshot_sep.experiments.flagship.lease import Lease

OPTIONS = argparse.Namespace(batch=8, compile=True, trial=1.0, patience=2.0, minutes=0.5, more=[])


@pytest.fixture
def lease(tmp_path: Path) -> Lease:
    (tmp_path / "place").mkdir()
    (tmp_path / "carried").mkdir()
    return Lease(tmp_path / "place", tmp_path / "carried")


def a_tar(path: Path, text: str) -> None:
    content = path.with_suffix(".txt")
    content.write_text(text)
    with tarfile.open(path, "w") as tar:
        tar.add(content, content.name)


def test_parts_of_the_library_may_come_in_several_calls(lease: Lease) -> None:
    for number in (1, 2):
        a_tar(lease.carried / f"part-{number}.tar", str(number))
        lease.prepare()
        (lease.carried / f"part-{number}.tar").unlink()
    assert {file.name: file.read_text() for file in lease.library.iterdir()} == {"part-1.txt": "1", "part-2.txt": "2"}


def test_what_fails_is_tried_with_less(lease: Lease, monkeypatch: pytest.MonkeyPatch) -> None:
    """Preset `a` runs with half the batch, and in the middle of its training needs half of that; `b` does not run."""
    tried: list[tuple[str, str, list[str]]] = []

    def fit(self: Lease, run: Path, preset: str, minutes: float, limit: float, options: list[str]) -> bool:
        kind = "training" if run.parent == lease.runs else "trial"
        tried.append((kind, preset, options))
        return preset == "a" and options in runs[kind]

    monkeypatch.setattr(Lease, "fit", fit)
    whole = [["--batch", "8", "--compile"], ["--batch", "8"], ["--batch", "4"], ["--batch", "2"]]
    runs = {"trial": whole[2:], "training": whole[3:]}
    lease.work(["b", "a"], OPTIONS)
    trials = [("trial", "b", attempt) for attempt in whole] + [("trial", "a", attempt) for attempt in whole[:3]]
    assert tried == [*trials, ("training", "a", whole[2]), ("training", "a", whole[3])]
    assert lease.ended.exists()


def test_what_goes_wrong_is_said_and_ends_the_work(lease: Lease) -> None:
    (lease.carried / "part.tar").write_text("no tar")
    with pytest.raises(tarfile.ReadError):
        lease.work(["a"], OPTIONS)
    assert "failed: ReadError" in lease.collect(lease.place / "out", 0)


def test_weights_of_an_unfinished_training_say_how_much_it_saw(lease: Lease, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lease.runs / "a"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "last.ckpt").touch()
    (run / "options.txt").write_text("--minutes 7 --batch 64")

    def fit(self: Lease, run: Path, preset: str, minutes: float, limit: float, options: list[str]) -> bool:
        (run / "weights.safetensors").touch()
        (run / "weights.json").write_text('{"steps": 10, "examples": 10, "command": "--batch 1"}')
        return True

    monkeypatch.setattr(Lease, "fit", fit)
    card = json.loads(lease.exported(run).with_suffix(".json").read_text())
    assert card["examples"] == 640 and "--minutes 7 --batch 64" in card["command"]


def test_weights_logs_and_a_table_come_back(lease: Lease) -> None:
    for name in ("a", "b"):
        run = lease.runs / name
        for number, loss in ((0, ""), (2, "0.5"), (10, "0.25")):
            (run / "log" / f"version_{number}").mkdir(parents=True)
            (run / "log" / f"version_{number}" / "metrics.csv").write_text(f"step,valid/loss\n9,{loss}\n")
        (run / "weights.safetensors").write_text(name)
        (run / "weights.json").write_text("{}")
        (run / "log" / "version_0" / "metrics.csv").write_text(
            "step,speed/examples_per_s,speed/waiting_for_data,valid/loss\n49,100,0.5,\n99,200,0.1,\n99,,,0.75\n149,900,0,\n"
        )
    lease.say("began")
    out = lease.place / "out"
    assert "has not ended" in lease.collect(out, 0)
    lease.ended.touch()
    text = lease.collect(out, 100)
    assert "began" in text and "| a | 150 | 200 | - | 10.0% | 0.250 | - |" in text and "the work ended" in text
    assert sorted(file.name for file in out.iterdir()) == [
        "a.safetensors",
        "b.safetensors",
        "logs.tar.gz",
        "report.txt",
    ]
    with tarfile.open(out / "logs.tar.gz") as logs:
        assert {"a/a.json", "a/log/version_0/metrics.csv", "lease.log"} <= set(logs.getnames())


def test_work_outlives_the_call(tmp_path: Path) -> None:
    carried = tmp_path / "carried"
    carried.mkdir()
    (carried / "part.tar").write_text("no tar")
    arguments = ["--carried", str(carried), "--place", str(tmp_path / "place"), "--out", str(tmp_path / "out")]
    script.main(["train", "tiny", *arguments, "--wait", "0", "--", "--seed", "3"])
    script.main(["collect", *arguments, "--wait", "60"])
    text = (tmp_path / "out" / "report.txt").read_text()
    assert "failed: ReadError" in text and "the work ended" in text
