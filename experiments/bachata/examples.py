"""Test mixtures of clips that training never used, every stem known, and queries for every instrument."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewshot_sep.experiments.bachata.settings import INSTRUMENTS
from fewshot_sep.loops.tasks.augment import levels
from fewshot_sep.loops.tasks.options import PLAIN
from fewshot_sep.loops.tasks.pool import AudioPool
from fewshot_sep.systems import ImageSystem

Array = NDArray[np.float32]

PEAK = 0.5
TEST_SEED = 7_000_000  # training never draws with it


class Example(NamedTuple):
    """One mixture of all instruments.

    stem_rows, query_rows: of the pool, one for each instrument.
    Shape: stems and queries `(instruments, samples)`; the mixture, which is the stems' sum, has a peak of 0.5.
    """

    stem_rows: tuple[int, ...]
    query_rows: tuple[int, ...]
    stems: Array
    queries: Array

    @property
    def mixture(self) -> Array:
        return self.stems.sum(0)


def draw(pool: AudioPool, count: int, samples: int) -> list[Example]:
    """`count` examples, the same for the same pool; every query is another clip than the stem it asks for."""
    drawn = []
    for index in range(count):
        random = np.random.default_rng((TEST_SEED, index))
        rows = [int(random.choice(pool.by_instrument[name])) for name in INSTRUMENTS]
        query_rows = [
            int(random.choice([other for other in pool.by_instrument[name] if other != row]))
            for name, row in zip(INSTRUMENTS, rows, strict=True)
        ]
        gains = levels(random, len(rows), PLAIN.gain_db) / [pool.loudness[row] for row in rows]
        stems = np.stack([clip(pool, row, samples) * gain for row, gain in zip(rows, gains, strict=True)])
        stems = (stems * PEAK / np.abs(stems.sum(0)).max()).astype(np.float32)
        queries = np.stack([clip(pool, row, samples) for row in query_rows])
        drawn.append(Example(tuple(rows), tuple(query_rows), stems, queries))
    return drawn


def clip(pool: AudioPool, row: int, samples: int) -> Array:
    """A row's sound, as it lies in the library."""
    sound = torch.empty(1, samples, device=pool.device)
    pool.read(np.array([row]), np.zeros(1, np.int64), np.ones(1), sound)
    return np.asarray(sound[0].cpu().numpy() / 32767, np.float32)


def tensor(system: ImageSystem, samples: Array) -> Tensor:
    """An array where the system is."""
    return torch.from_numpy(samples).to(system.device)


@torch.inference_mode()
def separate(system: ImageSystem, mixture: Array, queries: Array) -> Array:
    """The waveform predicted for each query: mixture `(samples,)`, queries `(count, samples)` -> as the queries."""
    copies = tensor(system, mixture).expand(len(queries), 1, -1)
    return system(copies, system.condition(tensor(system, queries)[:, None]))[:, 0].cpu().numpy()
