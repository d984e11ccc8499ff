from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from fewshot_sep.experiments.bachata import trainer
from fewshot_sep.experiments.bachata.models import ThesisSystem
from fewshot_sep.experiments.bachata.run import INSTRUMENTS, VARIANTS, Settings, Variant
from fewshot_sep.loops.library import Library
from fewshot_sep.loops.tasks.mixing import AudioPool
from fewshot_sep.systems import build


def test_clips_are_four_beats_at_one_tempo(shelf: Library) -> None:
    assert {row.instrument for row in shelf} == set(INSTRUMENTS)
    for row in shelf.rows[::20]:
        info = soundfile.info(shelf.file(row))
        assert (info.frames, info.samplerate, info.channels) == (18000, 11025, 1)
        assert (row.beats, round(row.bpm)) == (4, 147)


def test_the_test_has_new_voices_and_where_there_is_but_one_new_songs(shelf: Library) -> None:
    voices, songs = (
        {split: {(row.instrument, part(row)) for row in shelf.split(split)} for split in ("train", "valid")}
        for part in (lambda row: row.source, lambda row: row.song.rsplit("-", 2)[0])
    )
    assert {name for name, _ in voices["train"] & voices["valid"]} == {"bongo"}
    assert not songs["train"] & songs["valid"]
    assert {name for name, _ in songs["valid"]} == set(INSTRUMENTS)


@pytest.mark.parametrize("name", ["thesis", "only-bass", "only-verse", "without-guira"])
def test_tasks_are_what_the_variant_says(shelf: Library, name: str) -> None:
    variant = VARIANTS[name]
    pool = AudioPool(trainer.heard(variant, shelf), "train", 11025)
    mixer = trainer.mixer(variant, 4, pool, 0)
    drawn = [mixer._draw_rows(np.random.default_rng(seed)) for seed in range(60)]
    asked = {pool.rows[draw.sources[0]].instrument for draw in drawn}
    heard = {pool.rows[row] for draw in drawn for row in (*draw.sources, *draw.queries)}
    expected = {"bass"} if name == "only-bass" else set(INSTRUMENTS) - {variant.without}
    assert asked == expected
    assert {row.section for row in heard} == ({"verse"} if name == "only-verse" else {"verse", "chorus", "mambo"})
    for draw in drawn:
        playing = [pool.rows[row].instrument for row in draw.sources]
        assert sorted(playing) == sorted(set(INSTRUMENTS) - {variant.without})
        assert {pool.rows[row].instrument for row in draw.queries} == {playing[0]}


def test_the_thesis_variant_is_the_preset() -> None:
    torch.manual_seed(0)
    mixture, queries, target = torch.rand(3, 2, 1, 18000) - 0.5
    preset, variant = build("tiny-image"), ThesisSystem(Variant(), 2)
    variant.load_state_dict(preset.state_dict())
    expected, _ = preset.loss(mixture, queries, target)
    found, parts = variant.loss(mixture, queries, target)
    assert torch.allclose(found, expected, rtol=1e-4) and parts["error"] == found


def test_clipping_and_normalisation_can_be_left_out() -> None:
    torch.manual_seed(0)
    wave = 4 * (torch.rand(2, 1, 18000) - 0.5)
    plain, clipped, thesis = (ThesisSystem(VARIANTS[name], 2).eval() for name in ("plain", "clipped", "thesis"))
    raw, spectrum, peak = plain.image(wave)
    assert torch.allclose(raw, torch.log10(spectrum.abs() + 1), atol=1e-5) and bool((peak == 1).all())
    assert float(thesis.image(wave)[0].max()) == pytest.approx(1, abs=1e-4)
    clipped.load_state_dict(plain.state_dict())
    with torch.inference_mode():
        free = plain.network(raw, raw - 3)
        assert float(free.min()) < 0
        assert torch.allclose(clipped.network(raw, raw - 3), free.clamp(0, 1))


def test_a_training_is_done_once_and_loads_as_it_was(shelf: Library, tmp_path: Path) -> None:
    settings = Settings(width=1, batch=2, epochs=2, iterations=1)
    trainer.train(VARIANTS["gan"], settings, shelf, tmp_path, "cpu")
    facts = json.loads((tmp_path / "run.json").read_text())
    assert (facts["epochs"], facts["iterations"], facts["adversarial"]) == (2, 1, True)
    system = trainer.load(tmp_path, VARIANTS["gan"], 1)
    assert facts["parameters"] == sum(p.numel() for p in system.network.parameters())
    before = (tmp_path / trainer.WEIGHTS).stat().st_mtime_ns
    trainer.train(VARIANTS["gan"], settings, shelf, tmp_path, "cpu")
    assert (tmp_path / trainer.WEIGHTS).stat().st_mtime_ns == before
    assert len(list(tmp_path.glob("log/*/metrics.csv"))) == 1


def test_variants_are_trained_side_by_side_as_one_by_one(shelf: Library, tmp_path: Path) -> None:
    settings = Settings(width=1, batch=2, epochs=4, iterations=1, short_iterations=1)
    some = {name: VARIANTS[name] for name in ("thesis", "only-verse")}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the workers: sums in another order round otherwise
    try:
        assert list(trainer.train_all(some, settings, shelf, tmp_path / "one", "cpu", workers=1)) == list(some)
    finally:
        torch.set_num_threads(threads)
    assert set(trainer.train_all(some, settings, shelf, tmp_path / "two", "cpu", workers=2)) == set(some)
    for name, variant in some.items():
        one, two = (trainer.load(tmp_path / run / name, variant, 1).state_dict() for run in ("one", "two"))
        assert all(torch.allclose(one[key], two[key], atol=1e-3) for key in one)
