from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner, Result

from fewshot_sep import audio
from fewshot_sep.errors import BadItems
from fewshot_sep.experiments.evaluation import figures, report, tables
from fewshot_sep.experiments.evaluation.evaluate import evaluate
from fewshot_sep.experiments.evaluation.report import Asked, Facts
from fewshot_sep.experiments.kit import document
from fewshot_sep.experiments.seeds import about


def command(*arguments: str | Path) -> Result:
    app = Typer()
    app.command()(evaluate)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def rows(method: str, shift: float = 0) -> list[dict[str, object]]:
    """Made-up figures of twelve items of three songs."""
    rng = np.random.default_rng(0)
    found: list[dict[str, object]] = []
    for number in range(12):
        kind = ("same", "cross", "absent", "sources", "wrong", "clips")[number % 6]
        row = {"method": method, "id": f"{number}", "kind": kind, "song": f"song {number % 3}", "target": "flute"}
        row |= {
            "sources": 2 + number % 3,
            "seen": number > 2,
            "seconds": 1.0,
            "cpu_s": 0.5,
            "audio_s": 10.0,
            "peak_mib": 300.0,
        }
        row |= {"level": -25.0 - number, "sounds": kind != "absent", "clips": 3, "clip_s": 1.0}
        if kind != "absent":
            figures = {name: float(rng.normal(3 + shift, 1)) for name in (*tables.FIGURES, "asked_si_sdri")}
            row |= {**figures, "collapsed": False, "retrieved": True, "followed": True}
        found.append(row)
    return found


def test_what_a_perfect_query_adds_is_taken_item_by_item() -> None:
    asked = [row | {"kind": "same", "sounds": True, "si_sdri": float(n)} for n, row in enumerate(rows("flute"))]
    best = [row | {"kind": "itself", "id": f"{row['id']}/itself", "si_sdri": n + 2.0} for n, row in enumerate(asked)]
    _, table = tables.best_query({"mine": [*asked[1:], *best[:-1]], "deaf": asked})
    assert isinstance(table, document.Table)
    assert table.rows == [["mine", "11", "6.0 / 6.0", "7.0 / 7.0", "2.0 [2.0, 2.0]"]]
    assert not tables.best_query({"deaf": asked})


