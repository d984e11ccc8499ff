"""Tasks spread over workers that each hold something heavy: processes of this machine, or actors of a Ray cluster.

A worker is made once, by `make()`, and called with one task after another. It has one task at a time and no queue, so a
batch of any length needs no memory. Where a worker dies, with its process or with its machine, another is made and its
task goes to the next that is free; a task that was lost three times is given up.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import sys
from collections import Counter, deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from fewshot_sep import extras
from fewshot_sep.errors import FewshotSepError

TaskT = TypeVar("TaskT", bound=Hashable)
JobT = TypeVar("JobT")
AnswerT = TypeVar("AnswerT")

MAX_LOSSES = 3
AHEAD = 2
ACTOR_CORES = 2
"""Of a cluster for one actor without a GPU: more threads gain little on one song."""


class WorkerDied(FewshotSepError):
    """A worker ended, three times, before its answer came: killed, or out of memory."""

    exit_code = 1


Make = Callable[[], Callable[[Any, int], object]]
"""Pickled, and called in the worker, makes what answers a task, given how many workers have died with it before."""


class Event(NamedTuple):
    """What a worker says: an answer (its first, to no task, when it is made), what was raised; or that it is gone."""

    worker: int
    kind: Literal["answer", "error", "lost"]
    value: Any = None


class Pool(Protocol):
    """Workers by number. One that is lost is made anew, and says so.

    Attributes:
        size: how many.
        idle: which of them wait for a task, as `spread` notes it.
    """

    size: int
    idle: set[int]

    def send(self, worker: int, task: object, losses: int) -> None: ...
    def wait(self) -> Event: ...
    def close(self) -> None: ...


def spread(pool: Pool, tasks: Iterable[TaskT | None]) -> Generator[tuple[TaskT, Any], None, None]:
    """Tasks with their answers, as they come; a task is taken only when a worker is free.

    An answer is `WorkerDied` where the task was lost too often. None among the tasks: there is none just now. When all
    are answered, or this is left early, the pool may be given other tasks.

    Raises:
        Exception: what a worker raised when it was made or called.
    """
    fresh, again = iter(tasks), deque[TaskT]()
    losses: Counter[TaskT] = Counter()
    doing: dict[int, TaskT] = {}
    while True:
        while pool.idle and (task := again.popleft() if again else next(fresh, None)) is not None:
            worker = pool.idle.pop()
            doing[worker] = task
            pool.send(worker, task, losses[task])
        if pool.idle and not doing:
            return
        event = pool.wait()
        if event.kind == "error":
            raise event.value
        task = doing.pop(event.worker, None)  # none: it was just made, or had one of those that came before these
        if event.kind == "lost":
            pool.idle.discard(event.worker)
        else:
            pool.idle.add(event.worker)
        if task is None:
            continue
        if event.kind == "answer":
            yield task, event.value
        elif losses[task] + 1 < MAX_LOSSES:
            losses[task] += 1
            again.append(task)
        else:
            yield task, WorkerDied(f"{MAX_LOSSES} workers died with it (out of memory?)")


def in_order(pool: Pool, tasks: Iterable[TaskT]) -> Generator[Any, None, None]:
    """Answers as `spread` gives them, but in the order of the tasks.

    At most `AHEAD` tasks for each worker are begun before the first of them is answered and its answer taken.
    """
    begun, answered = deque[TaskT](), dict[TaskT, Any]()

    def ahead() -> Iterator[TaskT | None]:
        for task in tasks:
            while len(begun) >= AHEAD * pool.size:
                yield None
            begun.append(task)
            yield task

    for task, answer in spread(pool, ahead()):
        answered[task] = answer
        while begun and begun[0] in answered:
            yield answered.pop(begun[0])
            begun.popleft()


def answers_of(
    work: Callable[[JobT], AnswerT], jobs: Sequence[JobT], workers: int | None = None, cluster: str | None = None
) -> Generator[AnswerT, None, None]:
    """Answers as they come, from as many processes (all cores if None), or actors of a Ray cluster.

    They come from this process if one is enough. `work` and the jobs are pickled. Left early (`close`, Ctrl-C), the
    other jobs are not begun.

    Args:
        cluster: see `Actors`; all of its cores if `workers` is None.

    Raises:
        WorkerDied: three processes were killed with one job.
    """
    count = min(workers or os.cpu_count() or 1, len(jobs))
    if not jobs or (count == 1 and not cluster):
        yield from map(work, jobs)
        return
    make = partial(_by_number, work, jobs)
    pool: Pool = Actors(make, cluster, workers, gpus=False, cores=1) if cluster else Processes(make, count)
    with contextlib.closing(pool):
        for _, answer in spread(pool, range(len(jobs))):
            if isinstance(answer, WorkerDied):
                raise answer
            yield answer


def _by_number(work: Callable[[JobT], AnswerT], jobs: Sequence[JobT]) -> Callable[[int, int], AnswerT]:
    """Work that needs no state, on jobs by number."""

    def answer(number: int, losses: int) -> AnswerT:
        return work(jobs[number])

    return answer


class Processes:
    """So many processes of this machine. They end when this one does, and leave no half-written files then."""

    def __init__(self, make: Make, count: int) -> None:
        self.size, self.idle = count, set[int]()
        self._make = make
        # Not forked: a fork inherits locks that threads of this process hold just then, for ever.
        self._context = multiprocessing.get_context("spawn")
        self._threads = max(1, len(os.sched_getaffinity(0)) // count) if hasattr(os, "sched_getaffinity") else 1
        self._lines: dict[int, Connection] = {}
        self._processes: dict[int, Any] = {}
        self._unmade = 0
        for worker in range(count):
            self._start(worker)

    def _start(self, worker: int) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._make, self._threads), daemon=True)
        process.start()
        theirs.close()
        self._lines[worker], self._processes[worker] = ours, process

    def send(self, worker: int, task: object, losses: int) -> None:
        with contextlib.suppress(OSError):  # it died just now: `wait` will tell
            self._lines[worker].send((task, losses))

    def wait(self) -> Event:
        line = wait(list(self._lines.values()))[0]
        worker = next(worker for worker, own in self._lines.items() if own is line)
        try:
            event = Event(worker, *self._lines[worker].recv())
            self._unmade = 0
            return event
        except (EOFError, OSError):
            self._processes[worker].join()
            self._unmade += 1
            if self._unmade > MAX_LOSSES * len(self._lines):
                raise WorkerDied("workers die before they can do anything (out of memory?); try fewer") from None
            self._start(worker)
            return Event(worker, "lost")

    def close(self) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.join()


def _serve(line: Connection, make: Make, threads: int) -> None:
    """A worker's life."""
    signal.signal(signal.SIGTERM, _leave)
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        try:
            _set_threads(threads)
            work = make()
            line.send(("answer", None))
            while True:
                line.send(("answer", work(*line.recv())))
        except (EOFError, OSError, KeyboardInterrupt):
            raise
        except Exception as error:
            line.send(("error", error))


