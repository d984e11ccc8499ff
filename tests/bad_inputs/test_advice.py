"""A command that a message advises does what it says when it is pasted, whatever the file is called."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from fewshot_sep import audio, weights
from fewshot_sep.errors import FewshotSepError
from fewshot_sep.experiments.evaluation import methods
from fewshot_sep.experiments.flagship import card
from fewshot_sep.files import shell_word
from fewshot_sep.loops import cli, library
from fewshot_sep.loops.curation import curate, report
from fewshot_sep.systems import build

NAMES = ["a b", "a'b", 'a"b', "a;b", "$(touch x)", "`x`", "-rf", "--", "*", "a\\b", "a&b|c", "~", "#a", "夜"]
HARD = ["a 'b\";", "$(touch x)", "-rf"]
ODD = ["a\nb", "it's\tnot", "a\udce9b", "\\'\n"]
bash = pytest.mark.skipif(os.name != "posix" or not shutil.which("bash"), reason="needs bash")


def words(command: str) -> list[str]:
    """What bash makes of a command's words."""
    found = subprocess.run(["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, check=True).stdout
    return os.fsdecode(found).split("\0")[:-1]


@bash
@pytest.mark.parametrize("name", NAMES + ODD)
def test_a_name_is_one_word_and_no_option(name: str) -> None:
    (word,) = words(shell_word(name))
    assert os.path.normpath(word) == name and not word.startswith("-")


def message(call: Callable[[], object]) -> str:
    with pytest.raises(FewshotSepError) as refused:
        call()
    return str(refused.value)


@bash
@pytest.mark.parametrize("name", HARD)
def test_downmixing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(f"{name}.wav").touch()
    soundfile.write(f"./{name}.wav", np.zeros((100, 6)), 44100)
    said = message(lambda: audio.open_audio(f"{name}.wav"))
    assert [os.path.normpath(word) for word in words(said[said.index("ffmpeg") :])] == [
        *("ffmpeg", "-i", f"{name}.wav", "-ac", "2", f"{name}-stereo.wav")
    ]


@bash
@pytest.mark.parametrize("name", HARD)
def test_making_a_library(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = message(lambda: library.read(name))
    (command,) = re.findall(r"`(fewshot-sep make-library .*?)`", said)
    assert os.path.normpath(words(command)[2]) == name


@bash
@pytest.mark.parametrize("name", HARD)
def test_deciding(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    curated = SimpleNamespace(of_status=lambda status: ["a loop"], library=[])
    monkeypatch.setattr(curate, "curate", lambda *given, **more: curated)
    monkeypatch.setattr(report, "write", lambda made: Path("report.md"))
    cli.curate(Path("loops"), Path(name))
    said = capsys.readouterr().out
    advice = said[said.index("--decisions") :].splitlines()[0]
    assert os.path.normpath(words(advice)[1]) == f"{name}/undecided.csv"


@bash
@pytest.mark.parametrize("name", HARD)
def test_evaluating_weights(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(f"{name}.safetensors")
    weights.save(build("tiny"), path, {})
    Path("metrics.json").write_text('{"items": "set", "methods": {}}')
    said = message(lambda: card.card(path, Path()))
    assert os.path.normpath(words(said[said.index("--weights") :])[1]) == str(path)
    (choice,) = methods.choose([f"{name}=illes2020"], [], "cpu")
    said = message(lambda: methods.load(choice))
    assert words(said[said.index("--weights") :])[1] == f"{name}=RUN/weights.safetensors"
