"""What a project promises: README and documentation are true, the wheel carries what runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "pages").glob("*.md"))]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", ["README.md", pytest.param("docs/pages/python.md", marks=pytest.mark.slow)])
def test_python_blocks_run(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)


def test_every_option_shown_is_known() -> None:
    from typer.testing import CliRunner

    from fewshot_sep.cli import app

    shown: dict[str, set[str]] = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for command, rest in re.findall(r"^(?:\S*/)?fewshot-sep ([a-z-]+)(.*)$", text, re.MULTILINE):
            shown.setdefault(command, set()).update(re.findall(r"(?<= )--?[a-z-]+", rest))
    assert {"separate", "train", "make-library", "curate", "evaluate", "mnist", "doctor", "inspect"} <= set(shown)
    for command, options in shown.items():
        text = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
        assert not [option for option in options if option not in text], command


@pytest.mark.parametrize("page", [str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    assert not [link for link in links if not ((ROOT / page).parent / link).exists()]


def test_every_package_is_in_the_wheel() -> None:
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    folders = [path.parent.relative_to(ROOT) for path in ROOT.glob("[!.]*/**/__init__.py")]
    rooms = {"fewshot_sep", "songs", "loops", "experiments"}
    found = {".".join(folder.parts) for folder in folders if folder.parts[0] in rooms}
    assert listed == {name if name.split(".")[0] == "fewshot_sep" else f"fewshot_sep.{name}" for name in found}


@pytest.mark.slow
def test_the_wheel_carries_what_runs_and_works_elsewhere(tmp_path: Path) -> None:
    source = tmp_path / "source"  # a copy: a build leaves its folder behind, which a later one would take files from
    skipped = shutil.ignore_patterns(".*", "build", "dist", "out", "runs", "*.egg-info", "__pycache__", "tests")
    shutil.copytree(ROOT, source, symlinks=True, ignore=skipped)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, source], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"fewshot_sep"}
    assert not [name for name in names if name.endswith(".md") or "/report/" in name]
    assert [name for name in names if name.endswith(".html")] == ["fewshot_sep/songs/app/static/index.html"]
    assert "fewshot_sep/pretrained/prompted.safetensors" in names and "fewshot_sep/songs/pipeline.py" in names
    home = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", home, wheel], check=True)
    work = tmp_path / "work"
    (work / "songs").mkdir(parents=True)
    (work / "songs.py").write_text("raise RuntimeError('a user wrote this')")
    environment = os.environ | {"PYTHONPATH": str(home)}
    code = "import fewshot_sep.songs.pipeline as module; print(module.__file__)"
    where = subprocess.run([sys.executable, "-c", code], cwd=work, env=environment, check=True, capture_output=True)
    assert Path(where.stdout.decode().strip()).is_relative_to(home)
    demo = [sys.executable, "-m", "fewshot_sep.experiments.demo.run"]
    subprocess.run(demo, cwd=work, env=environment, check=True)
    report = json.loads((work / "out/demo/war_of_freedom/guitar.report.json").read_text(encoding="utf-8"))
    assert report["target level re mixture (dB)"] > -30


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", ROOT / "docs/mkdocs.yml", "-d", tmp_path]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    page = (tmp_path / "docs/pages/api/index.html").read_text(encoding="utf-8")
    assert 'id="fewshot_sep.separator.Separator.separate"' in page


@pytest.mark.slow
def test_the_notebook_runs() -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    path = ROOT / "docs" / "pages" / "separate_a_song.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=280, resources={"metadata": {"path": str(path.parent)}}).execute()
    shown = json.dumps(notebook)
    assert "image/png" in shown and "SI-SDR" in shown
