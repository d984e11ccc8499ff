"""A session on the command line gives what the page gives."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from fewshot_sep import audio, cli
from fewshot_sep.separator import Separator
from fewshot_sep.songs import cli as songs_cli

from .conftest import Client  # isort: skip


@pytest.fixture
def saved(marked: tuple[Client, str], song: Path, tmp_path: Path) -> Path:
    """A zip of the page, unpacked: two stems, one of them by a clip, and a third that was removed in between."""
    client, first = marked
    client.done(do="separate", stem=first)
    for name in ("removed", "bass"):
        client.edit(do="next")
        stem = client.state()["stems"][-1]["id"]
        client.edit(do="rename", stem=stem, name=name)
        client.add_clip(stem, "alone", song.read_bytes())
        client.done(do="separate", stem=stem)
    client.edit(do="remove", stem=client.state()["stems"][1]["id"])
    zipfile.ZipFile(io.BytesIO(client.download("all").content)).extractall(tmp_path / "page")
    return tmp_path / "page" / "my song"


@pytest.fixture
def separate(half: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The result of `fewshot-sep separate ARGUMENTS -o out`."""
    monkeypatch.setattr(Separator, "from_pretrained", lambda *given, **more: half)
    command = cli._application(songs_cli.separate, "separate")
    common = ["-o", tmp_path / "out", "--tracker", "librosa"]
    return lambda *given: CliRunner().invoke(command, [str(one) for one in (*common, *given)])


def test_equal_output(saved: Path, song: Path, separate: Any, tmp_path: Path) -> None:
    out, session = tmp_path / "out", ["--session", saved / "session.json"]
    result = separate(song, *session)
    assert result.exit_code == 0, (result.output, result.exception)
    names = ("stem 1", "bass", "residual")
    expected = {f"{name}{ending}" for name in names for ending in (".wav", ".report.json")}
    assert {path.name for path in (out / "my song").iterdir()} == expected
    for name in names:
        assert (out / "my song" / f"{name}.wav").read_bytes() == (saved / f"{name}.wav").read_bytes()
    bass, mixture = audio.read(saved / "bass.wav")[0], audio.read(song)[0]
    np.testing.assert_allclose(bass, 0.125 * mixture, atol=1e-7)  # of what the removed stem had left, too
    report = json.loads((out / "my song" / "bass.report.json").read_text(encoding="utf-8"))
    assert report["stems"] == list(names) and report["target level re mixture (dB)"] == pytest.approx(-6.02, abs=0.01)
    again = separate(song, *session, "--skip-existing")
    assert again.exit_code == 0 and "left out" in again.output
    again = separate(song, *session)
    assert again.exit_code == 0 and {path.name for path in (out / "my song").iterdir()} == expected
    again = separate(song, *session, "--skip-existing", "--format", "flac")
    assert again.exit_code == 0 and {path.stem for path in (out / "my song").glob("*.flac")} == {*names}


def test_stems_without_evidence_are_left_out(saved: Path, song: Path, separate: Any, tmp_path: Path) -> None:
    file = saved / "session.json"
    said = json.loads(file.read_text())
    last = said["stems"][-1]
    absent = {"id": "a" * 8, "role": "absent", "start": 0, "stop": 1}
    said["stems"].append(last | {"id": "c" * 8, "name": "later", "minus": [], "clips": [], "marks": [absent]})
    file.write_text(json.dumps(said))
    result = separate(song, "--session", file)
    assert result.exit_code == 0 and "later: left out" in " ".join(result.output.split()), result.output
    assert sorted(path.name for path in (tmp_path / "out" / "my song").glob("*.wav")) == [
        "bass.wav",
        "residual.wav",
        "stem 1.wav",
    ]


def test_results_of_others_stay(saved: Path, song: Path, separate: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = separate(song, "--query", song, "--name", "bass", "--grid", "none")
    assert result.exit_code == 0, result.output
    earlier = (out / "my song" / "bass.wav").read_bytes()
    result = separate(song, "--session", saved / "session.json")
    assert result.exit_code == 0, result.output
    assert (out / "my song" / "bass.wav").read_bytes() == earlier
    assert (out / "my song" / "bass-2.wav").read_bytes() == (saved / "bass.wav").read_bytes()


@pytest.mark.parametrize(
    "damage", ["a clip is gone", "another song", "no session", "no evidence", "other evidence too", "a store"]
)
def test_what_does_not_fit_is_refused(saved: Path, song: Path, separate: Any, tmp_path: Path, damage: str) -> None:
    session, more = saved / "session.json", []
    if damage == "a clip is gone":
        next((saved / "clips").iterdir()).unlink()
    elif damage == "another song":
        audio.write(song, audio.read(song)[0][:, :9000], 8000)
    elif damage == "no session":
        session.write_text("[]")
    elif damage == "no evidence":
        said = json.loads(session.read_text())
        session.write_text(json.dumps(said | {"stems": [said["stems"][0] | {"marks": [], "clips": []}]}))
    else:
        more = ["-o", "s3://bucket/x"] if damage == "a store" else ["--query", song]
    assert separate(song, "--session", session, *more).exit_code != 0
    assert not list((tmp_path / "out").glob("**/*.wav"))
