"""The examples in docstrings are true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

ROOMS = ("fewshot_sep", "fewshot_sep.songs", "fewshot_sep.loops", "fewshot_sep.experiments")
MODULES = sorted(
    {
        module.name
        for room in ROOMS
        for module in pkgutil.walk_packages(importlib.import_module(room).__path__, room + ".")
        if not module.ispkg
    }
)


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith(".run")])
def test_examples_in_docstrings(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