def test_the_command_measures_reports_goes_on_and_compares(item_folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "a"
    result = command(item_folder, "-o", run, "--method", "irm", "--conditions", "same,sources")
    assert result.exit_code == 0, result.output
    lines = (run / "rows.jsonl").read_text()
    shutil.copytree(run, tmp_path / "b")
    again = command(item_folder, "-o", tmp_path / "b", "--method", "irm", "--conditions", "same", "--listen", "none")
    assert again.exit_code == 0 and (tmp_path / "b" / "rows.jsonl").read_text() == lines
    shown = command("--compare", run, tmp_path / "b")
    assert shown.exit_code == 0, shown.output
    assert "| a: irm | b: irm | same | SI-SDRi | 5 (2) | 0.0 [0.0, 0.0]" in shown.output
    assert (tmp_path / "b" / "against-a.md").read_text() in shown.output
    text, page = ((run / name).read_text() for name in ("report.md", "page.html"))
    assert "## Number of sources" in text and str(tmp_path) not in text + page
    assert re.findall(r'src="([^"]{5})', page) and set(re.findall(r'(?:src|href)="([^"]{5})', page)) == {"data:"}
    assert page.count("<audio") == 12 and "https:" not in page
    assert {"boxes.png", "levels.png", "examples.png"} <= {path.name for path in run.iterdir()}
    content = json.loads((run / "metrics.json").read_text())
    assert content["methods"]["irm"]["kinds"]["same"]["si_sdri"]["median"][0] > 10
    assert content["methods"]["irm"]["peak_mib"] > 50


def test_what_cannot_be_run_is_refused(item_folder: Path, tmp_path: Path) -> None:
    assert command().exit_code == 2
    assert command(item_folder, "--conditions", "same,odd").exit_code == 2
    empty = command(item_folder, "-o", tmp_path / "run", "--method", "irm", "--conditions", "absent")
    assert isinstance(empty.exception, BadItems)
    assert isinstance(command("--compare", tmp_path / "x", tmp_path / "y").exception, BadItems)


def test_a_run_over_other_items_is_not_gone_on_with(item_folder: Path, tmp_path: Path) -> None:
    arguments = (item_folder, "-o", tmp_path / "run", "--method", "silence", "--conditions", "absent")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text('{"items": "others", "digest": "0", "methods": {}}')
    refused = command(*arguments)
    assert isinstance(refused.exception, BadItems) and "others" in str(refused.exception)
    (tmp_path / "run" / "run.json").write_text('{"items": "others", "digest": "0", "methods": {"irm": "irm"}}')
    unread = command(*arguments)
    assert isinstance(unread.exception, BadItems) and "no readable run" in str(unread.exception)


def test_a_report_of_several_methods(tmp_path: Path) -> None:
    everything = [*rows("ours", shift=2), *rows("theirs"), {"method": "theirs", "id": "12", "failed": "too loud"}]
    everything[-1] |= {"kind": "same", "song": "song 1"}
    sound = (np.random.default_rng(0).uniform(-0.1, 0.1, (2, 60000)).astype(np.float32), 44100)
    parts = dict.fromkeys(("query", "mixture", "target", "estimate"), sound)
    facts = Facts("set", {"ours": Asked("clip"), "theirs": Asked("cmd:x")})
    report.write(tmp_path, everything, facts, [figures.Example("best: 0", parts)])
    text = (tmp_path / "report.md").read_text()
    for title in ("Instrument not in the song", "Number of sources", "Number and length", "Wrong queries", "Failed"):
        assert f"## {title}" in text
    assert "| theirs | 12 | too loud |" in text
    assert "| ours | 0.100 | 0.050 | 300 |" in text
    paired = json.loads((tmp_path / "metrics.json").read_text())["paired"]
    assert {entry["kind"] for entry in paired} == {"same", "cross", "absent"}
    assert all(entry["found"]["mean"][0] == pytest.approx(2) for entry in paired if entry["kind"] != "absent")
    for name in ("boxes.png", "levels.png", "absent.png", "examples.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_a_seed_papers_figure_stands_beside_ours(tmp_path: Path) -> None:
    some = [*rows("clip"), *rows("old")]
    what = {"clip": Asked("clip"), "old": Asked("demucs", "weights.safetensors (0123), 5 examples, 1.0 minutes")}
    report.write(tmp_path, some, Facts("set", what), [])
    text = (tmp_path / "report.md").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("| old | Demucs")]
    means = [
        np.mean([row[f"bss_{name}"] for row in some[12:] if row["kind"] == "same"]) for name in ("sdr", "sir", "sar")
    ]
    assert about("demucs").figure in line and " / ".join(f"{mean:.1f}" for mean in means) in line
    assert "`demucs, weights weights.safetensors (0123), 5 examples, 1.0 minutes`" in text
    assert "-o RUN --method clip --method 'old=demucs' --weights old=FILE`" in text
    report.write(tmp_path, some[:12], Facts("set", {"clip": Asked("clip")}), [])
    assert "Systems of the seed papers" not in (tmp_path / "report.md").read_text()


def test_a_target_that_does_not_sound_counts_as_absent() -> None:
    some = rows("ours")
    some[0]["sounds"] = False
    assert [row["id"] for row in tables.of_kind(some, "same")] == ["6"]
    assert [row["id"] for row in tables.of_kind(some, "absent")] == ["0", "2", "8"]


def test_sounds_of_the_page_are_mp3_from_where_the_target_is_loudest(tmp_path: Path) -> None:
    rate, silence = 16000, np.zeros((1, 10 * 16000), np.float32)
    target = silence.copy()
    target[:, 5 * rate : 9 * rate] = 0.3 * np.sin(2 * np.pi * 440 * np.arange(4 * rate) / rate)
    parts = {"query": (target, rate), "mixture": (target, rate), "target": (target, rate), "estimate": (silence, rate)}
    clips = report._sounds(figures.Example("x", parts)).clips
    (tmp_path / "target.mp3").write_bytes(clips["target"])
    heard, its_rate = audio.read(tmp_path / "target.mp3")
    assert its_rate == report.LISTEN_RATE and heard.shape[1] / its_rate == pytest.approx(4, abs=0.1)
    assert np.sqrt(np.mean(heard**2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.05)


def test_markup_of_names_stays_text() -> None:
    page = document.page("<t>", [document.Table(["a"], [["<b>`x`"]])], Path())
    assert "<td>&lt;b&gt;<code>x</code></td>" in page and "<title>&lt;t&gt;</title>" in page
