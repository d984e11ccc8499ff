"""The demo does what its last line claims."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fewshot_sep import Separator, audio
from fewshot_sep.experiments.demo import run
from fewshot_sep.experiments.demo.run import DATA, PLAYS, RESTS, main, stems
from fewshot_sep.songs.queries import parse_span
from fewshot_sep.systems import build


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_guitar_is_nearer_to_the_true_one_than_the_song_was(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    before, after = main(tmp_path)
    assert after > before + 1
    folder = tmp_path / "war_of_freedom"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("beats.json", "guitar.report.json", "guitar.report.png", "guitar.residual.wav", "guitar.wav")
    ]
    printed = capsys.readouterr().out
    assert f"{after:.2f} dB separated" in printed and str(folder / "guitar.wav") in printed
    song, _ = audio.read(tmp_path / "war_of_freedom.wav")
    parts = [audio.read(folder / name)[0] for name in ("guitar.wav", "guitar.residual.wav")]
    np.testing.assert_allclose(sum(parts), song, atol=1e-6)
    report = json.loads((folder / "guitar.report.json").read_text())
    assert len(report["model"]["sha256"]) == 64 and report["warnings"] == []


def test_the_marks_are_true() -> None:
    guitar, backing, rate = stems(marks=True)
    levels = [
        [np.sqrt(np.mean(stem[:, round(start * rate) : round(stop * rate)] ** 2)) for stem in (guitar, backing)]
        for start, stop in map(parse_span, (PLAYS, RESTS))
    ]
    assert min(levels[0]) > 0.05 and levels[1][0] == 0 and levels[1][1] > 0.05


def test_marks_are_all_that_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    separate, quick = run.separate, {"grid": "none", "residual_pass": False, "plot": False}
    monkeypatch.setattr(run, "separate", lambda songs, **given: separate(songs, **given | quick))
    monkeypatch.setattr(Separator, "from_pretrained", lambda *_, **__: Separator(build("tiny-prompted"), "cpu"))
    main(tmp_path, marks=True)
    report = json.loads((tmp_path / "war_of_freedom_marked" / "guitar.report.json").read_text())
    evidence = {role: [clip["from-to (s)"] for clip in given] for role, given in report["evidence"].items()}
    assert evidence == {"alone": [], "among": [[0, 20]], "absent": [[22, 30]]}


def test_the_bundled_song_comes_with_its_notice() -> None:
    notice = (DATA / "LICENSE.txt").read_text()
    assert "Permission is hereby granted, free of charge" in notice and "Carlos Viola Iborra" in notice
