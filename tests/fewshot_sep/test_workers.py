"""Tasks on several workers: all are answered once, whoever dies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewshot_sep.errors import FewshotSepError, WeightsError
from fewshot_sep.workers import MAX_LOSSES, Actors, Event, Processes, WorkerDied, spread
from tests.fewshot_sep.worker_tasks import Notes, refuse


class Fakes:
    """Workers that answer in any order, and die as they are told."""

    def __init__(self, count: int, deaths: list[bool], order: Any) -> None:
        self.deaths, self.order, self.closed = deaths, order, False
        self.events = [Event(worker, "ready") for worker in range(count)]
        self.done: Counter[int] = Counter()

    def send(self, worker: int, task: int, losses: int) -> None:
        assert all(event.worker != worker for event in self.events), "one task at a time"
        if self.deaths and self.deaths.pop():
            self.events += [Event(worker, "lost")]
        else:
            self.done[task] += 1
            self.events.append(Event(worker, "answer", (task, losses)))

    def wait(self) -> Event:
        event = self.events.pop(self.order(len(self.events)))
        if event.kind == "lost":
            self.events.append(Event(event.worker, "ready"))
        return event

    def close(self) -> None:
        self.closed = True


@given(st.integers(1, 4), st.integers(0, 12), st.lists(st.booleans(), max_size=30), st.randoms(use_true_random=False))
def test_every_task_is_answered_once_whoever_dies(count: int, tasks: int, deaths: list[bool], random: Any) -> None:
    pool, taken = Fakes(count, deaths, random.randrange), []

    def lazily() -> Iterator[int]:
        for task in range(tasks):
            taken.append(task)
            yield task

    answers: dict[int, Any] = {}
    for task, answer in spread(pool, lazily()):
        assert task not in answers
        answers[task] = answer
        assert len(taken) <= len(answers) + count, "no task is taken before a worker is free"
    assert sorted(answers) == list(range(tasks)) and pool.closed
    for task, answer in answers.items():
        if isinstance(answer, WorkerDied):
            assert not pool.done[task]
        else:
            assert pool.done[task] == 1 and answer[0] == task and answer[1] < MAX_LOSSES


def test_leaving_early_ends_the_workers() -> None:
    pool = Fakes(2, [], lambda count: 0)
    answers = spread(pool, range(5))
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    assert pool.closed


@pytest.mark.slow
def test_processes_that_are_killed_lose_nothing(tmp_path: Path) -> None:
    notes = Notes(tmp_path, deadly=(1, 4), cursed=(2,))
    answers = dict(spread(Processes(notes.make, 2), range(6)))
    assert {task: answer for task, answer in answers.items() if task != 2} == {n: n * n for n in (0, 1, 3, 4, 5)}
    assert isinstance(answers[2], WorkerDied)
    ended = sorted(path.name for path in tmp_path.glob("*.ended.*"))
    assert ended == ["0.ended.0", "1.ended.1", "3.ended.0", "4.ended.1", "5.ended.0"], "nothing is done twice"
    assert len(list(tmp_path.glob("2.begun.*"))) == MAX_LOSSES


def test_what_a_worker_cannot_begin_with_is_raised_here() -> None:
    with pytest.raises(WeightsError, match="no weights here"):
        list(spread(Processes(refuse, 1), range(3)))


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_a_machine_that_dies_loses_nothing(ray_cluster: Any, tmp_path: Path) -> None:
    pool = Actors(Notes(tmp_path, seconds=1.0).make, ray_cluster.address, 2)
    answers: dict[int, Any] = {}
    for task, answer in spread(pool, range(10)):
        assert task not in answers
        answers[task] = answer
        if len(answers) == 3:
            ray_cluster.remove_node(ray_cluster.nodes[0], allow_graceful=False)
    assert answers == {n: n * n for n in range(10)}
    ended = sorted(int(path.name.split(".")[0]) for path in tmp_path.glob("*.ended.*"))
    assert ended == list(range(10)), "nothing is done twice"
    assert list(tmp_path.glob("*.begun.1.*")), "a task was on the machine that died"


def test_without_a_cluster_it_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with pytest.raises(FewshotSepError, match="no cluster there"):
        Actors(Notes(tmp_path).make, "127.0.0.1:1")
