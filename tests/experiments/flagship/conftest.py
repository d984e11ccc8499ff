"""A library of steady tones: a frequency tells which instrument sounds."""

from __future__ import annotations

import pytest

from fewshot_sep.loops.library import Library
from tests.loops.tasks.tones import make_library

FAMILIES = {"piano": "piano", "flute": "flute", "tuba": "tuba", "sitar": "sitar", "invented-1": "invented"}


@pytest.fixture(scope="package")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Four files of each instrument, two to train and two to validate with; tuba and sitar are held out."""
    return make_library(tmp_path_factory.mktemp("tones"), 44100, 1.0, FAMILIES, ("train", "train", "valid", "valid"))
