"""What a batch of tasks is made of, as numbers: which rows, from where, how fast, how loud, in which state.

A plan holds no sound, and all randomness is here: `fewshot_sep.loops.tasks.mixing` makes sound of a plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fewshot_sep.loops.score import Note
from fewshot_sep.loops.tasks import live
from fewshot_sep.loops.tasks.augment import levels, pan
from fewshot_sep.loops.tasks.options import MixingOptions
from fewshot_sep.loops.tasks.pool import AudioPool

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

EQUALISERS, ROOMS = 64, 48
"""How many there are to draw from."""

RELATED = frozenset({"guitar", "piano", "organ", "bass", "voice", "strings", "brass", "reed"})
"""Families whose members sound enough alike that one can be the query for another."""

# Parts of a kit beside the whole kit would make "the snare" two different right answers.
_KIT_PARTS = {"kick", "snare", "hi-hat", "ride cymbal", "crash cymbal", "toms"}


class TaskRows(NamedTuple):
    """One task as numbers of rows.

    Attributes:
        sources: what sounds; the target comes first unless it is absent.
        target: places in `sources` that sum to the target.
        query: None where another passage of the target's own rows is the query.
        coherent: the sources are of one song, and start together.
    """

    sources: list[int]
    target: range
    query: int | None
    coherent: bool

    @property
    def queried(self) -> int:
        """A row of the instrument that is asked for: of the target, of the query where that is absent."""
        return self.query if self.query is not None and not self.target else self.sources[self.target[0]]


class Excerpts(NamedTuple):
    """Stretches of rows and what becomes of them: of each array one number per sound.

    Attributes:
        row, start: where it lies in the pool, in samples from the row's start. ratio: speed. gain: with polarity.
        equaliser, room: which one it gets, -1 for none.
    """

    row: Ints
    start: Ints
    ratio: Floats
    gain: Floats
    equaliser: Ints
    room: Ints


class Performance(NamedTuple):
    """What invented instruments play: each its part, all noise from `seed`, in the place of the sounds `replaces`."""

    parts: list[list[Note]]
    seed: int
    gain: Floats
    replaces: list[int | None]


class Invention(NamedTuple):
    """Invented instruments that take the place of some targets (sources) and of their queries (clips)."""

    patches: live.Patches
    targets: Performance
    queries: Performance


class Plan(NamedTuple):
    """A batch.

    Attributes:
        tasks: the rows of each.
        sources: of all tasks, one after the other; `task` and `place` say whose each is, and which of its sources.
        pan: gains `(sources, channels)`. delay: of the right channel, in samples.
        clips: what the queries are made of; `query` says the task of each. Clips of one query are summed.
        mixture_limit_hz, query_limit_hz: where the band of each task ends, infinite for most.
        peak: of each mixture.
    """

    tasks: list[TaskRows]
    sources: Excerpts
    task: Ints
    place: Ints
    pan: Floats
    delay: Ints
    clips: Excerpts
    query: Ints
    invention: Invention | None
    mixture_limit_hz: Floats
    query_limit_hz: Floats
    peak: Floats


class Planner:
    """Plans batches; batch number `i` depends on seed and `i` alone. Arguments: see `mixing.TaskMixer`."""

    def __init__(
        self, pool: AudioPool, batch: int, samples: int, channels: int, options: MixingOptions, seed: int
    ) -> None:
        self.pool, self.batch, self.samples, self.channels = pool, batch, samples, channels
        self.options, self.seed = options, seed
        self._emphasis = dict(options.emphasis)
        rows = [pool.by_instrument[name] for name in pool.instruments]
        weights = np.array([np.sqrt(len(indices)) * self._factor(indices[0]) for indices in rows])
        self.instrument_share = dict(zip(pool.instruments, weights / weights.sum(), strict=True))
        # A song counts as its most emphasised part.
        weights = np.array([max(self._factor(row) for row in pool.by_song[song]) for song in pool.songs])
        self.song_share = weights / weights.sum() if len(weights) else weights

    def _factor(self, row: int) -> float:
        about = self.pool.rows[row]
        return self._emphasis.get(about.instrument, self._emphasis.get(about.family, 1.0))

    def plan(self, index: int) -> Plan:
        """Batch number `index`."""
        random = np.random.default_rng([self.seed, index])
        tasks = [self._rows(random) for _ in range(self.batch)]
        first = np.cumsum([0, *(len(task.sources) for task in tasks)])
        rows, starts, ratios = [], [], []
        for task in tasks:
            ratio, start = self._ratio(random), self._start(random, task.sources[0])
            for row in task.sources:
                rows.append(row)
                starts.append(start if task.coherent else self._start(random, row))
                ratios.append(ratio if task.coherent else self._ratio(random))
        gains = self._gains(random, rows)

        query, clip_rows, of = np.array(_clips(tasks, first)).T
        clip_starts = [
            self._start(random, row) if source < 0 else self._elsewhere(random, row, starts[source])
            for row, source in zip(clip_rows, of, strict=True)
        ]
        clip_ratios = [self._ratio(random) if source < 0 else ratios[source] for source in of]
        clip_gains = np.where(of < 0, self._gains(random, clip_rows), gains[of])

        invention = self._invent(random, tasks, first, query) if self.options.live else None
        states = self._states(random, len(rows))
        panned, delays = self._stereo(random, len(rows))
        clip_states = np.where(of < 0, self._states(random, len(of)), states[:, of])
        limits, query_limits = self._limits(random), self._limits(random)
        same = [task.query is None for task in tasks]
        query_limits[same] = limits[same]
        return Plan(
            tasks,
            sources=Excerpts(np.array(rows), np.array(starts), np.array(ratios), gains, *states),
            task=np.repeat(np.arange(self.batch), np.diff(first)),
            place=np.arange(len(rows)) - np.repeat(first[:-1], np.diff(first)),
            pan=panned,
            delay=delays,
            clips=Excerpts(clip_rows, np.array(clip_starts), np.array(clip_ratios), clip_gains, *clip_states),
            query=query,
            invention=invention,
            mixture_limit_hz=limits,
            query_limit_hz=query_limits,
            peak=random.uniform(0.1, 1.0, self.batch),
        )

    # --- which rows

    def _rows(self, random: Generator) -> TaskRows:
        pool, options = self.pool, self.options
        coherent = bool(pool.songs) and random.random() < options.coherent
        count = int(random.integers(options.sources[0], options.sources[1] + 1))
        sources = self._coherent_sources(random, count) if coherent else self._random_sources(random, count)
        if sources is None:
            coherent, sources = False, self._random_sources(random, count)
        excluded = _excluded(pool.rows[row].instrument for row in sources)
        silent = [name for name in pool.instruments if name not in excluded]
        if silent and random.random() < options.absent:
            relatives = [name for name in pool.by_family[pool.rows[sources[0]].family] if name in silent]
            near = relatives if random.random() < 0.25 else []
            candidates = pool.by_instrument[str(random.choice(near or silent))]
            return TaskRows(sources, range(0), int(random.choice(candidates)), coherent)
        own_passages = options.same_recording + options.all_but_one
        if own_passages and (kind := random.random()) < own_passages:
            target = range(1) if kind < options.same_recording else range(1, len(sources))
            return TaskRows(sources, target, None, coherent)
        relations = self._same_family(sources) if random.random() < options.same_family_query else []
        query = int(random.choice(relations)) if relations else self._query(random, sources[0])
        return TaskRows(sources, range(1), query, coherent)

    def _coherent_sources(self, random: Generator, count: int) -> list[int] | None:
        """Rows of one song, different instruments; the first can be queried. None if the song has too few."""
        pool = self.pool
        song = str(random.choice(pool.songs, p=self.song_share))
        rows = list(random.permutation(pool.by_song[song]))
        possible = [row for row in rows if pool.rows[row].instrument in pool.by_instrument]
        if not possible:
            return None
        factors = np.array([self._factor(row) for row in possible])
        first = random.choice(possible, p=factors / factors.sum())
        chosen, names = [int(first)], {pool.rows[first].instrument}
        for row in rows:
            name = pool.rows[row].instrument
            if len(chosen) < count and name not in _excluded(names):
                chosen.append(int(row))
                names.add(name)
        return chosen if len(chosen) > 1 else None

    def _random_sources(self, random: Generator, count: int) -> list[int]:
        """Rows of different instruments, the target first."""
        pool = self.pool
        names: list[str] = []
        while len(names) < count:
            excluded = _excluded(names)
            free = [name for name in pool.instruments if name not in excluded]
            if not free:
                break
            share = np.array([self.instrument_share[name] for name in free])
            name = str(random.choice(free, p=share / share.sum()))
            if len(names) == 1 and random.random() < self.options.same_family_interferer:
                family = pool.by_family[pool.rows[pool.by_instrument[names[0]][0]].family]
                name = str(random.choice([relative for relative in family if relative in free] or [name]))
            names.append(name)
        return [int(random.choice(pool.by_instrument[name])) for name in names]

    def _same_family(self, sources: Sequence[int]) -> list[int]:
        """Rows of the target's family, not its instrument; none if one of that family is in the mixture."""
        first, *others = (self.pool.rows[row] for row in sources)
        if first.family not in RELATED or any(other.family == first.family for other in others):
            return []
        names = [name for name in self.pool.by_family[first.family] if name != first.instrument]
        return [row for name in names for row in self.pool.by_instrument[name]]

    def _query(self, random: Generator, target: int) -> int:
        """Another row of the target's instrument, from the same source or, with share `cross`, from another one."""
        row = self.pool.rows[target]
        same = [r for r in self.pool.by_source[row.instrument, row.source] if r != target]
        other = [r for r in self.pool.by_instrument[row.instrument] if self.pool.rows[r].source != row.source]
        preferred = [other, same] if random.random() < self.options.cross else [same, other]
        return int(random.choice(next(rows for rows in preferred if rows)))

    # --- from where, how fast, how loud

    def _ratio(self, random: Generator) -> float:
        most = self.options.shift_semitones
        return float(2 ** (random.uniform(-most, most) / 12)) if random.random() < 0.5 else 1.0

    def _start(self, random: Generator, row: int) -> int:
        """An active place, a little before it at times."""
        start = int(random.choice(self.pool.active[row])) - int(random.uniform(0, 0.3) * self.samples)
        return max(0, min(start, self._last(row)))

    def _elsewhere(self, random: Generator, row: int, start: int) -> int:
        """An active place that is a segment away from this one; where there is none, the one farthest away."""
        places = self.pool.active[row].clip(max=self._last(row))
        distance = np.abs(places - start)
        return int(random.choice(places[distance >= min(self.samples, distance.max())]))

    def _last(self, row: int) -> int:
        return max(0, self.pool.lengths[row] - self.samples)

    def _gains(self, random: Generator, rows: Iterable[int]) -> Floats:
        """For random levels around an RMS of 0.1 and random polarity."""
        loudness = np.array([self.pool.loudness[row] for row in rows])
        return np.asarray(levels(random, len(loudness), self.options.gain_db) / loudness)

    # --- in which state

    def _invent(self, random: Generator, tasks: Sequence[TaskRows], first: Ints, query: Ints) -> Invention | None:
        """New instruments for some targets and their queries; for the queries alone where the target is absent.

        Tasks whose queries are other passages of their own sources stay as they are.
        """
        chosen = np.flatnonzero(random.random(len(tasks)) < self.options.live).tolist()
        chosen = [number for number in chosen if tasks[number].query is not None]
        if not chosen:
            return None
        patches = live.invent(random, len(chosen))

        def perform(replaces: list[int | None]) -> Performance:
            parts = live.scores(random, patches, self.samples / self.pool.sample_rate)
            seed = int(random.integers(2**31))
            return Performance(parts, seed, levels(random, len(chosen), self.options.gain_db), replaces)

        targets = perform([int(first[number]) if tasks[number].target else None for number in chosen])
        return Invention(patches, targets, perform([*np.searchsorted(query, chosen)]))

    def _states(self, random: Generator, count: int) -> Ints:
        """Which equaliser and which room each of `count` sounds gets, -1 for none: `(2, count)`."""
        states = np.full((2, count), -1)
        wanted = np.less(random.random((2, count)).T, (self.options.equalise, self.options.room))
        for sound, effect in np.argwhere(wanted):
            states[effect, sound] = random.integers((EQUALISERS, ROOMS)[effect])
        return states

    def _stereo(self, random: Generator, count: int) -> tuple[Floats, Ints]:
        """Pan gains `(count, channels)`, and by how many samples the right channel is late: a quarter of them are."""
        panned, delays = pan(random, count, self.channels), np.zeros(count, np.int64)
        if self.channels == 2:
            for index in np.flatnonzero(random.random(count) < 0.25):
                delays[index] = random.integers(1, self.pool.sample_rate // 50)
        return panned, delays

    def _limits(self, random: Generator) -> Floats:
        """For each task where its band ends, in Hz: 3.5 to 16 kHz for some, as low rates and codecs do."""
        limits = np.full(self.batch, np.inf)
        if self.options.band_limit:
            for task in np.flatnonzero(random.random(self.batch) < self.options.band_limit):
                limits[task] = 3500 * 2 ** random.uniform(0, 2.2)
        return limits


def _clips(tasks: Sequence[TaskRows], first: Ints) -> list[tuple[int, int, int]]:
    """What the queries are made of: task, row, and which source it is another passage of, -1 for none."""
    clips = list[tuple[int, int, int]]()
    for number, task in enumerate(tasks):
        if task.query is None:
            clips += [(number, task.sources[place], int(first[number]) + place) for place in task.target]
        else:
            clips.append((number, task.query, -1))
    return clips


def _excluded(names: Iterable[str]) -> set[str]:
    """The instruments that cannot join these: they themselves, a kit's parts beside the whole and the reverse."""
    excluded = set(names)
    return excluded | (_KIT_PARTS if "drums" in excluded else {"drums"} if _KIT_PARTS & excluded else set())
