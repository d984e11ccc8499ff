from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from fewshot_sep import Separator, audio
from fewshot_sep.experiments.kit import cost, excerpt
from fewshot_sep.experiments.speed import busy, mixing, peers, run, song
from fewshot_sep.systems import build

MACHINE: dict[str, Any] = {"system": "here", "cores": 2}


def tiny(name: str, seconds: float) -> peers.Peer:
    torch.manual_seed(0)
    mixture, rate = excerpt.song(seconds)
    return peers.ours(Separator(build(name), "cpu"), mixture, audio.read(excerpt.QUERY)[0], rate)


def test_calls_take_turns() -> None:
    order: list[str] = []
    times = peers.interleaved({name: lambda name=name: order.append(name) for name in "abc"}, 2)
    assert order == list("abcabc")
    assert all(len(kept) == 2 for pair in times.values() for kept in pair)


def test_a_machine_that_slows_down_does_not_change_ratios() -> None:
    times = {"slow": ([2.0, 20.0, 200.0], [2.0, 2.0, 2.0]), "fast": ([1.0, 10.0, 100.0], [0.5, 0.5, 0.5])}
    assert peers.speedup(times, "fast", than="slow") == 2


def test_the_network_is_given_whole_segments_alone() -> None:
    for preset in ("tiny", "tiny-informed", "tiny-image"):
        short, long = tiny(preset, 4), tiny(preset, 9)
        assert short.seconds <= 4 and long.seconds <= 9 and long.seconds > short.seconds
        (row,) = peers.compare([short], 4, 1)
        assert row["network_wall"] > 0 and row["network_times_first"] == row["whole_times_first"] == 1


def test_a_model_whose_package_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("openunmix", "demucs.apply"):
        monkeypatch.setitem(sys.modules, module, None)
    found, missing = peers.installed(4)
    assert [model.name for model in found] == ["informed", "illes2020"]
    assert [line.split()[0] for line in missing] == ["Open-Unmix", "HTDemucs"]
    assert all(peers.INSTALL in line for line in missing)


def test_the_report_keeps_every_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = dict.fromkeys((*cost.STAGES, "total", "process"), 0.01)
    monkeypatch.setattr(cost, "of_command", lambda *given: {**stages, "grid": given[2], "audio_s": 4, "peak_mib": 300})
    run.write(tmp_path, run.Part.SONG, MACHINE | song.measure(None, excerpt.QUERY))
    models = [tiny("tiny", 4), tiny("tiny-image", 4)]
    facts = MACHINE | {"torch": "2", "threads": 2, "seconds": 4, "rounds": 1, "missing": ["X is left out"]}
    text = run.write(tmp_path, run.Part.PEERS, facts | {"rows": peers.compare(models, 4, 1)}).read_text()
    assert all(line in text for line in ("| auto | auto | 0.010 |", "| tiny-image |", "X is left out."))
    assert set(json.loads((tmp_path / "metrics.json").read_text())) == {"song", "peers"}


@pytest.mark.slow
def test_mixing_is_timed_in_a_training() -> None:
    found = mixing.measure(None, "tiny", 50)
    assert found["mixer"] > found["together"] > 0 and found["step"] > 0 and 0 <= found["waiting"] < 1
    assert mixing.blocks(found | MACHINE)


def test_what_is_measured_beside_busy_loops_and_that_they_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[tuple[int, str]] = []

    def work(way: str, *_: object) -> None:
        seen.append((len(loops), way))

    started = busy.busy
    loops: list[Any] = []

    @contextlib.contextmanager
    def noted(count: int) -> Iterator[list[Any]]:
        with started(count) as running:
            assert all(process.poll() is None for process in running)
            loops[:] = running
            yield running
        assert all(process.poll() is not None for process in running)

    monkeypatch.setattr(busy, "busy", noted)
    monkeypatch.setattr(busy, "_command", work)
    found = busy.measure(excerpt.QUERY)
    assert seen == [(count, way) for count in busy.LOOPS for way in busy.WAYS]
    text = run.write(tmp_path, run.Part.BUSY, MACHINE | found).read_text()
    assert "| 2 | one thread |" in text
