from __future__ import annotations

import numpy as np
import pytest
import torch

from fewshot_sep import metrics
from fewshot_sep.experiments.bachata import measure, trainer
from fewshot_sep.experiments.bachata.examples import Example, draw
from fewshot_sep.experiments.bachata.settings import INSTRUMENTS, Variant
from fewshot_sep.loops.tasks.pool import AudioPool
from fewshot_sep.systems import ImageSystem


@pytest.fixture(scope="module")
def system() -> ImageSystem:
    torch.manual_seed(0)
    return trainer.build(Variant(), 1).eval()


@pytest.fixture(scope="module")
def examples(pool: AudioPool) -> list[Example]:
    return draw(pool, 2, 18000)


def test_examples_are_reproducible_and_a_query_is_another_clip_of_its_instrument(
    pool: AudioPool, examples: list[Example]
) -> None:
    for example, other in zip(examples, draw(pool, 2, 18000), strict=True):
        assert np.array_equal(example.stems, other.stems) and np.array_equal(example.queries, other.queries)
        assert np.abs(example.mixture).max() == pytest.approx(0.5, rel=1e-5)
        for stem, query, name in zip(example.stem_rows, example.query_rows, INSTRUMENTS, strict=True):
            assert stem != query and {pool.rows[stem].instrument, pool.rows[query].instrument} == {name}


def test_the_mixture_improves_nothing_and_the_truth_much(examples: list[Example]) -> None:
    idle = measure.table(examples, lambda example: example.mixture[None].repeat(4, 0))
    perfect = measure.table(examples, lambda example: example.stems)
    for name in INSTRUMENTS:
        assert idle[name]["si_sdri"] == 0
        assert perfect[name]["si_sdr"] > 60 and perfect[name]["sdr"] > 60


def test_the_bounds_return_a_stem_that_is_alone(system: ImageSystem, examples: list[Example]) -> None:
    stems = np.zeros_like(examples[0].stems)
    stems[1] = examples[0].stems[1]
    alone = examples[0]._replace(stems=stems)
    for bound in (measure.ideal_ratio_mask, measure.true_magnitude):
        estimates = bound(system, alone)
        assert metrics.si_sdr(stems[1], estimates[1]) > 40
        assert np.abs(estimates[0]).max() < 1e-3


def test_factorisation_follows_the_query() -> None:
    t = np.arange(18000, dtype=np.float32) / 11025
    gate = (np.sin(2 * np.pi * 3 * t) > 0).astype(np.float32)
    low, high = (np.sin(2 * np.pi * hertz * t) for hertz in (300, 2500))
    stems = np.stack([low * gate, high * (1 - gate) + 0.5 * high])
    mixture = stems.sum(0)
    estimates = measure.factorised(Example((0, 1), (2, 3), stems, np.stack([low, high])), 11025)
    for true, estimate in zip(stems, estimates, strict=True):
        assert metrics.si_sdr(true, estimate) > metrics.si_sdr(true, mixture) + 10