def _leave(number: int, frame: FrameType | None) -> None:
    """By an exception, so that what is half-written is removed on the way."""
    sys.exit(128 + number)


def _set_threads(threads: int) -> None:
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


class Actors:
    """Actors of a Ray cluster: one for each GPU, or for so many cores where there is none.

    Args:
        address: of the cluster, or `auto`: the one that this machine belongs to, or that RAY_ADDRESS names.
        count: of actors; None: as many as the cluster has room for now.
        gpus: whether actors are to have one each.
        cores: for an actor, where it has no GPU.

    Raises:
        EngineMissing: Ray is not installed.
        FewshotSepError: no cluster there.
    """

    def __init__(
        self,
        make: Make,
        address: str,
        count: int | None = None,
        *,
        gpus: bool = True,
        cores: int = ACTOR_CORES,
    ) -> None:
        extras.require("ray", "ray")
        import ray

        self._ray: Any = ray
        self._joined = not ray.is_initialized()
        if self._joined:
            try:
                _reach(address)
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
                # Else what befalls machines is told on standard output, among the names of results.
                self._ray._private.worker._worker_logs_enabled = False
            except (OSError, ValueError, RuntimeError) as error:
                raise FewshotSepError(f"--cluster {address}: no cluster there ({error}); ray start --head") from error
        each = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        having = [int(own["CPU"]) for own in each if own.get("CPU", 0) >= 1]
        size = min([cores, *having])  # an actor must fit into one machine
        with_gpu = int(sum(own.get("GPU", 0) for own in each)) if gpus else 0
        self.size = count or with_gpu or max(1, sum(own // size for own in having))
        self.idle = set[int]()
        self._actor = ray.remote(num_cpus=size, num_gpus=int(with_gpu > 0), max_restarts=0)(_Actor)
        self._make = ray.put(make)
        self._actors: dict[int, Any] = {}
        self._waiting: dict[Any, int] = {}
        for worker in range(self.size):
            self._start(worker)

    def _start(self, worker: int) -> None:
        # It says when it is made: an actor for which there is no room any more never gets a task.
        self._actors[worker] = self._actor.remote(self._make, str(Path.cwd()))
        self._waiting[self._actors[worker].ready.remote()] = worker

    def send(self, worker: int, task: object, losses: int) -> None:
        self._waiting[self._actors[worker].do.remote(task, losses)] = worker

    def wait(self) -> Event:
        (reference,), _ = self._ray.wait(list(self._waiting), num_returns=1)
        worker = self._waiting.pop(reference)
        try:
            return Event(worker, "answer", self._ray.get(reference))
        except self._ray.exceptions.RayTaskError as error:
            return Event(worker, "error", error.cause if isinstance(error.cause, Exception) else error)
        except (self._ray.exceptions.RayActorError, self._ray.exceptions.ObjectLostError):
            self._start(worker)
            return Event(worker, "lost")

    def close(self) -> None:
        for actor in self._actors.values():
            self._ray.kill(actor)
        if self._joined:
            self._ray.shutdown()


def _reach(address: str) -> None:
    """Raise OSError where nothing listens at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


class _Actor:
    """A worker in a cluster; names of files mean there what they mean here, if this folder is there."""

    def __init__(self, make: Make, folder: str) -> None:
        with contextlib.suppress(OSError):
            os.chdir(folder)
        self._work = make()

    def ready(self) -> None:
        """Answers when it is made."""

    def do(self, task: object, losses: int) -> object:
        return self._work(task, losses)
