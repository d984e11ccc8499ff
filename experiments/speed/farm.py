"""Many songs by the command, one and two at a time: songs per hour and core, and what a large batch would take."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from fewshot_sep.experiments.kit.document import Table, markdown
from fewshot_sep.experiments.kit.tables import number
from fewshot_sep.experiments.speed.run import DATA, repeat

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
            clock, cpu = _time(jobs, Path(folder))
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


def _time(jobs: int, folder: Path) -> tuple[float, float]:
    """Seconds by the clock, and of CPU time of all processes."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [
        sys.executable,
        "-m",
        "fewshot_sep",
        "separate",
        str(folder / "songs"),
        "--query",
        str(DATA / "query.ogg"),
    ]
    subprocess.run(
        [*command, "-o", str(folder / f"out{jobs}"), "--jobs", str(jobs), "--device", "cpu"],
        check=True,
        capture_output=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, cpu


if __name__ == "__main__":
    from fewshot_sep.cli import run

    run(main)
