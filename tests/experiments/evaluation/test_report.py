from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fewshot_sep import audio
from fewshot_sep.experiments.evaluation import examples, report, tables
from fewshot_sep.experiments.evaluation.runs import Chosen, Facts, Row
from fewshot_sep.experiments.kit.document import Table


def rows(method: str, shift: float = 0) -> list[Row]:
    """Made-up figures of twelve items of three songs."""
    rng = np.random.default_rng(0)
    found: list[Row] = []
    for number in range(12):
        kind = ("same", "cross", "absent", "sources", "wrong", "clips")[number % 6]
        row: Row = {"method": method, "id": f"{number}", "kind": kind, "song": f"song {number % 3}", "target": "flute"}
        row |= {"sources": 2 + number % 3, "seen": number > 2, "peak_mib": 300.0}
        row |= {"seconds": 1.0, "cpu_s": 0.5, "audio_s": 10.0}
        row |= {"level": -25.0 - number, "sounds": kind != "absent", "clips": 3, "clip_s": 1.0}
        if kind != "absent":
            figures = {name: float(rng.normal(3 + shift, 1)) for name in (*tables.FIGURES, "asked_si_sdri")}
            row |= {**figures, "collapsed": False, "retrieved": True, "followed": True}
        found.append(row)
    return found


def test_what_an_oracle_query_adds_is_taken_item_by_item() -> None:
    own = [row | {"kind": "same", "sounds": True, "si_sdri": float(n)} for n, row in enumerate(rows("flute"))]
    best = [row | {"kind": "itself", "id": f"{row['id']}/itself", "si_sdri": n + 2.0} for n, row in enumerate(own)]
    _, table = tables.changed({"mine": [*own[1:], *best[:-1]], "theirs": own}, "itself")
    assert isinstance(table, Table)
    assert table.rows == [["mine", "11", "6.0 / 6.0", "7.0 / 7.0", "2.0 [2.0, 2.0]"]]
    assert not tables.changed({"theirs": own}, "itself")


def test_a_report_of_several_methods(tmp_path: Path) -> None:
    everything = [*rows("ours", shift=2), *rows("theirs"), {"method": "theirs", "id": "12", "failed": "too loud"}]
    everything[-1] |= {"kind": "same", "song": "song 1"}
    sound = (np.random.default_rng(0).uniform(-0.1, 0.1, (2, 60000)).astype(np.float32), 44100)
    parts = dict.fromkeys(("query", "mixture", "target", "estimate"), sound)
    facts = Facts("set", "", {"ours": Chosen("segment"), "theirs": Chosen("cmd:x")})
    report.write(tmp_path, everything, facts, [examples.Example("best: 0", parts)])
    text = (tmp_path / "report.md").read_text()
    for title in (
        "Absent: the instrument is not in the song",
        "Number of sources",
        "Number and length",
        "Wrong queries",
        "Failed",
    ):
        assert f"## {title}" in text
    assert "| theirs | 12 | too loud |" in text
    assert "| ours | 0.100 | 0.050 | 300 |" in text
    paired = json.loads((tmp_path / "metrics.json").read_text())["paired"]
    assert {entry["kind"] for entry in paired} == {"same", "cross", "absent"}
    assert all(entry["found"]["mean"][0] == pytest.approx(2) for entry in paired if entry["kind"] != "absent")
    for name in ("boxes.png", "levels.png", "examples.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_rows_from_before_the_level_was_measured_are_read(tmp_path: Path) -> None:
    old = [{name: value for name, value in row.items() if name != "target_level"} for row in rows("old")]
    facts = Facts("set", "", {"old": Chosen("segment"), "new": Chosen("song")})
    report.write(tmp_path, [*old, *rows("new")], facts, [])
    lines = (tmp_path / "report.md").read_text().splitlines()
    start = lines.index(f"## {tables.TITLES['same']}")
    head, *_ = found = [line.split(" | ") for line in lines[start:] if line.startswith("|")]
    column = head.index(tables.FIGURES["target_level"])
    before, after = (next(row for row in found if row[0] == f"| {label}") for label in ("old", "new"))
    assert before[column] == "" and after[column] != ""


def test_items_that_a_method_could_not_be_given_are_counted(tmp_path: Path) -> None:
    facts = Facts("set", "", {"song": Chosen("song"), "marks": Chosen("song:among+absent", left_out=3)})
    report.write(tmp_path, [*rows("song"), *rows("marks")], facts, [])
    text = (tmp_path / "report.md").read_text()
    assert "`marks` is not given 3 of the set's items" in text and "`song` is not given" not in text


def test_the_report_names_weights_and_its_command(tmp_path: Path) -> None:
    trained = Chosen("wavenet", "weights.safetensors (0123), 5 examples, 1.0 minutes")
    facts = Facts("set", "", {"segment": Chosen("segment"), "old": trained})
    text = report.write(tmp_path, [*rows("segment"), *rows("old")], facts, []).read_text()
    assert f"`{trained}`" in text
    assert "-o RUN --method segment --method old=wavenet --weights old=FILE`" in text


def test_a_target_that_does_not_sound_counts_as_absent() -> None:
    some = rows("ours")
    some[0]["sounds"] = False
    assert [row["id"] for row in tables.of_kind(some, "same")] == ["6"]
    assert [row["id"] for row in tables.of_kind(some, "absent")] == ["0", "2", "8"]


def test_what_holds_is_a_share_of_the_rows_that_say_so() -> None:
    """Of a target that does not sound only the level is known, whatever is asked."""
    silent = {"method": "ours", "kind": "wrong", "song": "a", "id": "a/wrong", "sounds": False, "level": -60.0}
    some = [silent | {"followed": True}, silent | {"followed": False}, silent]
    assert tables.share(some, "followed") == 0.5
    assert tables.share([silent], "followed") == 0


def test_sounds_of_the_page_are_mp3_from_where_the_target_is_loudest(tmp_path: Path) -> None:
    rate, silence = 16000, np.zeros((1, 10 * 16000), np.float32)
    target = silence.copy()
    target[:, 5 * rate : 9 * rate] = 0.3 * np.sin(2 * np.pi * 440 * np.arange(4 * rate) / rate)
    parts = {"query": (target, rate), "mixture": (target, rate), "target": (target, rate), "estimate": (silence, rate)}
    clips = examples.sounds(examples.Example("x", parts)).clips
    (tmp_path / "target.mp3").write_bytes(clips["target"])
    played, its_rate = audio.read(tmp_path / "target.mp3")
    assert its_rate == examples.LISTEN_RATE and played.shape[1] / its_rate == pytest.approx(4, abs=0.1)
    assert np.sqrt(np.mean(played**2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.05)
