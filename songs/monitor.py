"""What happens to a song: times, levels and warnings, gathered while its blocks go by."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fewshot_sep import levels
from fewshot_sep.beats import Beats
from fewshot_sep.prediction import Prediction, Samples
from fewshot_sep.songs.grid import BarGrid

T = TypeVar("T")
Array = NDArray[np.float32]

LEVELS_PER_S = 20
FLOOR_DB = -60.0
EXCERPT_SECONDS = 20.0
WINDOW_SECONDS = 2.95  # what a separator sees at once


class Monitor:
    """Gathers times, levels and warnings of one song while its blocks go by; keeps 60 numbers per second.

    Attributes:
        prediction: of the improvement, once all is done and if the weights have one.
    """

    def __init__(self, frames: int, sample_rate: int) -> None:
        self.frames, self.sample_rate = frames, sample_rate
        self.seconds: dict[str, float] = {}
        self.warnings: list[str] = []
        self.grid: BarGrid | None = None
        self.beats: Beats | None = None
        self.samples = Samples(frames, sample_rate, WINDOW_SECONDS)
        self.prediction: Prediction | None = None
        self.peak = 0.0  # largest magnitude in target or residual
        self._energy = np.zeros((3, -(-frames * LEVELS_PER_S // sample_rate)))  # mixture, target, residual
        self._position = 0

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to a stage."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    def timed(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """The items, the time that each takes to come added to a stage."""
        iterator = iter(items)
        while True:
            with self.stage(name):
                item = next(iterator, None)
            if item is None:
                return
            yield item

    def set_grid(self, grid: BarGrid) -> None:
        """Note the grid that is used, and a warning where another was wanted."""
        self.grid = grid
        if grid.reason:
            self.warnings.append(f"no bar grid was used: {grid.reason}")

    def add_block(self, target: Array, mixture: Array) -> None:
        """Note the levels of the next block, both `(channels, n)`."""
        if not target.shape[1]:
            return
        self.samples.add(target, mixture)
        index = self._level_at(self._position + np.arange(target.shape[1]))
        self._position += target.shape[1]
        for row, block in enumerate((mixture, target, mixture - target)):
            if row:
                self.peak = max(self.peak, float(np.abs(block).max()))
            power = np.square(block, dtype=np.float64).sum(axis=0)
            self._energy[row, index[0] : index[-1] + 1] += np.bincount(index - index[0], power)

    def energy_in(self, seconds: float) -> NDArray[np.float64]:
        """Of mixture, target and residual in each whole cell of so many seconds: `(3, cells)`."""
        each = round(seconds * LEVELS_PER_S)
        cells = self.frames * LEVELS_PER_S // self.sample_rate // each
        energy: NDArray[np.float64] = self._energy[:, : cells * each].reshape(3, cells, each).sum(axis=2)
        return energy

    def _level_at(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """The levels' frames that samples lie in; not all are equally long, so that no rate makes them drift."""
        return samples * LEVELS_PER_S // self.sample_rate

    @property
    def energies(self) -> NDArray[np.float64]:
        """Of mixture, target and residual, over all blocks so far, `(3,)`."""
        energies: NDArray[np.float64] = self._energy.sum(axis=1)
        return energies

    @property
    def level_db(self) -> float | None:
        """Level of the target re the mixture; None where one of them is silent."""
        mixture, target, _ = self.energies
        return float(10 * np.log10(target / mixture)) if mixture > 0 and target > 0 else None

    def loudest(self) -> int:
        """Sample around which most of the target was found, in passages of `EXCERPT_SECONDS`."""
        width = round(EXCERPT_SECONDS * LEVELS_PER_S)
        energy = np.convolve(self._energy[1], np.ones(min(width, len(self._energy[1]))), mode="same")
        return int(energy.argmax()) * self.sample_rate // LEVELS_PER_S

    def levels_db(self) -> NDArray[np.float64]:
        """Level of mixture, target and residual, frame by frame, re the mixture's loudest: `(3, frames)`."""
        loudest = self._energy[0].max(initial=0) or 1.0
        return 10 * np.log10(np.maximum(self._energy / loudest, 10 ** (FLOOR_DB / 10)))

    def boundaries(self) -> dict[str, float]:
        """How much the gain (target re mixture) jumps across boundaries, against everywhere else, in dB."""
        boundaries = self.grid.boundaries if self.grid else []
        found: dict[str, float] = {"count": len(boundaries)}
        mixture, target, _ = self._energy
        if not boundaries or len(mixture) < 4 or not mixture.any():
            return found
        audible = levels.active(mixture, -FLOOR_DB)
        gain = 10 * np.log10(np.maximum(target / np.where(audible, mixture, 1.0), 10 ** (FLOOR_DB / 10)))
        jumps = np.abs(gain[2:] - gain[:-2])  # jumps[k]: across frame k + 1
        usable = audible[2:] & audible[:-2]
        at_boundary = np.zeros(len(gain), dtype=bool)
        at_boundary[self._level_at(np.array(boundaries))] = True
        near = np.convolve(at_boundary, [1, 1, 1], mode="same") > 0
        for name, chosen in (("at boundaries", at_boundary[1:-1] & usable), ("elsewhere", ~near[1:-1] & usable)):
            if chosen.any():
                found[f"largest gain jump {name} (dB)"] = round(float(jumps[chosen].max()), 2)
                found[f"mean gain jump {name} (dB)"] = round(float(jumps[chosen].mean()), 2)
        return found
