"""One thread that does the work, one job at a time, so that the page stays quick."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from fewshot_sep.errors import FewshotSepError


class Cancelled(BaseException):
    """Raised inside a job that is to end. No Exception, so that nothing on the way takes it for an error."""


@dataclass(eq=False)
class Job:
    """Something to do.

    Attributes:
        kind: what a user would call it; a new job takes the place of a waiting one of its kind.
        small: it does not wait for the end of one that is not, but is done in its next pause.
        after: called when the job has ended, or is thrown out before it began.
        error: what went wrong, for the user.
    """

    kind: str
    work: Callable[[Job], object]
    small: bool
    after: Callable[[], object]
    share: float = 0.0
    began: float = 0.0
    cancelled: bool = False
    error: str = ""

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
        self._at_work: list[Job] = []  # a small one beside that in whose pause it is done
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="separation", daemon=True)
        self._thread.start()

    @property
    def current(self) -> Job | None:
        """The job at work that is not small."""
        return next((job for job in list(self._at_work) if not job.small), None)

    def submit(
        self,
        kind: str,
        work: Callable[[Job], object],
        *,
        small: bool = False,
        after: Callable[[], object] = lambda: None,
    ) -> None:
        """Do something soon; see `Job`."""
        with self._wake:
            self._throw_out(lambda job: job.kind == kind)
            self._waiting.append(Job(kind, work, small, after))
            self._wake.notify_all()
        self._changed()

    def cancel(self, *kinds: str) -> None:
        """End the jobs of these kinds, waiting or at work; all without an argument."""
        with self._wake:
            self._throw_out(lambda job: not kinds or job.kind in kinds)
            for job in self._at_work:
                job.cancelled = job.cancelled or not kinds or job.kind in kinds
        self._changed()

    def _throw_out(self, unwanted: Callable[[Job], bool]) -> None:
        gone = [job for job in self._waiting if unwanted(job)]
        self._waiting = [job for job in self._waiting if job not in gone]
        for job in gone:
            job.after()

    def busy(self) -> bool:
        """Whether there is anything to do."""
        with self._wake:
            return bool(self._at_work or self._waiting)

    def pause(self) -> None:
        """Called often by jobs: here they end if they are cancelled, and small jobs are done meanwhile."""
        if threading.current_thread() is not self._thread:
            return
        if any(job.cancelled for job in self._at_work):
            raise Cancelled
        while not self._at_work[-1].small and (job := self._next(small=True)):
            self._do(job)

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

    def _next(self, *, small: bool) -> Job | None:
        """Begin the job that has waited longest; small ones come first, `small`: they alone."""
        with self._wake:
            ready = [job for job in self._waiting if job.small] or ([] if small else self._waiting)
            if not ready:
                return None
            job = ready[0]
            self._waiting.remove(job)
            self._at_work.append(job)
            job.began = time.monotonic()
            return job

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                job = self._next(small=False)
            if job:
                self._do(job)

    def _do(self, job: Job) -> None:
        try:
            self._changed()
            job.work(job)
        except Cancelled:
            if len(self._at_work) > 1 and not job.cancelled:
                raise  # the job that is in a pause was cancelled
        except FewshotSepError as error:
            job.error = " ".join(str(error).splitlines())
        except MemoryError:
            job.error = "out of memory"
        except Exception as error:
            traceback.print_exc()
            job.error = f"a bug, please report it: {type(error).__name__}: {error}"
        finally:
            job.after()
            if job.error:
                self._failed(job)
            self._at_work.pop()
            self._changed()
