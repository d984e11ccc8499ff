from __future__ import annotations

import numpy as np
import pytest
import torch

from fewshot_sep import metrics
from fewshot_sep.experiments.bachata import baselines, clip_tests
from fewshot_sep.experiments.bachata.examples import Example, draw, separate, tensor
from fewshot_sep.experiments.bachata.models import ThesisSystem
from fewshot_sep.experiments.bachata.phase import refine
from fewshot_sep.experiments.bachata.run import INSTRUMENTS, Variant
from fewshot_sep.loops.tasks.mixing import AudioPool


@pytest.fixture(scope="module")
def system() -> ThesisSystem:
    torch.manual_seed(0)
    return ThesisSystem(Variant(), 1).eval()


@pytest.fixture(scope="module")
def examples(pool: AudioPool) -> list[Example]:
    return draw(pool, 2, 18000)


def test_examples_are_drawn_alike_and_never_ask_by_the_stem_itself(pool: AudioPool, examples: list[Example]) -> None:
    again = draw(pool, 2, 18000)
    for example, other in zip(examples, again, strict=True):
        assert np.array_equal(example.stems, other.stems) and np.array_equal(example.queries, other.queries)
        assert np.abs(example.mixture).max() == pytest.approx(0.5, rel=1e-5)
        for place, name in enumerate(INSTRUMENTS):
            row, asked = example.rows[place], example.asked[place]
            assert row != asked and {pool.rows[row].instrument, pool.rows[asked].instrument} == {name}


def test_separating_is_the_systems_own_forward(system: ThesisSystem, examples: list[Example]) -> None:
    example = examples[0]
    found = separate(system, example.mixture, example.queries)
    with torch.inference_mode():
        for query, stem in zip(example.queries, found, strict=True):
            mixture = torch.from_numpy(example.mixture)[None, None]
            expected = system(mixture, system.condition(torch.from_numpy(query)[None, None]))[0, 0]
            assert np.allclose(stem, expected.numpy(), atol=1e-4)


def test_the_mixture_gains_nothing_and_the_truth_much(examples: list[Example]) -> None:
    idle = clip_tests.table(examples, lambda example: example.mixture[None].repeat(4, 0))
    perfect = clip_tests.table(examples, lambda example: example.stems)
    for name in INSTRUMENTS:
        assert idle[name]["si_sdri"] == 0
        assert perfect[name]["si_sdr"] > 60 and perfect[name]["sdr"] > 60
    assert clip_tests.gain_table(examples, lambda example: example.stems).keys() == perfect.keys()


def test_the_bounds_return_a_stem_that_is_alone(system: ThesisSystem, examples: list[Example]) -> None:
    stems = np.zeros_like(examples[0].stems)
    stems[1] = examples[0].stems[1]
    alone = examples[0]._replace(stems=stems)
    for bound in (baselines.ideal_ratio_mask, baselines.true_magnitude):
        found = bound(system, alone)
        assert metrics.si_sdr(stems[1], found[1]) > 40
        assert np.abs(found[0]).max() < 1e-3


def test_factorisation_follows_the_query() -> None:
    t = np.arange(18000, dtype=np.float32) / 11025
    gate = (np.sin(2 * np.pi * 3 * t) > 0).astype(np.float32)
    low, high = (np.sin(2 * np.pi * hertz * t) for hertz in (300, 2500))
    stems = np.stack([low * gate, high * (1 - gate) + 0.5 * high])
    mixture = stems.sum(0)
    found = baselines.factorised(Example((0, 1), (2, 3), stems, np.stack([low, high])), 11025)
    for true, estimate in zip(stems, found, strict=True):
        assert metrics.si_sdr(true, estimate) > metrics.si_sdr(true, mixture) + 10


def test_phases_fit_better_and_better(system: ThesisSystem, examples: list[Example]) -> None:
    example = examples[0]
    stems = system.spectrum(tensor(system, example.stems))
    mixture = tensor(system, example.mixture)
    angle = system.spectrum(mixture).angle()
    magnitude = stems.abs()

    def misfit(iterations: int) -> float:
        waves = refine(system, magnitude, angle, 18000, iterations)
        return float((system.spectrum(waves).abs() - magnitude).square().sum())

    errors = [misfit(count) for count in (0, 1, 4, 12)]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.8 * errors[0]
    true = refine(system, magnitude, stems.angle(), 18000, 3, mixture)
    assert np.allclose(true.numpy(), example.stems, atol=1e-3)
    near, far = (
        float((refine(system, magnitude, angle, 18000, 12, given).sum(0) - mixture).square().sum())
        for given in (mixture, None)
    )
    assert near < 0.5 * far


def test_the_choice_of_the_query_counts_what_it_changes(
    system: ThesisSystem, examples: list[Example], pool: AudioPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A separator that answers wrong queries, which come last, with noise: all that differs is known."""
    noise = np.random.default_rng(0).standard_normal(18000).astype(np.float32)
    monkeypatch.setattr(clip_tests, "separate", lambda system, mixture, queries: np.stack([mixture for _ in queries]))
    same = clip_tests.choice_of_query(system, examples, pool, 3)
    assert set(same["spread"].values()) == {0.0} and same["right"] == same["wrong"] == 0
    monkeypatch.setattr(
        clip_tests,
        "separate",
        lambda system, mixture, queries: np.stack(
            [mixture if number < 3 else mixture + noise for number in range(len(queries))]
        ),
    )
    worse = clip_tests.choice_of_query(system, examples, pool, 3)
    assert worse["right"] == 0 > worse["wrong"] and set(worse["range"].values()) == {0.0}


def test_sections_are_those_of_the_stems(system: ThesisSystem, examples: list[Example], pool: AudioPool) -> None:
    sections = {pool.rows[row].section for example in examples for row in example.rows}
    assert set(clip_tests.by_section(system, examples, pool)) == sections


def test_phase_ways_order_as_theory_says(
    system: ThesisSystem, examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip_tests, "PHASE_ITERATIONS", 6)
    found = clip_tests.phases(system, examples[:1])["true magnitudes"]
    assert found["the true phase"] > 50
    assert found["the true phase"] > found["MISI"] > found[clip_tests.MIXTURE_PHASE] > found["Griffin-Lim from noise"]
