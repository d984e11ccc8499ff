from __future__ import annotations

import re
from pathlib import Path

import pytest
import soundfile
import torch

from fewshot_sep.experiments.bachata import measure, report, trainer
from fewshot_sep.experiments.bachata.settings import INSTRUMENTS, VARIANTS, Settings
from fewshot_sep.experiments.kit import variants
from fewshot_sep.loops.instruments.material import Material
from fewshot_sep.loops.library import Library
from fewshot_sep.separator import Separator
from fewshot_sep.systems import build


def test_clips_are_four_beats_at_one_tempo(library: Library) -> None:
    assert {row.instrument for row in library} == set(INSTRUMENTS)
    for row in library.rows[::20]:
        info = soundfile.info(library.file(row))
        assert (info.frames, info.samplerate, info.channels) == (18000, 11025, 1)
        assert (row.beats, round(row.bpm)) == (4, 147)


def test_the_test_has_new_voices_and_where_there_is_but_one_new_songs(library: Library) -> None:
    voices, songs = (
        {split: {(row.instrument, part(row)) for row in library.split(split)} for split in ("train", "valid")}
        for part in (lambda row: row.source, lambda row: row.song.rsplit("-", 2)[0])
    )
    assert {name for name, _ in voices["train"] & voices["valid"]} == {"bongo"}
    assert not songs["train"] & songs["valid"]
    assert {name for name, _ in songs["valid"]} == set(INSTRUMENTS)


@pytest.mark.parametrize("name", ["thesis", "only-bass", "without-guira"])
def test_tasks_are_what_the_variant_says(library: Library, name: str) -> None:
    variant = VARIANTS[name]
    pool = trainer.training_pool(variant, library)
    drawn = [task for index in range(15) for task in trainer.mixer(variant, 4, pool, 0)._planner.plan(index).tasks]
    queried = {pool.rows[task.queried].instrument for task in drawn}
    assert queried == ({"bass"} if name == "only-bass" else set(INSTRUMENTS) - {variant.without})
    for task in drawn:
        playing = [pool.rows[row].instrument for row in task.sources]
        assert sorted(playing) == sorted(set(INSTRUMENTS) - {variant.without})
        assert task.query is not None and pool.rows[task.query].instrument == playing[0]


def test_the_thesis_variant_is_the_preset() -> None:
    torch.manual_seed(0)
    mixture, query = torch.rand(2, 2, 1, 18000) - 0.5
    preset, variant = build("tiny-image").eval(), trainer.build(VARIANTS["thesis"], 2).eval()
    variant.load_state_dict(preset.state_dict())
    with torch.inference_mode():
        expected, found = (system(mixture, system.condition(query)) for system in (preset, variant))
    assert torch.allclose(found, expected, atol=1e-5)


def test_clipping_and_normalisation_can_be_left_out() -> None:
    torch.manual_seed(0)
    wave = 4 * (torch.rand(2, 1, 18000) - 0.5)
    plain, clipped, thesis = (trainer.build(VARIANTS[name], 2).eval() for name in ("plain", "clipped", "thesis"))
    raw, spectrum, peak = plain.image(wave)
    assert torch.allclose(raw, torch.log10(spectrum.abs() + 1), atol=1e-5) and bool((peak == 1).all())
    assert float(thesis.image(wave).image.max()) == pytest.approx(1, abs=1e-4)
    clipped.load_state_dict(plain.state_dict())
    with torch.inference_mode():
        free = plain.network(raw, raw - 3)
        assert float(free.min()) < 0
        assert torch.allclose(clipped.network(raw, raw - 3), free.clamp(0, 1))


SETTINGS = Settings(width=1, batch=2, epochs=4, iterations=1, short_iterations=1)


def test_a_training_is_done_once_and_loads_as_it_was(library: Library, tmp_path: Path) -> None:
    variant, run = VARIANTS["only-bass"], tmp_path / "only-bass"
    trainer.train(variant, SETTINGS, library, run, "cpu")
    facts = variants.facts(run)
    assert (facts["only"], facts["epochs"], facts["iterations"]) == ("bass", 2, 1)
    system = trainer.load(tmp_path, "only-bass", 1)
    assert facts["parameters"] == sum(parameter.numel() for parameter in system.parameters())
    trainer.train(variant, SETTINGS, library, run, "cpu")
    assert len(list(run.glob("log/*/metrics.csv"))) == 1


@pytest.mark.slow
def test_variants_are_trained_side_by_side_as_one_by_one(library: Library, tmp_path: Path) -> None:
    names = ["thesis", "only-bass"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the workers: sums in another order round otherwise
    try:
        assert list(trainer.train_all(names, SETTINGS, library, tmp_path / "one", "cpu", workers=1)) == names
    finally:
        torch.set_num_threads(threads)
    assert set(trainer.train_all(names, SETTINGS, library, tmp_path / "two", "cpu", workers=2)) == set(names)
    for name in names:
        one, two = (trainer.load(tmp_path / run, name, 1).state_dict() for run in ("one", "two"))
        assert all(torch.allclose(one[key], two[key], atol=1e-3) for key in one)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_whole_run_is_trained_measured_and_reported(
    library: Library, material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the smallest size, and with an untrained system in the place of the shipped one."""
    monkeypatch.setattr(Separator, "from_pretrained", lambda device: Separator(build("tiny"), device))
    settings = SETTINGS._replace(mixtures=4)
    list(trainer.train_all(list(VARIANTS), settings, library, tmp_path, "cpu", workers=1))
    measured = measure.everything(tmp_path, settings, library, "cpu")
    written = report.write(tmp_path, settings, library, material, measured, "cpu").read_text()
    assert all((tmp_path / "report" / name).is_file() for name in re.findall(r"\]\((.*?\.png)\)", written))
    assert (tmp_path / "report" / "page.html").read_text().count("<audio") == 5 * 9
