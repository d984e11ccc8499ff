"""For all tests: what several workers share without care would break."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# librosa compiles on first use, into a cache that two processes must not fill at once: a half-written one crashes
# them. The workers inherit what the process that starts them sets, so each names its own.
if _worker := os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ["NUMBA_CACHE_DIR"] = str(Path(__file__).parents[1] / ".pytest_cache" / f"numba-{_worker}")

# The fast tier draws the same examples every time: it must not fail by chance. The slow tier looks for new ones.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("same" if config.option.markexpr == "not slow" else "explore")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--chromium", default=shutil.which("chromium"), help="The browser for the tests of the page.")
    parser.addoption("--screenshots", metavar="DIR", help="Where the tests of the page leave pictures of it.")


@pytest.fixture
def ray_cluster() -> Iterator[Any]:
    """A Ray cluster on this machine: a head that does no work, and two nodes of one core in `nodes`."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    small = {"object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **small})
    try:
        cluster.nodes = [cluster.add_node(num_cpus=1, **small) for _ in range(2)]
        cluster.wait_for_nodes(timeout=120)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()
