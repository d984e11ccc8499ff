"""One thread that does the work, one job at a time, so that the page stays quick."""

from __future__ import annotations

import heapq
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from fewshot_sep.errors import FewshotSepError


class Cancelled(BaseException):
    """Raised inside a job that is to end. No Exception, so that nothing on the way takes it for an error."""


@dataclass(order=True)
class Job:
    """Something to do.

    Attributes:
        rank: smaller ones first; they do not wait for the end of a job of a larger one, but are done in its next pause.
        kind: what a user would call it; a new job takes the place of a waiting one of its kind.
        error: what went wrong, for the user.
    """

    rank: int
    number: int
    kind: str = field(compare=False)
    work: Callable[[Job], None] = field(compare=False)
    share: float = field(default=0.0, compare=False)
    began: float = field(default=0.0, compare=False)
    cancelled: bool = field(default=False, compare=False)
    error: str = field(default="", compare=False)

    def seconds_left(self) -> float | None:
        """From what is done and how long that took; None where it is too early to say."""
        spent = time.monotonic() - self.began
        return spent * (1 - self.share) / self.share if self.share > 0.02 and spent > 1 else None


class Worker:
    """Does jobs in a thread of its own.

    Args:
        changed: called, from that thread, when a job begins, ends or gets on.
        failed: called, from that thread, with a job that ended with an error.
    """

    def __init__(self, changed: Callable[[], None], failed: Callable[[Job], None]) -> None:
        self._changed, self._failed = changed, failed
        self._waiting: list[Job] = []
        self._stack: list[Job] = []  # at work; all but the last are in a pause
        self._wake = threading.Condition()
        self._number, self._closed = 0, False
        self._thread = threading.Thread(target=self._run, name="separation", daemon=True)
        self._thread.start()

    @property
    def current(self) -> Job | None:
        """The job at work; of several, the last one that is not small."""
        stack = list(self._stack)
        return next((job for job in reversed(stack) if job.rank), None)

    def submit(self, kind: str, rank: int, work: Callable[[Job], None]) -> Job:
        """Do something soon."""
        with self._wake:
            self._number += 1
            job = Job(rank, self._number, kind, work)
            self._waiting = [other for other in self._waiting if other.kind != kind] + [job]
            heapq.heapify(self._waiting)
            self._wake.notify_all()
        self._changed()
        return job

    def cancel(self, *kinds: str) -> None:
        """End the jobs of these kinds, waiting or at work; all without an argument."""
        with self._wake:
            self._waiting = [job for job in self._waiting if kinds and job.kind not in kinds]
            heapq.heapify(self._waiting)
            for job in self._stack:
                job.cancelled = job.cancelled or not kinds or job.kind in kinds
        self._changed()

    def busy(self) -> bool:
        """Whether there is anything to do."""
        with self._wake:
            return bool(self._stack or self._waiting)

    def pause(self) -> None:
        """Called often by jobs: here they end if they are cancelled, and small jobs are done meanwhile."""
        if threading.current_thread() is not self._thread:
            return
        job = self._stack[-1]
        if any(other.cancelled for other in self._stack):
            raise Cancelled
        while urgent := self._next(rank=job.rank - 1):
            self._do(urgent)

    def progress(self, job: Job) -> Callable[[float], None]:
        """What a job calls with the share that is done."""

        def report(share: float) -> None:
            job.share = share
            self.pause()
            self._changed()

        return report

    def close(self) -> None:
        """End all jobs and the thread."""
        self.cancel()
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        self._thread.join(timeout=5)

    def _next(self, rank: int) -> Job | None:
        with self._wake:
            ready = self._waiting and self._waiting[0].rank <= rank
            return self._begun(heapq.heappop(self._waiting)) if ready else None

    def _begun(self, job: Job) -> Job:
        job.began = time.monotonic()
        self._stack.append(job)
        return job

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                job = self._begun(heapq.heappop(self._waiting))
            self._do(job)

    def _do(self, job: Job) -> None:
        try:
            self._changed()
            job.work(job)
        except Cancelled:
            if len(self._stack) > 1 and not job.cancelled:
                raise  # the job that is in a pause was cancelled
        except FewshotSepError as error:
            job.error = " ".join(str(error).splitlines())
        except MemoryError:
            job.error = "out of memory"
        except Exception as error:
            traceback.print_exc()
            job.error = f"a bug, please report it: {type(error).__name__}: {error}"
        finally:
            self._stack.pop()
            if job.error:
                self._failed(job)
            self._changed()
