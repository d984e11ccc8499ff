from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from fewshot_sep.workers import WorkerDied, answers_of


def process(job: int) -> tuple[int, int]:
    return job, os.getpid()


def die(job: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return job


def leave_a_mark(path: Path) -> Path:
    path.touch()
    return path


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
