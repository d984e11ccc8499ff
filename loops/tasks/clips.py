"""What the clips of each task are made of, as numbers: the evidence, by role, that a task is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fewshot_sep.loops.tasks.options import EvidenceOptions, Roles

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

FADE_S = 0.01
"""Half of the sounds that begin or end within a clip fade in or out, the others are cut."""


class TaskRows(NamedTuple):
    """One task as numbers of rows.

    Attributes:
        sources: what sounds; the target comes first unless it is absent.
        target: places in `sources` that sum to the target.
        query: None where another passage of the target's own rows is its clip alone.
        coherent: the sources are of one song, and start together.
        roles: which evidence is given.
    """

    sources: list[int]
    target: range
    query: int | None
    coherent: bool
    roles: Roles

    @property
    def queried(self) -> int:
        """A row of the instrument that is asked for: of the target, of the query where that is absent."""
        return self.query if self.query is not None and not self.target else self.sources[self.target[0]]

    @property
    def of_several(self) -> bool:
        """Whether its clips alone hold several instruments: the target together."""
        return self.query is None and len(self.target) > 1

    @property
    def others(self) -> list[int]:
        """Places in `sources` that are no part of the target."""
        return [place for place in range(len(self.sources)) if place not in self.target]


class Clips(NamedTuple):
    """What clips are summed of: of each array one number per piece, but for those said.

    Attributes:
        row: of the pool. source: which source of the batch gives the piece its state, -1 for none. passage: pieces of
            one passage start together.
        begin, end, fade: where in the clip it sounds, and how long it takes to come and go, in samples.
        clip: of which clip, `each` for one prompt after the other. gain: of each clip.
        passage_row, passage_source: for each passage, of which row it is an active place, and from which source of the
            batch it is a segment away, -1 for none.
        task, role: for each prompt.
    """

    row: Ints
    source: Ints
    passage: Ints
    begin: Ints
    end: Ints
    fade: Ints
    clip: Ints
    gain: Floats
    passage_row: Ints
    passage_source: Ints
    task: Ints
    role: Ints
    each: int


class ClipDrawer:
    """Draws the clips of tasks.

    Args:
        samples: of a clip. sample_rate: in Hz.
        another: draws another row of a row's instrument, by a share from another source, that row where there is none.
        one_passage: which rows are too short to hold two.
    """

    def __init__(
        self,
        options: EvidenceOptions,
        samples: int,
        sample_rate: int,
        another: Callable[[Generator, int, float], int],
        one_passage: NDArray[np.bool_],
    ) -> None:
        self.options, self.samples, self.another, self.one_passage = options, samples, another, one_passage
        self.most_border, self.fade = int(options.border_s * sample_rate), int(FADE_S * sample_rate)
        self._sets = [roles for roles, _ in options.roles]
        self._shares = np.cumsum([share for _, share in options.roles])

    def roles(self, random: Generator) -> Roles:
        """Which roles a task gets clips of."""
        return self._sets[int(np.searchsorted(self._shares, random.random() * self._shares[-1], side="right"))]

    def draw(self, random: Generator, tasks: Sequence[TaskRows], first: Ints) -> Clips:
        """The clips of a batch; the sources of task `i` are those from number `first[i]` on."""
        each = 1 if random.random() >= self.options.several else int(random.integers(2, 4))
        prompts = [(task, role) for role in range(3) for task, rows in enumerate(tasks) if role in rows.roles]
        pieces, passages = list[tuple[int, ...]](), list[tuple[int, int]]()
        for prompt, (task, role) in enumerate(prompts):
            for clip in range(prompt * each, (prompt + 1) * each):
                drawing = _Clip(self, random, tasks[task], int(first[task]), clip, pieces, passages)
                (drawing.alone, drawing.among, drawing.absent)[role]()
        gains = 10 ** (random.uniform(-1, 1, len(prompts) * each) * self.options.gain_db / 20)
        columns = (np.array(numbers, np.int64).T for numbers in (pieces, passages, prompts))
        (row, source, passage, begin, end, fade, of), (passage_row, passage_source), (of_task, of_role) = columns
        return Clips(
            row, source, passage, begin, end, fade, of, gains, passage_row, passage_source, of_task, of_role, each
        )


@dataclass
class _Clip:
    """One clip while it is drawn; what it is made of is added to the batch's pieces and passages."""

    drawer: ClipDrawer
    random: Generator
    task: TaskRows
    first: int
    number: int
    pieces: list[tuple[int, ...]]
    passages: list[tuple[int, int]]
    common: int | None = None
    """The passage in which all sources of a coherent task sound."""

    def alone(self) -> None:
        task = self.task
        if task.query is not None:
            return self._row(task.query)
        self._sources(task.target)
        if self._chance(self.drawer.options.alone_border):
            self._sources(task.others, self._border())

    def among(self) -> None:
        task, half = self.task, self.drawer.samples // 2
        halves = (0, half), (half, self.drawer.samples)
        window = halves[self.random.integers(2)] if self._chance(self.drawer.options.resting) else None
        if task.target:
            self._sources(task.target, window)
        elif task.query is not None:
            self._row(task.query, window)
        self._sources(self._some(task.others))

    def absent(self) -> None:
        task, options = self.task, self.drawer.options
        others, elsewhere = self._some(task.others), self._chance(options.others_elsewhere)
        if elsewhere:
            for place in others:
                self._row(self.drawer.another(self.random, task.sources[place], 1.0))
        else:
            self._sources(others)
        if self._chance(options.absent_border):
            self._sources(task.target, self._border())

    def _sources(self, places: Sequence[int], window: tuple[int, int] | None = None) -> None:
        """Sources of the mixture in another passage, in their state; of a row that has no other, another row.

        Or the clip would be the mixture's own sound, and the target the mixture less the clip.
        """
        for place in places:
            row, source = self.task.sources[place], self.first + place
            if self.drawer.one_passage[row]:
                row = self.drawer.another(self.random, row, 0.0)
                passage = self._passage(row, -1)
            else:
                if self.common is None or not self.task.coherent:
                    self.common = self._passage(row, source)
                passage = self.common
            self._add(row, source, passage, window)

    def _row(self, row: int, window: tuple[int, int] | None = None) -> None:
        """A row in a state of its own."""
        self._add(row, -1, self._passage(row, -1), window)

    def _passage(self, row: int, source: int) -> int:
        self.passages.append((row, source))
        return len(self.passages) - 1

    def _add(self, row: int, source: int, passage: int, window: tuple[int, int] | None) -> None:
        fade = self.drawer.fade if window and self._chance(0.5) else 0
        self.pieces.append((row, source, passage, *(window or (0, self.drawer.samples)), fade, self.number))

    def _some(self, others: Sequence[int]) -> Sequence[int]:
        """All, or at times some."""
        if not self._chance(self.drawer.options.fewer_others):
            return others
        count = int(self.random.integers(1, max(2, len(others))))
        return sorted(self.random.permutation(others)[:count].tolist())

    def _border(self) -> tuple[int, int]:
        length, samples = int(self.random.random() * self.drawer.most_border), self.drawer.samples
        return (0, length) if self._chance(0.5) else (samples - length, samples)

    def _chance(self, share: float) -> bool:
        return bool(self.random.random() < share)
