"""A library of steady tones: a frequency tells which instrument sounds."""

from __future__ import annotations

import pytest

from fewshot_sep.loops.library import Library
from tests.loops.tasks.tones import make_library

FAMILIES = {
    "nylon guitar": "guitar",
    "steel guitar (maker)": "guitar",
    "piano": "piano",
    "flute": "pipe",
    "invented-00001": "invented",
}


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Two songs in which all instruments play; each instrument in each, half a second long."""
    return make_library(tmp_path_factory.mktemp("tones"), 16000, 0.5, FAMILIES, ("train", "train"))
