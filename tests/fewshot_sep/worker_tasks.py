"""Work for workers of other processes and machines: they import it by this name."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import NamedTuple

from fewshot_sep.errors import WeightsError


class Notes(NamedTuple):
    """Writes which tasks were begun and ended; some end their process at the first try, one always."""

    folder: Path
    deadly: tuple[int, ...] = ()
    cursed: tuple[int, ...] = ()
    seconds: float = 0.0

    def make(self) -> Notes:
        return self

    def __call__(self, task: int, losses: int) -> int:
        (self.folder / f"{task}.begun.{losses}.{os.getpid()}").touch()
        time.sleep(self.seconds)
        if task in self.cursed or (task in self.deadly and not losses):
            os.kill(os.getpid(), signal.SIGKILL)
        (self.folder / f"{task}.ended.{losses}").touch()
        return task * task


def refuse() -> Notes:
    raise WeightsError("no weights here")


def process(job: int) -> tuple[int, int]:
    return job, os.getpid()


def die(job: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return job


def leave_a_mark(path: Path) -> Path:
    path.touch()
    return path
