"""Tasks on several workers: all are answered once, whoever dies."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewshot_sep.errors import FewshotSepError, WeightsError
from fewshot_sep.workers import AHEAD, MAX_LOSSES, Actors, Event, Processes, WorkerDied, answers_of, in_order, spread
from tests.fewshot_sep.worker_tasks import Notes, die, leave_a_mark, process, refuse


class Fakes:
    """Workers that answer in any order, and die as they are told."""

    def __init__(self, count: int, deaths: list[bool], order: Any) -> None:
        self.deaths, self.order, self.size, self.idle = deaths, order, count, set[int]()
        self.events = [Event(worker, "answer") for worker in range(count)]
        self.done: Counter[int] = Counter()

    def send(self, worker: int, task: Any, losses: int) -> None:
        assert all(event.worker != worker for event in self.events), "one task at a time"
        if self.deaths and self.deaths.pop():
            self.events += [Event(worker, "lost")]
        else:
            self.done[task] += 1
            self.events.append(Event(worker, "answer", (task, losses)))

    def wait(self) -> Event:
        event = self.events.pop(self.order(len(self.events)))
        if event.kind == "lost":
            self.events.append(Event(event.worker, "answer"))
        return event

    def close(self) -> None:
        pass


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
    assert sorted(answers) == list(range(tasks))
    for task, answer in answers.items():
        if isinstance(answer, WorkerDied):
            assert not pool.done[task]
        else:
            assert pool.done[task] == 1 and answer[0] == task and answer[1] < MAX_LOSSES


@given(st.integers(1, 4), st.integers(0, 20), st.lists(st.booleans(), max_size=9), st.randoms(use_true_random=False))
def test_answers_come_in_order_and_few_tasks_are_begun_ahead(
    count: int, tasks: int, deaths: list[bool], random: Any
) -> None:
    pool, taken = Fakes(count, deaths, random.randrange), list[int]()
    for place, answer in enumerate(in_order(pool, (taken.append(task) or task for task in range(tasks)))):  # type: ignore[func-returns-value]
        assert isinstance(answer, WorkerDied) or answer[0] == place
        assert len(taken) <= place + AHEAD * count + 1
    assert taken == list(range(tasks))


@given(st.integers(1, 4), st.lists(st.booleans(), max_size=9), st.randoms(use_true_random=False))
def test_after_leaving_early_no_answer_is_taken_for_that_of_a_later_task(
    count: int, deaths: list[bool], random: Any
) -> None:
    pool = Fakes(count, deaths, random.randrange)
    first = spread(pool, range(20))
    next(first)
    first.close()
    later = dict(spread(pool, range(100, 108)))
    assert sorted(later) == list(range(100, 108))
    assert all(isinstance(answer, WorkerDied) or answer[0] == task for task, answer in later.items())


@pytest.mark.slow
def test_processes_that_are_killed_lose_nothing(tmp_path: Path) -> None:
    notes = Notes(tmp_path, deadly=(1, 4), cursed=(2,))
    with contextlib.closing(Processes(notes.make, 2)) as pool:
        answers = dict(spread(pool, range(6)))
    assert {task: answer for task, answer in answers.items() if task != 2} == {n: n * n for n in (0, 1, 3, 4, 5)}
    assert isinstance(answers[2], WorkerDied)
    ended = sorted(path.name for path in tmp_path.glob("*.ended.*"))
    assert ended == ["0.ended.0", "1.ended.1", "3.ended.0", "4.ended.1", "5.ended.0"], "nothing is done twice"
    assert len(list(tmp_path.glob("2.begun.*"))) == MAX_LOSSES


def test_what_a_worker_cannot_begin_with_is_raised_here() -> None:
    with contextlib.closing(Processes(refuse, 1)) as pool, pytest.raises(WeightsError, match="no weights here"):
        list(spread(pool, range(3)))


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_a_machine_that_dies_loses_nothing(ray_cluster: Any, tmp_path: Path) -> None:
    pool = Actors(Notes(tmp_path, seconds=1.0).make, ray_cluster.address, 2)
    answers: dict[int, Any] = {}
    with contextlib.closing(pool):
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


# --- answers of plain functions


def test_one_worker_is_this_process() -> None:
    assert list(answers_of(process, [3, 1, 2], 1)) == [(3, os.getpid()), (1, os.getpid()), (2, os.getpid())]
    assert list(answers_of(process, [], 4)) == []


def test_every_job_is_answered_once_by_other_processes() -> None:
    answers = list(answers_of(process, list(range(9)), 2))
    assert sorted(job for job, _ in answers) == list(range(9))
    assert os.getpid() not in {worker for _, worker in answers}


def test_a_killed_worker_is_one_line_and_no_hang() -> None:
    with pytest.raises(WorkerDied, match="3 workers died"):
        list(answers_of(die, [1, 2, 3], 2))


def test_left_early_the_other_jobs_are_not_begun(tmp_path: Path) -> None:
    answers = answers_of(leave_a_mark, [tmp_path / str(number) for number in range(200)], 2)
    next(answers)
    answers.close()
    assert 1 <= len(list(tmp_path.iterdir())) < 200
