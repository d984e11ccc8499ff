from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from fewshot_sep.experiments.bachata import clips
from fewshot_sep.experiments.bachata.settings import PRESET
from fewshot_sep.loops.instruments.material import Material
from fewshot_sep.loops.instruments.voice import Voice
from fewshot_sep.loops.library import SAMPLE_RATE, Library
from fewshot_sep.loops.score import Note
from fewshot_sep.loops.tasks.pool import AudioPool


@dataclass(frozen=True)
class Plucked(Voice):
    """Decaying tones with `partials` harmonics: a quick voice."""

    partials: int = 1

    @property
    def kind(self) -> str:
        return "invented"

    def play(self, notes: Sequence[Note], frames: int, rng: np.random.Generator) -> np.ndarray:
        sound = np.zeros(frames, np.float32)
        time = np.arange(SAMPLE_RATE // 5) / SAMPLE_RATE
        for note in notes:
            first = round(note.start * SAMPLE_RATE)
            hertz = 440 * 2 ** ((note.pitch - 69) / 12)
            tone = sum(np.sin(2 * np.pi * k * hertz * time) / k for k in range(1, self.partials + 1))
            end = min(frames, first + len(time))
            sound[first:end] += (note.velocity * np.exp(-12 * time) * tone)[: max(0, end - first)]
        return sound


class Invented(Material):
    """Material without files: tones under the names that the bachata set asks for."""

    def voices(self) -> list[Voice]:
        kinds = {"nylon guitar": (4, ()), "fingered bass": (4, ()), "bongo": (1, (60, 61)), "cabasa": (3, (69,))}
        return [
            Plucked(name, "x", ("melody",), 28, 90, keys, f"font{number}", "CC0", 1 + number)
            for name, (count, keys) in kinds.items()
            for number in range(count)
        ]


@pytest.fixture(scope="session")
def material() -> Material:
    return Invented()


@pytest.fixture(scope="session")
def folder(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bachata")
    clips.prepare(path, material, songs=5, seed=0, workers=1)
    return path


@pytest.fixture(scope="session")
def library(folder: Path, material: Material) -> Library:
    return clips.prepare(folder, material, songs=5, seed=0)


@pytest.fixture(scope="session")
def pool(library: Library) -> AudioPool:
    return AudioPool(library, "valid", PRESET.sample_rate)
