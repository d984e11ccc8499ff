from __future__ import annotations

from pathlib import Path

import pytest

from fewshot_sep.experiments.seeds.labels import Labels, of_library
from fewshot_sep.experiments.seeds.settings import MIN_ROWS
from fewshot_sep.loops.library import Library, Row

FULL = Labels(
    ("backing vocals", "bass", "brass", "french horn", "guitar", "kick", "organ", "piano", "reed", "synth", "vocals")
)


def rows(instrument: str, family: str, count: int, split: str = "train") -> list[Row]:
    return [Row(f"{instrument}/{n}.wav", instrument, family, "m", "CC0", 0, 0, "", split) for n in range(count)]


def test_labels_are_instruments_there_is_enough_of_and_families_of_the_rest() -> None:
    shelf = [
        *rows("violin", "strings", MIN_ROWS),
        *rows("cello", "strings", MIN_ROWS - 1),
        *rows("cello (opl3)", "strings", 1),
        *rows("viola", "strings", MIN_ROWS - 1),
        *rows("steel guitar", "guitar", 100),
        *rows("synth pad 3 (opl3)", "synth pad", 2),
        *rows("invented-00007", "invented voice", 100),
        *rows("flute", "pipe", 100, "valid"),
    ]
    labels = of_library(Library(Path(), tuple(shelf)))
    assert labels.names == ("cello", "guitar", "strings", "synth", "violin")
    found = {row.instrument: labels.find(row.instrument, row.family) for row in shelf}
    assert found == {
        "violin": "violin",
        "cello": "cello",
        "cello (opl3)": "cello",
        "viola": "strings",
        "steel guitar": "guitar",
        "synth pad 3 (opl3)": "synth",
        "invented-00007": None,
        "flute": None,
    }


@pytest.mark.parametrize(
    ("stem", "label"),
    [
        ("guitar", "guitar"),
        ("Distortion Guitar", "guitar"),
        ("backing_vocals", "backing vocals"),
        ("vox", "vocals"),
        ("horn", "french horn"),
        ("horns", "brass"),
        ("tuba", "brass"),
        ("bassoon", "reed"),
        ("clav", "piano"),
        ("pluck_pad", "synth"),
        ("kick drum", "kick"),
        ("accordion", "organ"),
        ("violin", None),
        ("theremin", None),
    ],
)
def test_stems_find_their_label(stem: str, label: str | None) -> None:
    assert FULL.find(stem) == label
    assert FULL.number(stem) == (None if label is None else FULL.names.index(label))
