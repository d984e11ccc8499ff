"""A library of steady tones: a frequency tells which instrument sounds."""

from __future__ import annotations

import numpy as np
import pytest

from fewshot_sep import audio
from fewshot_sep.loops import library
from fewshot_sep.loops.library import Library, Row

RATE = 44100
HERTZ = {"piano": 300, "flute": 900, "tuba": 1500, "sitar": 2100, "invented-1": 2700}


@pytest.fixture(scope="package")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Four files of each instrument, two to train and two to validate with; tuba and sitar are held out."""
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
