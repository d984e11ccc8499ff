"""What work costs: time by the clock and of all cores, the most memory held."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path


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
