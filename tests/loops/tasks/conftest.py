from __future__ import annotations

import pytest

from fewshot_sep.loops.library import Library
from fewshot_sep.loops.tasks.pool import AudioPool
from tests.loops.tasks.tones import RATE, make_library


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return make_library(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="session")
def pool(tones: Library) -> AudioPool:
    return AudioPool(tones, "train", RATE)


@pytest.fixture(scope="session")
def melodic(pool: AudioPool) -> AudioPool:
    """Any two of its instruments go together."""
    return pool.only(lambda row: row.family != "drums")
