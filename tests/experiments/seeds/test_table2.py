from __future__ import annotations

import math

import numpy as np
import pytest

from fewshot_sep.experiments.seeds.about import TABLE_2, Ratios
from fewshot_sep.experiments.seeds.labels import of_library
from fewshot_sep.experiments.seeds.table2 import Cell, Part, ensembles, markdown, measure
from fewshot_sep.loops.library import Library
from fewshot_sep.loops.tasks.mixing import AudioPool

RATE = 16000


@pytest.fixture(scope="module")
def items(tones: Library) -> list[list[Part]]:
    return ensembles(AudioPool(tones, "train", RATE), of_library(tones), each=3, seconds=0.4)


def test_ensembles_are_sums_of_differently_labelled_equal_parts(tones: Library, items: list[list[Part]]) -> None:
    labels = of_library(tones)
    assert sorted(len(parts) for parts in items) == [2, 2, 2, 3, 3, 3], "there are three labels"
    for parts in items:
        assert len({labels.find(part.instrument) for part in parts}) == len(parts)
        assert np.allclose(sum(part.reference for part in parts), parts[0].mixture, atol=1e-6)
        for part in parts:
            assert part.mixture.shape == part.reference.shape == (1, int(0.4 * RATE))
            assert np.sqrt(np.mean(part.reference**2)) == pytest.approx(0.1, rel=1e-3)
            ((query, rate),) = part.queries
            peak = [np.abs(np.fft.rfft(wave[0])).argmax() for wave in (query, part.reference)]
            assert rate == RATE and peak[0] == peak[1], "the query is the same instrument"


def test_the_truth_scores_high_the_mixture_by_its_count_and_silence_is_counted(items: list[list[Part]]) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (3, 8000)).astype(np.float32)
    mixture = noise[:2].sum(0, keepdims=True)
    duet = [Part(mixture, RATE, [], f"{n}", noise[n : n + 1]) for n in range(2)]
    table = measure(
        {
            "truth": lambda part: np.repeat(part.reference, 2, axis=0),
            "mixture": lambda part: part.mixture,
            "half": lambda part: part.reference if part.instrument == "0" else 0 * part.mixture,
        },
        [duet, duet],
    )
    assert table["truth"][2].ratios.sdr > 40
    assert table["mixture"][2].ratios.sir == pytest.approx(0, abs=1)
    assert table["mixture"][2].ratios.sar > 40
    assert table["half"][2].ratios.sdr > 40
    assert [table[name][2].silent for name in table] == [0, 0, 2]
    assert {table[name][2].parts for name in table} == {4}


def test_all_silent_has_no_figure() -> None:
    parts = [Part(np.ones((1, 2000), np.float32), RATE, [], "x", np.ones((1, 2000), np.float32))]
    cell = measure({"silence": lambda part: 0 * part.mixture}, [parts])["silence"][1]
    assert math.isnan(cell.ratios.sdr) and cell.silent == cell.parts == 1


def test_table_shows_ours_beside_the_papers() -> None:
    lines = markdown({"mixture": {2: Cell(Ratios(1, 2, 3), 6, 1)}, "exp-wave-u-net": {5: Cell(Ratios(4, 5, 6), 7, 0)}})
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines.splitlines()]
    assert len({len(row) for row in rows}) == 1
    assert ["mixture", "2", "1.00", "2.00", "3.00", "6 (1)", "", "", ""] in rows
    assert ["exp-wave-u-net", "5", "4.00", "5.00", "6.00", "7", "", "", ""] in rows
    paper = [row for row in rows if row[0] == "exp-wave-u-net" and row[1] == "3"]
    assert paper == [["exp-wave-u-net", "3", "", "", "", "", "-3.85", "-2.74", "11.97"]]
    assert {row[0] for row in rows} >= set(TABLE_2)
