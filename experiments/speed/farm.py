"""Many songs by the command, one and two at a time: songs per hour and core, and what a large batch would take."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fewshot_sep import audio
from fewshot_sep.experiments.kit import excerpt
from fewshot_sep.experiments.kit.document import Block, Heading, Table, Text
from fewshot_sep.experiments.kit.tables import number

PROJECTED_SONGS, PROJECTED_CORES, SONG_SECONDS = 10_000, 64, 240.0


def measure(songs: int, seconds: float, query: Path) -> dict[str, Any]:
    """Seconds by the clock and of CPU time that a batch takes with one and with two jobs of a thread each."""
    with tempfile.TemporaryDirectory() as folder:
        for place in range(songs):
            path = Path(folder) / "songs" / f"{place}.wav"
            path.parent.mkdir(exist_ok=True)
            audio.write(path, *excerpt.song(seconds))
        rows = {str(jobs): _time(jobs, Path(folder), query) for jobs in (1, 2)}
    return {"songs": songs, "seconds": seconds, "rows": rows}


def _time(jobs: int, folder: Path, query: Path) -> dict[str, float]:
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "fewshot_sep", "separate", folder / "songs", "--query", query]
    subprocess.run(
        [*command, "-o", folder / f"out{jobs}", "--jobs", str(jobs), "--device", "cpu"],
        check=True,
        capture_output=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"clock": time.perf_counter() - began, "cpu": cpu}


def blocks(part: dict[str, Any]) -> list[Block]:
    """The section of the report."""
    songs, rows = part["songs"], part["rows"]
    lines = [
        [jobs, *(number(value, 1) for value in (row["clock"], row["cpu"], *_per_hour(songs, int(jobs), row)))]
        for jobs, row in rows.items()
    ]
    columns = ["`--jobs`", "clock (s)", "CPU (s)", "songs/h", "songs/h per core", "songs per CPU hour"]
    cpu_per_second = rows["2"]["cpu"] / songs / part["seconds"]
    hours = PROJECTED_SONGS * SONG_SECONDS * cpu_per_second / PROJECTED_CORES / 3600
    return [
        Heading("Many songs"),
        Text(
            f"{songs} songs of {part['seconds']:.0f} s, `--grid auto`, a thread for each job, "
            f"{part['cores']} cores ({part['system']}), one run, start included."
        ),
        Table(columns, lines),
        Text(
            f"On paper: {PROJECTED_SONGS:,} songs of {SONG_SECONDS / 60:.0f} minutes on {PROJECTED_CORES} such cores "
            f"take {number(hours, 1)} hours, if CPU time grows with the songs' length, cores do not slow each other "
            "down and the store keeps up; starting the workers is counted as often as here."
        ),
    ]


def _per_hour(songs: int, jobs: int, row: dict[str, float]) -> tuple[float, float, float]:
    each_hour = 3600 * songs / row["clock"]
    return each_hour, each_hour / jobs, 3600 * songs / row["cpu"]
