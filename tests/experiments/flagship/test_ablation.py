"""The whole ablation at the size of a test: tones as a library, two variants, items of two songs."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fewshot_sep import audio, weights
from fewshot_sep.errors import FewshotSepError
from fewshot_sep.experiments.flagship import ablation, ablation_report, generalization
from fewshot_sep.experiments.flagship.variants import FILE, VARIANTS
from fewshot_sep.loops import library
from fewshot_sep.loops.library import Library, Row

RATE = 44100
HERTZ = {"piano": 300, "flute": 900, "tuba": 1500, "sitar": 2100, "invented-1": 2700}


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Library:
    folder = tmp_path_factory.mktemp("tones")
    time = np.arange(RATE) / RATE
    rows = []
    for name, hertz in HERTZ.items():
        for number in range(4):
            path = f"{name}-{number}.flac"
            audio.write(folder / path, (0.3 * np.sin(2 * np.pi * (hertz + 20 * number) * time))[None], RATE)
            split = library.split_of(name, ("train", "train", "valid", "valid")[number])
            family = "invented" if name.startswith("invented") else name
            rows.append(Row(path, name, family, f"maker-{number}", "CC0", 120, 4, f"song-{number}", split))
    return library.write(folder, rows)


def test_trains_goes_on_and_reports(tones: Library, item_folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(ablation_report, "TASKS", 3)
    names = ["recipe", "no-invented"]
    ablation.train(tones, tmp_path, names, preset="tiny", steps=2, batch=2)
    before = {name: (tmp_path / name / FILE).read_bytes() for name in names}
    assert before["recipe"] != before["no-invented"]
    ablation.train(tones, tmp_path, names, preset="tiny", steps=2, batch=2)
    assert {name: (tmp_path / name / FILE).read_bytes() for name in names} == before
    with pytest.raises(FewshotSepError, match="another steps"):
        ablation.train(tones, tmp_path, names, preset="tiny", steps=3, batch=2)

    report = ablation_report.write(tones, item_folder, tmp_path)
    content = json.loads((report.parent / "ablation.json").read_text())
    assert list(content) == names
    assert [content[name]["card"]["data"]["instruments"] for name in names] == [3, 2]
    assert all(len(content[name]["library"][sort]) == 3 for name in names for sort in ("seen", "held_out"))
    lines = report.read_text().splitlines()
    assert [line.split(" | ")[0] for line in lines if line.startswith("| ")][1:3] == ["| recipe", "| no-invented"]
    controls = "\n".join(lines).split("## Wrong queries, the control")[1].split("##")[0]
    assert "| recipe |" in controls and "no-invented" not in controls
    assert (report.parent / "ablation.png").stat().st_size > 1000


def test_the_gap_asks_for_either_sort(tones: Library) -> None:
    sound = generalization.pool(tones, RATE)
    assert {row.instrument for row in sound.rows} == set(HERTZ)
    assert sum(row.instrument == "piano" for row in sound.rows) == 2  # those of the training split are not heard
    asked = generalization.network(VARIANTS["recipe"].build("tiny").eval())
    found = generalization.gains(asked, sound, 4)
    assert len(found.seen) == len(found.held_out) == 4
    assert generalization.gains(asked, sound, 4) == found


def test_a_control_is_given_queries_and_true_stems(tones: Library) -> None:
    sound = generalization.pool(tones, RATE)
    found = {name: generalization.gains(generalization.control(name), sound, 3) for name in ("mixture", "irm")}
    assert all(abs(gain) < 1e-3 for gain in (*found["mixture"].seen, *found["mixture"].held_out))
    assert min(*found["irm"].seen, *found["irm"].held_out) > 10
    heard = []
    asked = generalization.Asked(
        lambda apart: heard.append(apart) or generalization.control("nmf").answer(apart),
        generalization.control("nmf").preset,
    )
    usual, best = (generalization.coherent_gains(asked, sound, 2, itself) for itself in (False, True))
    assert usual != best
    assert not heard[0].tasks.queries.equal(heard[-1].tasks.queries)
    sounding = heard[-1].tasks.target.flatten(1).any(1)
    assert heard[-1].tasks.queries[sounding, 0].equal(heard[-1].tasks.target[sounding].mean(1))


def test_chamber_music_is_asked_for_with_queries_and_with_the_target_itself(
    tones: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generalization.chamber_music(generalization.pool(tones, RATE)) is None
    named = Library(tones.folder, tuple(replace(row, song=f"chamber-valid-{row.song}") for row in tones))
    bound, system = (
        generalization.chamber_music(generalization.pool(named, RATE)),
        VARIANTS["recipe"].build("tiny").eval(),
    )
    asked = generalization.network(system)
    assert bound is not None
    usual, best = (generalization.coherent_gains(asked, bound, 3, itself) for itself in (False, True))
    assert len(usual) == len(best) == 3 and usual != best
    weights.save(system, tmp_path / "w.safetensors", {})
    file = str(tmp_path / "w.safetensors")
    monkeypatch.setattr("sys.argv", ["gap", str(tones.folder), file, file, "--tasks", "2", "--control", "irm"])
    generalization.main()
    lines = capsys.readouterr().out.strip().splitlines()[-3:]
    for name, line in zip(("w.safetensors", "w.safetensors", "irm"), lines, strict=True):
        assert re.fullmatch(rf"\| {name}( \| -?\d+\.\d\d / -?\d+\.\d\d){{2}} \|  \|  \|", line)
    monkeypatch.setattr("sys.argv", ["gap", str(tones.folder)])
    with pytest.raises(SystemExit):
        generalization.main()
    assert "--control" in capsys.readouterr().err


def test_a_variant_is_compared_item_by_item() -> None:
    def rows(method: str, values: list[float]) -> list[dict[str, object]]:
        facts = {"method": method, "kind": "same", "sounds": True, "song": "a"}
        return [{**facts, "id": str(number), "si_sdri": value} for number, value in enumerate(values)]

    methods = {"recipe": rows("recipe", [1, 2, 3]), "l1": rows("l1", [2, 4, 3])}
    found = ablation_report.difference(methods, "l1")
    assert found is not None and found.mean.value == pytest.approx(1.0)
    assert ablation_report.difference(methods, "recipe") is None
