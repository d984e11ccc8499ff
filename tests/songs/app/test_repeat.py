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

from .conftest import Client  # isort: skip
from .test_server import marked  # isort: skip


@pytest.fixture
def saved(start: Callable[..., Client], song: Path, tmp_path: Path) -> Path:
    """A zip of the page, unpacked: two stems, one of them by a clip, and a third that was removed in between."""
    client = start()
    first = marked(client, song)
    client.run(do="separate", stem=first)
    client.idle()
    for name in ("removed", "bass"):
        client.edit(do="next")
        stem = client.state()["stems"][-1]["id"]
        client.edit(do="rename", stem=stem, name=name)
        client.ask(
            "PUT", "/api/clip", params={"stem": stem, "role": "alone", "name": "c.wav"}, content=song.read_bytes()
        )
        client.run(do="separate", stem=stem)
        client.idle()
    client.edit(do="remove", stem=client.state()["stems"][1]["id"])
    answer = client.ask("GET", "/api/download", params={"what": "all", "format": "wav", "bits": "32"})
    zipfile.ZipFile(io.BytesIO(answer.content)).extractall(tmp_path / "page")
    return tmp_path / "page" / "my song"


def separate(monkeypatch: pytest.MonkeyPatch, half: Any, *arguments: object) -> Any:
    monkeypatch.setattr(Separator, "from_pretrained", lambda *a, **more: half)
    from fewshot_sep.songs.cli import separate as command

    return CliRunner().invoke(cli._application(command, "separate"), [str(a) for a in arguments])


def test_equal_output(saved: Path, song: Path, half: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    result = separate(monkeypatch, half, song, "--session", saved / "session.json", "-o", out, "--tracker", "librosa")
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
    again = separate(monkeypatch, half, song, "--session", saved / "session.json", "-o", out, "--skip-existing")
    assert again.exit_code == 0 and "left out" in again.output
    again = separate(monkeypatch, half, song, "--session", saved / "session.json", "-o", out, "--tracker", "librosa")
    assert again.exit_code == 0 and {path.name for path in (out / "my song").iterdir()} == expected


def test_results_of_others_stay(
    saved: Path, song: Path, half: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    result = separate(monkeypatch, half, song, "--query", song, "--name", "bass", "-o", out, "--grid", "none")
    assert result.exit_code == 0, result.output
    earlier = (out / "my song" / "bass.wav").read_bytes()
    result = separate(monkeypatch, half, song, "--session", saved / "session.json", "-o", out, "--tracker", "librosa")
    assert result.exit_code == 0, result.output
    assert (out / "my song" / "bass.wav").read_bytes() == earlier
    assert (out / "my song" / "bass-2.wav").read_bytes() == (saved / "bass.wav").read_bytes()


@pytest.mark.parametrize("damage", ["a clip is gone", "another song", "no session", "other evidence too"])
def test_what_does_not_fit_is_refused(
    saved: Path, song: Path, half: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    session, more = saved / "session.json", []
    if damage == "a clip is gone":
        next((saved / "clips").iterdir()).unlink()
    elif damage == "another song":
        audio.write(song, audio.read(song)[0][:, :9000], 8000)
    elif damage == "no session":
        session.write_text("[]")
    else:
        more = ["--query", song]
    result = separate(monkeypatch, half, song, "--session", session, "-o", tmp_path / "out", *more)
    assert result.exit_code != 0
    assert not list((tmp_path / "out").glob("**/*.wav"))
