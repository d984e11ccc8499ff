"""Spreads independent jobs over processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from fewshot_sep.errors import FewshotSepError

Job = TypeVar("Job")
Answer = TypeVar("Answer")


class WorkerDied(FewshotSepError):
    """A worker process ended before its answer came: killed, or out of memory."""

    exit_code = 1


def spread(
    work: Callable[[Job], Answer], jobs: Sequence[Job], workers: int | None = None
) -> Generator[Answer, None, None]:
    """Answers as they come, from as many processes (all cores if None); from this process if one is enough.

    Left early (`close`, Ctrl-C), it waits for the jobs in hand, not for the others. `work` and the jobs are pickled.

    Raises:
        WorkerDied: a process was killed.
    """
    count = min(workers or os.cpu_count() or 1, len(jobs))
    if count <= 1:
        yield from map(work, jobs)
        return
    # Not forked: a fork inherits locks that threads of this process (OpenMP, loggers) hold just then, for ever.
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _leave_interrupts)
    try:
        for future in as_completed([pool.submit(work, job) for job in jobs]):
            yield future.result()
    except BrokenProcessPool as error:
        raise WorkerDied("a worker process was killed (out of memory?); run again with fewer --workers") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_interrupts() -> None:
    """In a worker: Ctrl-C is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
