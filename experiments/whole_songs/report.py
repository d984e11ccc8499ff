"""The report on whole songs, as blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fewshot_sep.experiments.kit import document
from fewshot_sep.experiments.kit.document import Block, Heading, Points, Table, Text
from fewshot_sep.experiments.kit.tables import number
from fewshot_sep.experiments.whole_songs.settings import METHODS, STAGES

Metrics = Mapping[str, Any]


def write(folder: Path, metrics: Metrics) -> Path:
    """Write report.md and metrics.json; returns the report's path."""
    made = "Made by `python -m fewshot_sep.experiments.whole_songs.run SONGS --items ITEMS` with the bundled weights."
    blocks = [Text(made), *_methods(metrics["songs"], metrics["items"]), *_beats(metrics["beats"])]
    return document.write(folder, "Whole songs", blocks, metrics)


def _methods(songs: Sequence[Metrics], items: Sequence[Metrics]) -> list[Block]:
    rows = [*songs, *items]
    names = list(dict.fromkeys(row["song"] for row in rows))

    def by_song(method: str, figure: str) -> list[float]:
        """Mean of a song's targets."""
        chosen = [row for row in rows if row["method"] == method]
        return [float(np.mean([row[figure] for row in chosen if row["song"] == song])) for song in names]

    found = {method: by_song(method, "si_sdri") for method in METHODS}
    columns = [[number(value, 2) for value in values] for values in zip(*found.values(), strict=True)]
    lines = []
    for method, values in found.items():
        plain, thesis = (np.subtract(values, found[other]) for other in ("plain", "thesis"))
        seconds = {
            stage: float(np.median([row["seconds"].get(stage, 0) for row in songs if row["method"] == method]))
            for stage in STAGES
        }
        means = (float(np.mean(some)) for some in (values, by_song(method, "spectral_snri")))
        lines.append([method, *(number(mean, 2) for mean in means)])
        lines[-1] += [f"{plain.mean():+.2f} (worst song {plain.min():+.2f})", f"{thesis.mean():+.2f}"]
        lines[-1] += [number(spent, 3) for spent in (*seconds.values(), sum(seconds.values()))]
    head = ["method", "SI-SDRi", "spectral", "over plain", "over thesis", *STAGES, "total"]
    return [
        Heading("Bars and tempo"),
        Text("SI-SDRi (dB) of the target per song, the mean where a song has several targets."),
        Table(["song", *METHODS], [[song, *cells] for song, cells in zip(names, columns, strict=True)]),
        Text("Over all songs, each counting once. Time: median of the whole songs, seconds per second of audio."),
        Table(head, lines),
        Points([f"`{name}`: {method.about}." for name, method in METHODS.items()]),
        Text(
            "Spectral: the same improvement on magnitudes alone. A phase vocoder does not give a wave back as it was, "
            "which costs the methods that stretch the target their SI-SDR whatever they separate; magnitudes forgive "
            "that."
        ),
    ]


def _beats(found: Metrics) -> list[Block]:
    head = list(next(iter(found.values())))
    lines = [[song, *(number(figures[name], 2) for name in head)] for song, figures in found.items()]
    text = "F-measure (70 ms) against the tempo of the songs' charts, their constant delay taken away."
    return [Heading("Beats"), Text(text), Table(["song", *head], lines)]
