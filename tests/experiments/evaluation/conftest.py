from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from fewshot_sep.experiments.evaluation import measure
from fewshot_sep.experiments.evaluation.items import Item


class Here:
    """A pool of one process, without the process."""

    def __init__(self, count: int, context: Any, start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        measure._worker = measure.Worker(*arguments)

    def submit(self, work: Callable[[Item], Any], item: Item) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(work(item))
        return future

    def shutdown(self, cancel_futures: bool) -> None:
        measure._worker = None


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "ProcessPoolExecutor", Here)
