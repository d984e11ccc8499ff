"""How fast `fewshot-sep separate` is, with and without bars, and how much memory a long song takes."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from fewshot_sep import audio, files
from fewshot_sep.experiments.kit import cost, document
from fewshot_sep.experiments.kit.document import Block, Table, Text
from fewshot_sep.experiments.kit.tables import number

DATA = Path(__file__).parents[1] / "demo" / "data"
SECONDS = 180.0
STAGES = ("tracking", "stretching", "network", "masking")
COLUMNS = (*STAGES, "total", "process")


def speed(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the report.")] = Path("out/speed"),
    hours: Annotated[float, typer.Option(min=0, help="Length of a long song; 0 leaves it out.")] = 0.0,
) -> None:
    """Time the whole command on three minutes, and on some hours, of the bundled excerpt.

    Example:
      python -m fewshot_sep.experiments.speed.run --hours 3
    """
    plans = [("none", SECONDS), ("auto", SECONDS)] + [("auto", 3600 * hours)] * bool(hours)
    rows = []
    for grid, seconds in plans:  # the short ones first: the peak of memory is of all children so far
        with tempfile.TemporaryDirectory() as folder:
            song = Path(folder) / "song.flac"
            repeat(song, seconds)
            rows.append(measure(song, grid, Path(folder)))
    typer.echo(document.write(output, "Speed on a CPU", blocks(rows), {"rows": rows}))


def repeat(song: Path, seconds: float) -> None:
    """Write the bundled excerpt, 30 s of "War of freedom" by Sectoid, repeated or cut to a length."""
    guitar, rate = audio.read(DATA / "guitar.ogg")
    backing, _ = audio.read(DATA / "backing.ogg")
    mixture, frames = guitar + backing, round(seconds * rate)
    with audio.AudioWriter(song, rate, 2, frames) as writer:
        for start in range(0, frames, mixture.shape[1]):
            writer.write(mixture[:, : frames - start].clip(-1, 1))


def separate(songs: Path, out: Path | str, *options: str) -> tuple[float, float]:
    """Run the command in a process of its own; seconds by the clock and of CPU, see `cost.clock`."""
    command = [sys.executable, "-m", "fewshot_sep", "separate", str(songs), "-o", str(out)]
    command += ["--query", str(DATA / "query.ogg"), *options]
    return cost.clock(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))


def measure(song: Path, grid: str, folder: Path) -> dict[str, Any]:
    """Run the command once, writing into `folder`.

    Returns:
        Seconds per second of audio of each stage, of the command's total and of the process; bars; the most memory of
        any child so far in MiB.
    """
    wall, _ = separate(song, folder, "--grid", grid, "--name", "target")
    report = files.read_json(folder / song.stem / "target.report.json")
    duration, seconds = report["duration (s)"], report["seconds"]
    stages = {name: seconds.get(name, 0.0) / duration for name in (*STAGES, "total")}
    bars = {"grid": report["grid"]["kind"], "bars": report["grid"]["bars"]}
    return {**stages, "process": wall / duration, "peak_mib": cost.peak_mib(own=False), "audio_s": duration, **bars}


def blocks(rows: list[dict[str, Any]]) -> list[Block]:
    """The report."""
    lines = [
        [
            *(f"{row['audio_s']:.0f}", f"{row['grid']}: {row['bars']}"),
            *(number(row[name], 3) for name in COLUMNS),
            number(row["peak_mib"], 0),
        ]
        for row in rows
    ]
    return [
        Text(
            f"`fewshot-sep separate` on stereo at 44.1 kHz, {os.cpu_count()} cores ({platform.platform()}), one run. "
            "Seconds per second of audio; `total` is the command's own figure, `process` includes its start-up. Peak "
            "memory: the greatest of this row and those above it."
        ),
        Table(["seconds", "bars", *COLUMNS, "peak memory (MiB)"], lines),
    ]


if __name__ == "__main__":
    from fewshot_sep.cli import run

    run(speed)
