"""Makes training tasks of a pool, batched on the training device: mixture, evidence, target.

A task is a few sources summed, one of them the target, and clips that tell of the target's instrument. What is in it is
drawn by `fewshot_sep.loops.tasks.plan`; here numbers become sound, all sounds of a batch at once. What is chosen is
chosen on the host, of numbers, so that nothing waits for the device.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from torch import Tensor

from fewshot_sep.evidence import Evidence
from fewshot_sep.loops.tasks.augment import equalisers, rooms
from fewshot_sep.loops.tasks.mastering import master
from fewshot_sep.loops.tasks.options import USUAL, MixingOptions
from fewshot_sep.loops.tasks.plan import EQUALISERS, ROOMS, Excerpts, Plan, Planner
from fewshot_sep.loops.tasks.pool import FULL_SCALE, AudioPool

MIN_PEAK = 1e-4


class Tasks(NamedTuple):
    """A batch of tasks.

    Shape:
        mixture, target: `(batch, channels, samples)`; the target is silent where the queried instrument is absent.
        evidence: clips of as many samples.
    """

    mixture: Tensor
    evidence: Evidence
    target: Tensor


class TasksWithSources(NamedTuple):
    """Tasks and what their mixtures are made of, by name.

    Shape:
        sources: `(batch, sources, channels, samples)`, in the mixture's state (level, band limit); they sum to it. The
            target comes first unless its instrument is absent, or all sources but the first are the target
            (`MixingOptions.all_but_one`); silence fills up where a mixture has fewer sources.
        instruments: for each task the name of each source.
        queried: for each task the instrument of the target, the first of several; of its clips where it is absent.
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
        samples: length of mixture and clips.
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
        # The last of each leaves a sound as it is.
        curves = F.pad(equalisers(numbers[0], size, pool.sample_rate, seed), (0, 0, 0, 1), value=1.0)
        responses = F.pad(rooms(numbers[1], size, pool.sample_rate, seed), (0, 0, 0, 1), value=1.0)
        self._equalisers, self._rooms = curves.to(torch.complex64).to(pool.device), responses.to(pool.device)

    def __iter__(self) -> Iterator[Tasks]:
        return map(self.draw, count(self.first))

    def plan(self, index: int) -> Plan:
        """Batch number `index`, as numbers."""
        return self._planner.plan(index)

    def draw(self, index: int) -> Tasks:
        """Batch number `index`."""
        return self._mix(self.plan(index), with_sources=False)[0]

    def draw_with_sources(self, index: int) -> TasksWithSources:
        """Batch number `index` with its sources, whose names are the library's."""
        plan = self.plan(index)
        tasks, sources = self._mix(plan, with_sources=True)
        name = [row.instrument for row in self.pool.rows]
        instruments = [[name[row] for row in task.sources] for task in plan.tasks]
        return TasksWithSources(tasks, sources, instruments, [name[task.queried] for task in plan.tasks])

    def _mix(self, plan: Plan, with_sources: bool) -> tuple[Tasks, Tensor]:
        """Tasks and their sources, none of them unless `with_sources`."""
        batch, channels, samples = len(plan.tasks), plan.pan.shape[1], self._samples
        sound, order = self._sounds(plan.sources.and_those(plan.pieces))
        sources, pieces = (sound[self._on_device(some)] for some in np.split(order, [len(plan.task)]))
        clips = self._clips(pieces, plan)

        # Channels of mixtures and targets are weighted sums of sources; late right channels are sums of delayed ones.
        weights = np.zeros((2, batch, channels, len(sources)), np.float32)
        gains, number = plan.sources.gain[:, None] * plan.pan / FULL_SCALE, np.arange(len(sources))
        weights[0, plan.task, :, number] = gains
        weights[1, plan.task, :, number] = gains * plan.targeted[:, None]
        late = np.flatnonzero(plan.delay)
        of_late = np.zeros((2, batch, channels, len(late)), np.float32)
        of_late[..., -1, :] = weights[..., -1, late]
        weights[..., -1, late] = 0
        delayed = self._delayed(sources[self._on_device(late)], plan.delay[late])
        waves = self._on_device(weights.reshape(-1, len(sources))) @ sources
        if len(late):
            waves.addmm_(self._on_device(of_late.reshape(-1, len(late))), delayed)
        waves = waves.view(2, batch, channels, samples)
        highest, lowest = waves[0].amax((1, 2), keepdim=True), waves[0].amin((1, 2), keepdim=True)
        peak = torch.maximum(highest, -lowest).clamp(min=MIN_PEAK)
        scale = self._on_device(plan.peak.astype(np.float32))[:, None, None] / peak
        mixture, target = waves.mul_(scale)

        several = np.array([task.of_several for task in plan.tasks])[plan.clips.task]
        prompts = (self._on_device(numbers) for numbers in (plan.clips.task, plan.clips.role, several))
        tasks = Tasks(mixture, Evidence(clips, *prompts), target)
        most = max(len(task.sources) for task in plan.tasks) if with_sources else 0
        apart = torch.zeros(batch, most, channels, samples, device=sound.device)
        if with_sources:
            placed = sources[:, None] * self._on_device(gains.astype(np.float32))[:, :, None]
            placed[self._on_device(late), -1] = delayed * self._on_device(gains[late, -1:].astype(np.float32))
            apart[self._on_device(plan.task), self._on_device(plan.place)] = placed
            apart *= scale[:, None]
        if len(plan.mastered):
            some = self._on_device(plan.mastered)
            sounds = mixture[some], target[some], *apart[some].unbind(1)
            mixture[some], target[some], *parts = master(plan.mastering, self.pool.sample_rate, *sounds)
            for place, part in enumerate(parts):
                apart[some, place] = part
        return tasks, apart

    def _on_device(self, numbers: NDArray[np.int64 | np.float32 | np.bool_]) -> Tensor:
        return torch.from_numpy(numbers).to(self.pool.device, non_blocking=True)

    def _sounds(self, excerpts: Excerpts) -> tuple[Tensor, NDArray[np.int64]]:
        """Excerpts with equaliser, room and end of band but without gain, and where in the result each one lies.

        They are ordered so that those that are read alike, filtered, and limited lie side by side.
        """
        limited = np.isfinite(excerpts.limit_hz)
        steps = limited * 1 + ((excerpts.equaliser >= 0) | (excerpts.room >= 0) | limited)
        kind = np.where(excerpts.ratio == 1, steps, 5 - steps)
        order = np.argsort(kind, kind="stable")
        excerpts, bounds = excerpts.at(order), np.searchsorted(kind[order], [1, 2, 4, 5])
        sound = torch.empty(len(order), self._samples, device=self.pool.device)
        self.pool.read(excerpts.row, excerpts.start, excerpts.ratio, sound)
        first, first_limited, last_limited, last = bounds.tolist()
        if first < last:
            limits = slice(first_limited - first, last_limited - first)
            sound[first:last] = self._filtered(sound[first:last], excerpts.at(slice(first, last)), limits)
        return sound, np.argsort(order)

    def _filtered(self, sound: Tensor, excerpts: Excerpts, limited: slice) -> Tensor:
        """With equaliser, room and end of band: `(n, samples)`. What rings on at the end wraps around."""
        spectrum = torch.fft.rfft(sound, self._fft_size)
        for filters, chosen in ((self._equalisers, excerpts.equaliser), (self._rooms, excerpts.room)):
            spectrum.mul_(filters.index_select(0, self._on_device(chosen % len(filters))))
        bins = spectrum.shape[1]
        ends = np.minimum(excerpts.limit_hz[limited, None] / (self.pool.sample_rate / 2), 1) * bins
        above = torch.arange(bins, device=sound.device) >= self._on_device(ends.astype(np.int64))
        spectrum[limited].masked_fill_(above, 0)
        filtered: Tensor = torch.fft.irfft(spectrum, self._fft_size)
        return filtered[:, : self._samples]

    def _clips(self, pieces: Tensor, plan: Plan) -> Tensor:
        """`(prompts, clips, samples)`; pieces are silenced, in place, where they do not sound in their clip."""
        begin, end, fade = plan.clips.begin, plan.clips.end, plan.clips.fade
        if len(cut := np.flatnonzero((begin > 0) | (end < self._samples))):
            first, last, length = (
                self._on_device(numbers[cut, None].astype(np.float32)) for numbers in (begin, end, np.maximum(fade, 1))
            )
            # At the middle of a sample; what does not fade jumps from 0 to 1 between two of them.
            time = torch.arange(self._samples, device=pieces.device) + 0.5
            rise, fall = (((time - first) / length).clamp(0, 1), ((last - time) / length).clamp(0, 1))
            sharp = length == 1
            rise, fall = rise.where(~sharp, rise.ceil()), fall.where(~sharp, fall.ceil())
            pieces[self._on_device(cut)] *= rise.where(first > 0, 1) * fall.where(last < self._samples, 1)
        pieces *= self._on_device((plan.pieces.gain / FULL_SCALE).astype(np.float32))[:, None]
        clips = torch.zeros(len(plan.clips.gain), self._samples, device=pieces.device)
        clips.index_add_(0, self._on_device(plan.clips.clip), pieces)
        return clips.view(-1, plan.clips.each, self._samples)

    def _delayed(self, sound: Tensor, delay: NDArray[np.int64]) -> Tensor:
        """`(n, samples)`, each as many samples late, with silence before: a width that panning alone cannot give."""
        most = int(delay.max(initial=0))
        windows = F.pad(sound, (most, 0)).unfold(1, self._samples, 1)
        return windows[torch.arange(len(sound), device=sound.device), self._on_device(most - delay)]
