"""Many songs by the command, one and two at a time: songs per hour and core, and what a large batch would take."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from fewshot_sep.experiments.kit.document import Table, markdown
from fewshot_sep.experiments.kit.tables import number
from fewshot_sep.experiments.speed.run import repeat, separate

PROJECTED_SONGS, PROJECTED_CORES, SONG_SECONDS = 10_000, 64, 240.0


def main(
    songs: Annotated[int, typer.Option(min=2, help="How many.")] = 4,
    seconds: Annotated[float, typer.Option(min=1, help="Length of each.")] = 30.0,
) -> None:
    """Time a batch with one and with two jobs on all cores, start-up included; and project a large one on paper.

    Example:
      python -m fewshot_sep.experiments.speed.farm --songs 4
    """
    lines, cpu = [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "songs").mkdir()
        for place in range(songs):
            repeat(Path(folder) / "songs" / f"{place}.flac", seconds)
        for jobs in (1, 2):
            clock, cpu = separate(Path(folder) / "songs", f"{folder}/out{jobs}", "--jobs", str(jobs), "--device", "cpu")
            each_hour = 3600 * songs / clock
            figures = (clock, cpu, each_hour, 3600 * songs / cpu)
            lines.append([str(jobs), *(number(figure, 1) for figure in figures)])
    columns = ["jobs", "seconds", "seconds of CPU", "songs/h", "songs/h per core"]
    typer.echo(markdown([Table(columns, lines)]))
    hours = PROJECTED_SONGS * SONG_SECONDS * cpu / songs / seconds / PROJECTED_CORES / 3600
    typer.echo(
        f"On paper, {PROJECTED_SONGS:,} songs of {SONG_SECONDS / 60:g} minutes on {PROJECTED_CORES} "
        "cores take "
        f"{number(hours, 1)} hours, if CPU time grows with the songs' length, cores do not slow each other down "
        "and the store keeps up; start-up is counted for every song as often as here."
    )


if __name__ == "__main__":
    from fewshot_sep.cli import run

    run(main)
