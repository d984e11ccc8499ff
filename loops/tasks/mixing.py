"""Makes training tasks of a pool, batched on the training device: mixture, queries, target.

A task is a few sources summed, one of them the target, and clips of the target's instrument playing something else.
What is in it is drawn by `fewshot_sep.loops.tasks.plan`; here numbers become sound.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from torch import Tensor

from fewshot_sep.loops.tasks import live
from fewshot_sep.loops.tasks.augment import equalisers, low_passed, rooms, widened
from fewshot_sep.loops.tasks.options import USUAL, MixingOptions
from fewshot_sep.loops.tasks.plan import EQUALISERS, ROOMS, Excerpts, Invention, Plan, Planner
from fewshot_sep.loops.tasks.pool import AudioPool


class Tasks(NamedTuple):
    """A batch of tasks.

    Shape:
        mixture, target: `(batch, channels, samples)`; the target is silent where the queried instrument is absent.
        queries: `(batch, 1, samples)`, mono.
    """

    mixture: Tensor
    queries: Tensor
    target: Tensor


class TasksWithSources(NamedTuple):
    """Tasks and what their mixtures are made of, by name.

    Shape:
        sources: `(batch, sources, channels, samples)`, in the mixture's state (level, band limit); they sum to it. The
            target comes first unless its instrument is absent, or all sources but the first are the target
            (`MixingOptions.all_but_one`); silence fills up where a mixture has fewer sources.
        instruments: for each task the name of each source.
        queried: for each task the instrument of the target, the first of several; of the queries where it is absent.
    """

    tasks: Tasks
    sources: Tensor
    instruments: list[list[str]]
    queried: list[str]


class TaskMixer:
    """An endless stream of batches; batch number `i` depends on seed and `i` alone, so that training can resume.

    Args:
        pool: the sound.
        batch: tasks per batch.
        samples: length of mixture and queries.
        channels: 1 or 2; with 2 the sources are panned.
        options: how to draw.
        seed: the same seed gives the same tasks.
        first: number of the first batch.
    """

    def __init__(
        self,
        pool: AudioPool,
        batch: int,
        samples: int,
        channels: int,
        options: MixingOptions = USUAL,
        seed: int = 0,
        first: int = 0,
    ) -> None:
        self.pool, self.first, self._samples = pool, first, samples
        self._planner = Planner(pool, batch, samples, channels, options, seed)
        self._fft_size = size = next_fast_len(samples, real=True)
        numbers = EQUALISERS if options.equalise else 0, ROOMS if options.room else 0
        self._equalisers = equalisers(numbers[0], size, pool.sample_rate, seed).to(pool.device)
        self._rooms = rooms(numbers[1], size, pool.sample_rate, seed).to(pool.device)

    def __iter__(self) -> Iterator[Tasks]:
        return map(self.draw, count(self.first))

    def draw(self, index: int) -> Tasks:
        """Batch number `index`."""
        return self._mix(self._planner.plan(index), with_sources=False)[0]

    def draw_with_sources(self, index: int) -> TasksWithSources:
        """Batch number `index` with its sources, whose names are the library's: not for the option `live`."""
        plan = self._planner.plan(index)
        tasks, sources = self._mix(plan, with_sources=True)
        name = [row.instrument for row in self.pool.rows]
        instruments = [[name[row] for row in task.sources] for task in plan.tasks]
        return TasksWithSources(tasks, sources, instruments, [name[task.queried] for task in plan.tasks])

    def _mix(self, plan: Plan, with_sources: bool) -> tuple[Tasks, Tensor]:
        """Tasks and their sources, none of them unless `with_sources`."""
        device, batch = self.pool.device, len(plan.tasks)
        sound, clip_sound = self._read(plan.sources), self._read(plan.clips)
        if plan.invention:
            self._play(plan.invention, sound, clip_sound)
        stereo = self._place(self._colour(sound, plan.sources), plan.pan, plan.delay)

        most = max(len(task.sources) for task in plan.tasks)
        sources = torch.zeros(batch, most, *stereo.shape[1:], device=device)
        sources[self._index(plan.task), self._index(plan.place)] = stereo
        in_target = torch.tensor([[k in task.target for k in range(most)] for task in plan.tasks], device=device)
        target = (sources * in_target.float()[:, :, None, None]).sum(1)
        waves = torch.stack([sources.sum(1), target, *(sources.unbind(1) if with_sources else ())])

        queries = torch.zeros(batch, self._samples, device=device)
        queries.index_add_(0, self._index(plan.query), self._colour(clip_sound, plan.clips))
        queries = self._limit_band(queries[None, :, None], plan.query_limit_hz)[0]
        waves = self._limit_band(waves, plan.mixture_limit_hz)
        peak = waves[0].abs().amax(dim=(1, 2), keepdim=True).clamp(min=1e-4)
        mixture, target, *parts = waves * (torch.as_tensor(plan.peak, device=device).float()[:, None, None] / peak)
        return Tasks(mixture, queries, target), torch.stack(parts, 1) if parts else sources[:, :0]

    def _index(self, numbers: NDArray[np.int64]) -> Tensor:
        return torch.as_tensor(numbers, device=self.pool.device)

    def _read(self, excerpts: Excerpts) -> Tensor:
        """`(excerpts, samples)`."""
        read = zip(excerpts.row, excerpts.start, excerpts.ratio, excerpts.gain, strict=True)
        return torch.stack(
            [self.pool.piece(row, start, ratio, self._samples) * float(gain) for row, start, ratio, gain in read]
        )

    def _play(self, invention: Invention, sources: Tensor, clips: Tensor) -> None:
        """Let invented instruments take the place of sources and clips, `(any, samples)`, which are changed."""
        rate, device = self.pool.sample_rate, self.pool.device
        for sounds, performance in ((sources, invention.targets), (clips, invention.queries)):
            played = live.play(invention.patches, performance.parts, self._samples, rate, performance.seed, device)
            for wave, gain, replaced in zip(played, performance.gain, performance.replaces, strict=True):
                if replaced is not None:
                    sounds[replaced] = wave * float(gain)

    def _colour(self, sound: Tensor, excerpts: Excerpts) -> Tensor:
        """Equaliser and room: `(n, samples)` -> the same, in place."""
        for index, (equaliser, room) in enumerate(zip(excerpts.equaliser, excerpts.room, strict=True)):
            if equaliser < 0 and room < 0:
                continue
            spectrum = torch.fft.rfft(sound[index], self._fft_size)
            if equaliser >= 0:
                spectrum *= self._equalisers[equaliser]
            if room >= 0:
                spectrum *= self._rooms[room]
            sound[index] = torch.fft.irfft(spectrum, self._fft_size)[: self._samples]
        return sound

    def _place(self, sound: Tensor, pan: NDArray[np.float64], delay: NDArray[np.int64]) -> Tensor:
        """The place in the stereo image: `(n, samples)` -> `(n, channels, samples)`."""
        placed = sound[:, None] * torch.as_tensor(pan, device=sound.device).float()[:, :, None]
        for index in np.flatnonzero(delay):
            placed[index] = widened(placed[index], int(delay[index]))
        return placed

    def _limit_band(self, waves: Tensor, limits: NDArray[np.float64]) -> Tensor:
        """Cut tasks off where their band ends; waves `(any, batch, ..., samples)`."""
        limited = np.flatnonzero(np.isfinite(limits))
        waves = waves.clone() if len(limited) else waves
        for task in limited:
            waves[:, task] = low_passed(waves[:, task], float(limits[task]), self.pool.sample_rate, self._fft_size)
        return waves
