from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner, Result

from fewshot_sep.errors import BadItems
from fewshot_sep.experiments.evaluation.evaluate import evaluate


def command(*arguments: str | Path) -> Result:
    app = Typer()
    app.command()(evaluate)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_two_runs_without_sound_or_process_are_compared(here: None, item_folder: Path, tmp_path: Path) -> None:
    for name in "ab":
        arguments = ("--method", "silence", "--method", "mixture", "--conditions", "absent")
        result = command(item_folder, "-o", tmp_path / name, *arguments)
        assert result.exit_code == 0, result.output
    assert "## Absent: the instrument is not in the song" in (tmp_path / "a" / "report.md").read_text()
    shown = command("--compare", tmp_path / "a", tmp_path / "b")
    assert "| a: mixture | b: mixture | absent | level | 1 (1) | 0.0 [0.0, 0.0]" in shown.output


def test_few_differences_are_said_to_be_too_few(here: None, item_folder: Path, tmp_path: Path) -> None:
    arguments = ("--method", "silence", "--method", "mixture", "--conditions", "same")
    result = command(item_folder, "-o", tmp_path, *arguments)
    assert result.exit_code == 0, result.output
    (line,) = [line for line in (tmp_path / "report.md").read_text().splitlines() if "| mixture | intra-song |" in line]
    assert "(5 are too few to tell)" in line and "(2 are too few to tell)" in line


@pytest.mark.parametrize("name", ["[bold]x[/]", "$x_{", "<script>a|b", "`"])
def test_names_are_no_markup(name: str, here: None, item_folder: Path, tmp_path: Path) -> None:
    path = item_folder / "items.json"
    hostile = [entry | {"song": entry["song"] + name, "target": name} for entry in json.loads(path.read_text())]
    path.write_text(json.dumps(hostile))
    run = tmp_path / "run"
    arguments = ("--method", f"{name}=silence", "--method", "mixture", "--conditions", "absent")
    result = command(item_folder, "-o", run, *arguments)
    assert result.exit_code == 0, result.output
    assert "<script" not in re.sub("`[^`]*`", "", (run / "report.md").read_text())
    assert "<script" not in (run / "page.html").read_text()


def test_items_without_the_clips_are_left_out_and_counted(here: None, item_folder: Path, tmp_path: Path) -> None:
    path = item_folder / "items.json"
    entries = json.loads(path.read_text())
    silence = ("-o", tmp_path / "run", "--conditions", "same,absent", "--method")
    assert command(item_folder, *silence, "silence").exit_code == 0
    for entry in entries[:2]:
        entry |= {"among": entry["mix"], "without": entry["others"][0]}
    path.write_text(json.dumps(entries))  # clips that older runs knew nothing of do not make it another set
    result = command(item_folder, *silence, "nmf:among+absent")
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (tmp_path / "run" / "rows.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows if row["method"] == "nmf:among+absent"] == [
        entry["id"] for entry in entries[:2] if entry["kind"] == "same"
    ]
    assert f"is not given {len(entries) - 2} of the set's items" in (tmp_path / "run" / "report.md").read_text()


@pytest.mark.slow
def test_the_command_measures_reports_resumes_and_compares(item_folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "a"
    result = command(item_folder, "-o", run, "--method", "irm", "--conditions", "same,sources")
    assert result.exit_code == 0, result.output
    lines = (run / "rows.jsonl").read_text()
    shutil.copytree(run, tmp_path / "b")
    again = command(
        item_folder, "-o", tmp_path / "b", "--method", "irm", "--conditions", "intra-song", "--listen", "none"
    )
    assert again.exit_code == 0 and (tmp_path / "b" / "rows.jsonl").read_text() == lines
    shown = command("--compare", run, tmp_path / "b")
    assert shown.exit_code == 0, shown.output
    assert "| a: irm | b: irm | intra-song | SI-SDRi | 5 (2) | 0.0 [0.0, 0.0]" in shown.output
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


def test_a_run_over_other_items_is_not_resumed(item_folder: Path, tmp_path: Path) -> None:
    arguments = (item_folder, "-o", tmp_path / "run", "--method", "silence", "--conditions", "absent")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text('{"items": "others", "digest": "0", "methods": {}}')
    refused = command(*arguments)
    assert isinstance(refused.exception, BadItems) and "others" in str(refused.exception)
    (tmp_path / "run" / "run.json").write_text('{"items": "others", "digest": "0", "methods": {"irm": "irm"}}')
    unread = command(*arguments)
    assert isinstance(unread.exception, BadItems) and "no readable run" in str(unread.exception)
