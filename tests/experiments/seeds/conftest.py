"""A library of steady tones: a frequency tells which instrument sounds."""

from __future__ import annotations

import numpy as np
import pytest

from fewshot_sep import audio
from fewshot_sep.loops import library
from fewshot_sep.loops.library import Library, Row

RATE = 16000
FAMILIES = {
    "nylon guitar": "guitar",
    "steel guitar (maker)": "guitar",
    "piano": "piano",
    "flute": "pipe",
    "invented-00001": "invented",
}
HERTZ = {name: 300 * (place + 1) for place, name in enumerate(FAMILIES)}


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Two songs in which all instruments play; each instrument in each, half a second long."""
    folder = tmp_path_factory.mktemp("tones")
    time = np.arange(RATE // 2) / RATE
    rows = []
    for song in ("one", "two"):
        for name, family in FAMILIES.items():
            path = f"{song}-{name}.wav"
            audio.write(folder / path, (0.3 * np.sin(2 * np.pi * HERTZ[name] * time)).astype(np.float32)[None], RATE)
            rows.append(Row(path, name, family, f"maker-{song}", "CC0", 120, 4, song, "train"))
    return library.write(folder, rows)
