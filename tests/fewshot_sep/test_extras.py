from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fewshot_sep import extras
from fewshot_sep.cli import run
from fewshot_sep.errors import EngineMissing
from fewshot_sep.experiments.bachata.run import bachata
from fewshot_sep.experiments.evaluation.evaluate import evaluate
from fewshot_sep.export import export
from fewshot_sep.loops.cli import make_library
from fewshot_sep.songs.app.cli import app
from fewshot_sep.songs.cli import separate
from tests.sounds import noise


def test_packages_are_those_of_the_extras() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    for extra, packages in extras.PACKAGES.items():
        promised = {re.split(r"[^\w-]", text)[0] for text in project["optional-dependencies"][extra]}
        assert set(packages.values()) == promised


@pytest.mark.parametrize(
    ("module", "command", "arguments"),
    [
        ("uvicorn", app, ["--no-browser", "--folder", "out"]),
        ("wavesurf", app, ["--no-browser", "--folder", "out"]),
        ("fast_bss_eval", evaluate, ["items", "-o", "out"]),
        ("PIL", evaluate, ["items", "-o", "out"]),
        ("fast_bss_eval", bachata, ["-o", "out"]),
        ("tinysoundfont", make_library, ["out", "--soundfont", "a.sf2"]),
        ("pyworld", make_library, ["out", "--speech", "."]),
        ("pretty_midi", make_library, ["out", "--midi", "."]),
        ("onnxruntime", export, ["-o", "out"]),
        ("ray", separate, ["s.wav", "-q", "s.wav", "-o", "out", "--cluster", "auto"]),
        ("huggingface_hub", separate, ["s.wav", "-q", "s.wav", "-o", "out", "--weights", "some/one"]),
        ("pylibrb", separate, ["s.wav", "-q", "s.wav", "-o", "out", "--tempo", "mask", "--stretcher", "pylibrb"]),
    ],
)
def test_what_is_missing_is_said_before_any_work(
    module: str, command: Callable[..., Any], arguments: list[str], tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    from fewshot_sep import audio

    monkeypatch.chdir(tmp_path)
    audio.write("s.wav", noise(1, 44100), 44100)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SystemExit) as left:
        run(command, "x", arguments)
    assert left.value.code == 2 and not Path("out").exists()
    *before, last = capsys.readouterr().err.splitlines()
    assert last.startswith("error: ") and "pip install" in last
    assert all(line.startswith("material: ") for line in before)


def test_several_missing_packages_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in extras.PACKAGES["evaluate"]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(EngineMissing, match=r"fast-bss-eval, pillow; pip install 'fewshot-sep\[evaluate\]'"):
        extras.require("evaluate")
    extras.require("render", "pretty_midi")
