"""Songs with a known target: Frets on Fire folders (guitar and backing) and items cut for evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewshot_sep import audio
from fewshot_sep.errors import BadItems
from fewshot_sep.experiments.evaluation import items as evaluation_items
from fewshot_sep.experiments.whole_songs.settings import REFERENCE_CLIP_S, REFERENCE_CLIPS

Array = NDArray[np.float32]


class Case(NamedTuple):
    """One target to separate. Sounds are `(channels, samples)` at `rate`; `left_out` (samples) is not scored."""

    song: str
    mixture: Array
    rate: int
    queries: list[tuple[Array, int]]
    reference: Array
    left_out: tuple[tuple[int, int], ...] = ()

    def scored(self, samples: Array) -> Array:
        """`samples` without the passages that the queries are from."""
        kept = np.ones(samples.shape[1], dtype=bool)
        for start, stop in self.left_out:
            kept[start:stop] = False
        return samples[:, kept]


def frets_on_fire(folder: Path) -> Case:
    """A folder with `guitar.ogg` and `song.ogg`: their sum, and as queries 4 s of the guitar from each quarter.

    Of each quarter the steadiest 4 s: those whose quietest half second is loudest. They are not scored.
    """
    guitar, rate = audio.read(folder / "guitar.ogg")
    backing, _ = audio.read(folder / "song.ogg")
    length = min(guitar.shape[1], backing.shape[1])
    guitar, backing = guitar[:, :length], backing[:, :length]
    quarter, span = length // REFERENCE_CLIPS, round(REFERENCE_CLIP_S * rate)
    starts = [
        at + steadiest(guitar[:, at : at + quarter], rate, REFERENCE_CLIP_S)
        for at in range(0, REFERENCE_CLIPS * quarter, quarter)
    ]
    queries = [(guitar[:, start : start + span], rate) for start in starts]
    return Case(folder.name, guitar + backing, rate, queries, guitar, tuple((start, start + span) for start in starts))


def steadiest(samples: Array, rate: int, seconds: float) -> int:
    """First sample of the passage whose quietest half second is loudest."""
    half = rate // 2
    mono = samples.mean(0)[: samples.shape[1] // half * half].reshape(-1, half)
    power = np.lib.stride_tricks.sliding_window_view(np.square(mono).mean(1), max(round(2 * seconds), 1))
    return int(power.min(1).argmax()) * half


def chart_bpm(folder: Path) -> float:
    """The tempo of a song's chart, `notes.mid`, constant from the first sample on.

    Raises:
        BadItems: its tempo changes.
    """
    import pretty_midi

    path = folder / "notes.mid"
    tempi = {float(tempo) for tempo in pretty_midi.PrettyMIDI(str(path)).get_tempo_changes()[1]}
    if len(tempi) != 1:
        raise BadItems(f"{path}: {len(tempi)} tempi; only charts of constant tempo are understood")
    return tempi.pop()


def items(folder: Path) -> list[Case]:
    """The items of `items.json` whose target sounds: {song, mix, query, reference, ...}, paths from `folder` on."""
    cases = []
    for item in evaluation_items.read(folder):
        if item.reference and item.mix:
            mixture, rate = audio.read(folder / item.mix)
            reference, _ = audio.read(folder / item.reference)
            cases.append(Case(item.song, mixture, rate, [audio.read(folder / item.query)], reference))
    return cases
