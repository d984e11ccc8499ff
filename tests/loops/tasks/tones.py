"""A library whose rows are steady tones at whole frequencies of their own: one transform tells what sounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from fewshot_sep import audio
from fewshot_sep.loops import library
from fewshot_sep.loops.library import Library, Row
from fewshot_sep.loops.tasks.options import MixingOptions
from fewshot_sep.loops.tasks.plan import Plan, Planner
from fewshot_sep.loops.tasks.pool import AudioPool

RATE = 8000
FAMILIES = {
    **dict.fromkeys(("drums", "snare", "kick"), "drums"),
    **dict.fromkeys(("piano", "organ"), "keys"),
    **dict.fromkeys(("flute", "oboe"), "winds"),
    "tuba": "brass",
}
INSTRUMENTS = list(FAMILIES)
ROWS = 4

PRESENT = MixingOptions(absent=0, same_recording=0, all_but_one=0, equalise=0, room=0, band_limit=0, shift_semitones=0)
"""Rows as they are, the target never absent."""


def frequency(instrument: str, number: int) -> int:
    return 300 + 400 * INSTRUMENTS.index(instrument) + 20 * number


def tone(hertz: float, seconds: float, rate: int = RATE) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)[None]


def make_library(
    folder: Path,
    rate: int = RATE,
    seconds: float = 2.0,
    families: Mapping[str, str] = FAMILIES,
    splits: Sequence[str] = ("train",) * ROWS,
) -> Library:
    """A row of each split for each instrument, in turn from two makers; rows 0 and 1 belong to songs of all."""
    rows = []
    for place, (instrument, family) in enumerate(families.items()):
        for number, split in enumerate(splits):
            path = f"{instrument}/{number}.wav"
            audio.write(folder / path, tone(300 + 400 * place + 20 * number, seconds, rate), rate)
            song, own = f"song-{number}" if number < 2 else "", library.split_of(instrument, split)
            rows.append(Row(path, instrument, family, f"maker-{number % 2}", "CC0", 120, 4, song, own))
    return library.write(folder, rows)


def two_instruments(folder: Path, *sounds: np.ndarray, rate: int = RATE) -> Library:
    """Two rows of a piano and two of a flute: `(channels, samples)` each, the same for all where one is given."""
    rows = []
    for index, (name, number) in enumerate([("piano", 0), ("piano", 1), ("flute", 0), ("flute", 1)]):
        audio.write(folder / f"{name}{number}.wav", sounds[index % len(sounds)], rate)
        rows.append(Row(f"{name}{number}.wav", name, name, "maker", "CC0", 0, 0, "", "train"))
    return library.write(folder, rows)


def plans(pool: AudioPool, options: MixingOptions, count: int = 20, samples: int = RATE) -> list[Plan]:
    planner = Planner(pool, 8, samples, 2, options, seed=0)
    return [planner.plan(index) for index in range(count)]


def rows_in(wave: torch.Tensor) -> set[tuple[str, int]]:
    """Instrument and number of the rows whose tone is within 60 dB of the loudest.

    Shape: `(..., samples)`, one second, so that bins are Hz. The first channel tells all: another one may be late, and
    so begin in silence.
    """
    magnitude = np.abs(np.fft.rfft(wave.numpy().reshape(-1, RATE)[0]))
    if magnitude.max() < 1e-3:
        return set()
    bins = {frequency(instrument, number): (instrument, number) for instrument in INSTRUMENTS for number in range(ROWS)}
    loud = np.flatnonzero(magnitude > 1e-3 * magnitude.max())
    assert set(loud) <= set(bins), "something sounds that is in no row"
    return {bins[hertz] for hertz in loud}
