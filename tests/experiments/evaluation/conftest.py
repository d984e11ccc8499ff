from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from fewshot_sep.experiments.evaluation import measure


class Here:
    """A pool of one process, without the process."""

    def __init__(self, *given: Any) -> None:
        measure.worker_of.cache_clear()

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(work(*arguments))
        return future

    def shutdown(self, cancel_futures: bool) -> None:
        measure.worker_of.cache_clear()


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "ProcessPoolExecutor", Here)
