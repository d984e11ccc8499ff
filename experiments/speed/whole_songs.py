"""Time and memory of the whole command on a three-minute stereo song, into `report/`.

The song is the bundled excerpt, six times over; any other can be given. The figures are of a whole process: the wall
clock around it, its peak resident memory from the operating system, and the stages that its own report names.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from fewshot_sep import audio, plots
from fewshot_sep.experiments.demo.run import DATA

REPORT = Path(__file__).parent / "report"
REPEATS = 6
STAGES = ("tracking", "stretching", "network", "masking")


def measure(song: Path, query: Path, grid: str, folder: Path) -> dict[str, Any]:
    """Run `separate` once in a process of its own.

    Returns:
        Seconds per second of audio of each stage, of the command's total and of the process; peak memory in MiB; bars.
    """
    command = [sys.executable, "-c", "from fewshot_sep.cli import main; main()", "separate", str(song)]
    command += ["--query", str(query), "--grid", grid, "-o", str(folder / grid), "--name", "target"]
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - started
    report = json.loads((folder / grid / song.stem / "report.json").read_text(encoding="utf-8"))
    duration, seconds = report["duration (s)"], report["seconds"]
    stages = {name: seconds.get(name, 0.0) / duration for name in (*STAGES, "total")}
    # Linux counts in KiB, macOS in bytes; the largest child so far, so the calls go from small to large.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
    grid_found = {"grid": report["grid"]["kind"], "bars": report["grid"]["bars"]}
    return {**stages, "process": wall / duration, "peak_mib": peak, "audio_s": duration, **grid_found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--song", type=Path, help="instead of the bundled excerpt, repeated to three minutes")
    parser.add_argument("--query", type=Path, default=DATA / "query.ogg")
    parser.add_argument("--report", type=Path, default=REPORT, help="folder to write")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        song = arguments.song or _three_minutes(Path(folder) / "song.wav")
        rows = {grid: measure(song, arguments.query, grid, Path(folder)) for grid in ("none", "auto")}
    arguments.report.mkdir(parents=True, exist_ok=True)
    machine = {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()}
    (arguments.report / "metrics.json").write_text(json.dumps({"machine": machine, "rows": rows}, indent=2) + "\n")
    (arguments.report / "report.md").write_text(_markdown(rows, machine))
    _figure(rows, arguments.report / "stages.png")
    print(_markdown(rows, machine))


def _three_minutes(path: Path) -> Path:
    guitar, rate = audio.read(DATA / "guitar.ogg")
    backing, _ = audio.read(DATA / "backing.ogg")
    audio.write(path, np.tile(guitar + backing, REPEATS), rate)
    return path


def _markdown(rows: dict[str, dict[str, Any]], machine: dict[str, Any]) -> str:
    columns = (*STAGES, "total", "process")
    seconds = next(iter(rows.values()))["audio_s"]
    lines = [
        "# Speed and memory of `fewshot-sep separate`",
        "",
        f"{seconds:.0f} s of stereo at 44.1 kHz on {machine['cores']} cores ({machine['system']}), one run.",
        "Seconds per second of audio; `total` is the command's own figure, `process` includes its start-up.",
        "",
        f"| `--grid` | bars | {' | '.join(columns)} | peak memory (MiB) |",
        "|---|---|" + "---|" * (len(columns) + 1),
    ]
    for asked, row in rows.items():
        figures = " | ".join(f"{row[name]:.3f}" for name in columns)
        lines.append(f"| {asked} | {row['grid']} | {figures} | {row['peak_mib']:.0f} |")
    return "\n".join(
        [*lines, "", "![stages](stages.png)", "", "Made by `python -m fewshot_sep.experiments.speed.whole_songs`.", ""]
    )


def _figure(rows: dict[str, dict[str, Any]], path: Path) -> None:
    figure, axes = plots.new_figure(1, 1, 8, 2.4)
    panel, names = axes[0, 0], list(rows)
    left = np.zeros(len(names))
    for stage in STAGES:
        width = np.array([rows[name][stage] for name in names])
        panel.barh(names, width, left=left, label=stage)
        left += width
    panel.set(xlabel="seconds per second of audio", ylabel="--grid", title="where the time goes")
    panel.legend(ncols=len(STAGES), loc="upper center", bbox_to_anchor=(0.5, -0.3))
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
