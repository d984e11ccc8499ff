"""The thesis's clips: four beats of one instrument, brought to one tempo, at 11,025 Hz."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fewshot_sep import audio, stretch
from fewshot_sep.experiments.bachata.settings import PRESET
from fewshot_sep.loops import library as libraries
from fewshot_sep.loops.composing.make_library import make
from fewshot_sep.loops.curation import conform
from fewshot_sep.loops.instruments.material import Material
from fewshot_sep.loops.library import Library, Row

THESIS_NAMES = {"requinto": "guitar", "segunda": "guitar", "bajo": "bass"}
TEST_SHARE = 0.12
"""Of the songs: kept for the test where an instrument has no voice to hold back."""


def prepare(folder: Path, material: Material, songs: int, seed: int, workers: int | None = None) -> Library:
    """Render the bachata set into `folder/set` and cut it to `folder/clips`, or read what an earlier call left there.

    The split `valid` holds voices that training never uses; where the material has but one voice for an instrument,
    songs that training never uses.

    Raises:
        BadAudio: the material lacks an instrument of the set.
    """
    target = folder / "clips"
    if (target / libraries.CSV_NAME).is_file():
        return libraries.read(target)
    rendered = make(folder / "set", material, kind="bachata", songs=songs, seed=seed, workers=workers)
    engine = stretch.resolve("auto")
    rows = [_clip(rendered, row, target, engine) for row in _held_back(rendered) if row.beats == conform.BEATS]
    return libraries.write(target, [row for row in rows if row])


def _held_back(rendered: Library) -> list[Row]:
    """The rows, with the last songs of each instrument that has no validation voice moved to validation."""
    validated = {row.instrument for row in rendered if row.split == "valid"}
    names = sorted({row.song.rsplit("-", 2)[0] for row in rendered if row.split == "train"})
    last = set(names[len(names) - max(1, round(TEST_SHARE * len(names))) :])
    return [
        replace(row, split="valid") if row.instrument not in validated and row.song.rsplit("-", 2)[0] in last else row
        for row in rendered
    ]


def _clip(rendered: Library, row: Row, folder: Path, engine: str) -> Row | None:
    """One bar of the set as a clip; None where it is all but silent."""
    samples, rate = audio.read(rendered.file(row))
    plan = conform.Plan(1.0, 1, 1, 0.0)
    found = conform.pieces(samples, rate, 0.0, samples.shape[1] / rate, row.beats, plan, PRESET, engine)
    if not found:
        return None
    # The thesis has one guitar; the set's two keep apart by their files.
    path = f"{row.path.rsplit('.', 1)[0]}.wav"
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    audio.write(folder / path, found[0], PRESET.sample_rate, subtype="PCM_16")
    instrument, bpm = THESIS_NAMES.get(row.instrument, row.instrument), round(conform.tempo_of(PRESET), 3)
    return replace(row, path=path, instrument=instrument, bpm=bpm)
