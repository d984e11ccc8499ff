"""What work costs: time by the clock and of all cores, the most memory held."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fewshot_sep import files

STAGES = ("tracking", "stretching", "network", "masking")
"""Of a whole song, as its report times them."""


def clock(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and seconds of CPU of all threads and ended children, that a call takes."""
    started, worked = time.perf_counter(), _cpu_s()
    work()
    return time.perf_counter() - started, _cpu_s() - worked


def _cpu_s() -> float:
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


def peak_mib(own: bool = True) -> float | None:
    """The most memory that one ended child process or, with `own`, this one has held; None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1024 if sys.platform == "linux" else 1024**2
    peaks = [resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit]
    status = Path("/proc/self/status")
    if own and status.is_file():  # Linux's getrusage counts for a new process what its parent held
        peaks.append(next(int(line.split()[1]) / 1024 for line in status.open() if line.startswith("VmHWM")))
    elif own:
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)
    return max(peaks)


def of_command(song: Path, query: Path, grid: str, folder: Path) -> dict[str, Any]:
    """Run `fewshot-sep separate` once in a process of its own, writing into `folder / grid`.

    Returns:
        Seconds per second of audio of each stage, of the command's total and of the process; bars; the most memory of
        any child so far in MiB, so calls go from small to large.
    """
    command = [sys.executable, "-m", "fewshot_sep", "separate", str(song), "--query", str(query), "--grid", grid]
    command += ["-o", str(folder / grid), "--name", "target"]
    wall, _ = clock(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
    report = files.read_json(folder / grid / song.stem / "target.report.json")
    duration, seconds = report["duration (s)"], report["seconds"]
    stages = {name: seconds.get(name, 0.0) / duration for name in (*STAGES, "total")}
    bars = {"grid": report["grid"]["kind"], "bars": report["grid"]["bars"]}
    return {**stages, "process": wall / duration, "peak_mib": peak_mib(own=False), "audio_s": duration, **bars}
