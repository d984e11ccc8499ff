from __future__ import annotations

import subprocess
import sys
import time

from fewshot_sep.experiments.kit import cost


def test_waiting_takes_time_and_no_work() -> None:
    wall, cpu = cost.clock(lambda: time.sleep(0.2))
    assert wall >= 0.2 and cpu < 0.1


def test_work_and_memory_of_a_child_count() -> None:
    code = "x = bytearray(300 << 20); sum(range(5_000_000))"
    _, cpu = cost.clock(lambda: subprocess.run([sys.executable, "-c", code], check=True))
    peak = cost.peak_mib(own=False)
    assert cpu > 0.05 and (peak is None or peak > 300)
    assert (cost.peak_mib() or 0) >= (peak or 0)
