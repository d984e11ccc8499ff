"""What the README says is so: its Python runs, its commands exist, its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_python_blocks_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})


def test_every_option_shown_is_known() -> None:
    from typer.testing import CliRunner

    from fewshot_sep.cli import app

    shown: dict[str, set[str]] = {}
    for line in re.findall(r"^(?:\S*/)?fewshot-sep ([a-z-]+)(.*)$", README, re.MULTILINE):
        shown.setdefault(line[0], set()).update(re.findall(r"(?<= )--?[a-z-]+", line[1]))
    assert {"separate", "train", "make-library", "doctor"} <= set(shown)
    for command, options in shown.items():
        text = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
        assert not [option for option in options if option not in text], command


def test_links_lead_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links and not [link for link in links if not (ROOT / link).exists()]
