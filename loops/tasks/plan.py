"""What a batch of tasks is made of, as numbers: which rows, from where, how fast, how loud, in which state.

A plan holds no sound, and all randomness is here: `fewshot_sep.loops.tasks.mixing` makes sound of a plan.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fewshot_sep.evidence import ALONE
from fewshot_sep.loops.tasks import mastering
from fewshot_sep.loops.tasks.augment import levels, pan
from fewshot_sep.loops.tasks.clips import ClipDrawer, Clips, TaskRows
from fewshot_sep.loops.tasks.mastering import Mastering
from fewshot_sep.loops.tasks.options import MixingOptions
from fewshot_sep.loops.tasks.pool import AudioPool

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

EQUALISERS, ROOMS = 64, 48
"""How many there are to draw from."""

RELATED = frozenset({"guitar", "piano", "organ", "bass", "voice", "strings", "brass", "reed"})
"""Families whose members sound enough alike that one can be the query for another."""

# Parts of a kit beside the whole kit would make "the snare" two different right answers.
_KIT_PARTS = {"kick", "snare", "hi-hat", "ride cymbal", "crash cymbal", "toms"}


class Excerpts(NamedTuple):
    """Stretches of rows and what becomes of them: of each array one number per sound.

    Attributes:
        row, start: where it lies in the pool, in samples from the row's start. ratio: speed. gain: with polarity.
        equaliser, room: which one it gets, -1 for none. limit_hz: where its band ends, infinite for most.
    """

    row: Ints
    start: Ints
    ratio: Floats
    gain: Floats
    equaliser: Ints
    room: Ints
    limit_hz: Floats

    def at(self, chosen: slice | Ints) -> Excerpts:
        """Some of them."""
        return Excerpts._make(numbers[chosen] for numbers in self)

    def and_those(self, more: Excerpts) -> Excerpts:
        """Both, one after the other."""
        return Excerpts._make(map(np.concatenate, zip(self, more, strict=True)))


class Plan(NamedTuple):
    """A batch.

    Attributes:
        tasks: the rows of each.
        sources: of all tasks, one after the other; `task` and `place` say whose each is, and which of its sources.
        targeted: which sources sum to their task's target.
        pan: gains `(sources, channels)`. delay: of the right channel, in samples.
        pieces: what the clips are summed of. clips: how.
        peak: of each mixture.
        mastered: which tasks are mastered. mastering: how.
    """

    tasks: list[TaskRows]
    sources: Excerpts
    task: Ints
    place: Ints
    targeted: Flags
    pan: Floats
    delay: Ints
    pieces: Excerpts
    clips: Clips
    peak: Floats
    mastered: Ints
    mastering: Mastering


class Planner:
    """Plans batches; batch number `i` depends on seed and `i` alone. Arguments: see `mixing.TaskMixer`."""

    def __init__(
        self, pool: AudioPool, batch: int, samples: int, channels: int, options: MixingOptions, seed: int
    ) -> None:
        self.pool, self.batch, self.samples, self.channels = pool, batch, samples, channels
        self.options, self.seed = options, seed
        self._last = np.maximum(0, pool.lengths - samples)
        one_passage = self._last < samples // 2
        self._drawer = ClipDrawer(options.evidence, samples, pool.sample_rate, self._another, one_passage)
        self._active = np.concatenate(pool.active)
        self._active_count = np.array([len(places) for places in pool.active])
        self._active_first = np.cumsum(self._active_count) - self._active_count
        self._tabulate()

    def _tabulate(self) -> None:
        """Shares, and which names go together, as arrays over all names of instruments."""
        pool, emphasis = self.pool, dict(self.options.emphasis)
        self._names = sorted({row.instrument for row in pool.rows})
        number = {name: place for place, name in enumerate(self._names)}
        self._name = np.array([number[row.instrument] for row in pool.rows])
        sources = {source: place for place, source in enumerate({(row.instrument, row.source) for row in pool.rows})}
        self._source = np.array([sources[row.instrument, row.source] for row in pool.rows])
        self._rows_of = [np.array(pool.by_instrument.get(name, ()), np.int64) for name in self._names]
        self._factor = np.array([emphasis.get(row.instrument, emphasis.get(row.family, 1.0)) for row in pool.rows])
        self._share = np.array(
            [np.sqrt(len(rows)) * self._factor[rows[0]] if len(rows) else 0.0 for rows in self._rows_of]
        )
        family = {row.instrument: row.family for row in pool.rows}
        families = np.array([family[name] for name in self._names])
        self._related = (families[:, None] == families) & (self._share > 0)
        drums = np.array([name == "drums" for name in self._names])
        part = np.array([name in _KIT_PARTS for name in self._names])
        self._excludes = np.eye(len(self._names), dtype=bool) | np.outer(drums, part) | np.outer(part, drums)
        # A song counts as its most emphasised part; places that it has not are -1.
        self._songs = np.full((len(pool.songs), max(map(len, pool.songs), default=1)), -1)
        for place, rows in enumerate(pool.songs):
            self._songs[place, : len(rows)] = rows
        self._song_share = np.cumsum([self._factor[rows].max() for rows in pool.songs])

    def plan(self, index: int) -> Plan:
        """Batch number `index`."""
        random = np.random.default_rng([self.seed, index])
        tasks = self._tasks(random)
        counts = np.array([len(task.sources) for task in tasks])
        first = np.cumsum(counts) - counts
        task = np.repeat(np.arange(self.batch), counts)
        leader = np.repeat(first, counts)
        place = np.arange(len(task)) - leader
        rows = np.array([row for drawn in tasks for row in drawn.sources])
        follows = np.array([drawn.coherent for drawn in tasks])[task]
        starts, ratios = self._starts(random, rows), self._ratios(random, len(rows))
        limits, own_limits = self._limits(random), self._limits(random)
        equaliser, room = self._states(random, len(rows))
        sources = Excerpts(
            rows,
            np.where(follows, starts[leader], starts),
            np.where(follows, ratios[leader], ratios),
            self._gains(random, rows),
            equaliser,
            room,
            limits[task],
        )
        panned, delays = self._stereo(random, len(rows))
        clips = self._drawer.draw(random, tasks, first)
        pieces = self._pieces(random, tasks, sources, clips, limits, own_limits)
        peak = random.uniform(0.1, 1.0, self.batch)
        mastered = np.flatnonzero(random.random(self.batch) < self.options.mastered)
        return Plan(
            tasks,
            sources,
            task,
            place,
            np.array([number in drawn.target for drawn in tasks for number in range(len(drawn.sources))]),
            panned,
            delays,
            pieces,
            clips,
            peak,
            mastered,
            mastering.draw(random, len(mastered)),
        )

    def _pieces(
        self, random: Generator, tasks: list[TaskRows], sources: Excerpts, clips: Clips, limits: Floats, own: Floats
    ) -> Excerpts:
        """What becomes of the clips' pieces: what became of their source, or what is drawn for them."""
        fresh, count = clips.source < 0, len(clips.row)
        known = clips.passage_source >= 0
        starts = self._starts(random, clips.passage_row)
        starts[known] = self._elsewhere(random, clips.passage_row[known], sources.start[clips.passage_source[known]])
        equaliser, room = self._states(random, count)
        prompt = np.arange(len(clips.gain))[clips.clip] // clips.each
        task = clips.task[prompt]
        # A clip cut out of the song has the song's band, whatever is in it.
        elsewhere = np.array([drawn.query is not None for drawn in tasks])[task] & (clips.role[prompt] == ALONE)
        return Excerpts(
            clips.row,
            starts[clips.passage],
            np.where(fresh, self._ratios(random, count), sources.ratio[clips.source]),
            np.where(fresh, self._gains(random, clips.row), sources.gain[clips.source]) * clips.gain[clips.clip],
            np.where(fresh, equaliser, sources.equaliser[clips.source]),
            np.where(fresh, room, sources.room[clips.source]),
            np.where(elsewhere, own[task], limits[task]),
        )

    # --- which rows

    def _tasks(self, random: Generator) -> list[TaskRows]:
        coherent, mixtures = self._mixtures(random)
        return [
            self._task(random, sources[sources >= 0], bool(together))
            for sources, together in zip(mixtures, coherent, strict=True)
        ]

    def _task(self, random: Generator, rows: Ints, coherent: bool) -> TaskRows:
        options, sources, names = self.options, rows.tolist(), self._name[rows]
        roles = self._drawer.roles(random) if len(sources) > 1 else (ALONE,)
        silent = ~self._excludes[names].any(0) & (self._share > 0)
        if silent.any() and random.random() < options.absent:
            near = silent & self._related[names[0]]
            candidates = np.flatnonzero(near if random.random() < 0.25 and near.any() else silent)
            query = int(random.choice(self._rows_of[random.choice(candidates)]))
            return TaskRows(sources, range(0), query, coherent, roles)
        marked = roles != (ALONE,)
        same_recording = options.evidence.marked_same_recording if marked else options.same_recording
        own_passages = same_recording + (options.all_but_one if len(sources) > 1 else 0)
        if own_passages and (kind := random.random()) < own_passages:
            target = range(1) if kind < same_recording else range(1, len(sources))
            return TaskRows(sources, target, None, coherent, roles)
        relations = self._same_family(rows) if random.random() < options.same_family_query else rows[:0]
        query = int(random.choice(relations)) if len(relations) else self._another(random, sources[0], options.cross)
        return TaskRows(sources, range(1), query, coherent, roles)

    def _mixtures(self, random: Generator) -> tuple[Flags, Ints]:
        """Which mixtures are coherent, and their rows, the target first: `(batch, sources)`, -1 where there are fewer.

        Coherent ones are of one song; random ones, in whose place a song with too few instruments leaves one, of any.
        """
        fewest, most = self.options.sources
        counts = random.integers(fewest, most + 1, self.batch)
        coherent = random.random(self.batch) < (self.options.coherent if len(self._songs) else 0)
        rows = self._random_sources(random, counts)
        if coherent.any():
            songs = self._coherent_sources(random, counts)
            coherent &= (songs >= 0).sum(1) > 1
            rows = np.where(coherent[:, None], songs, rows)
        return coherent, rows

    def _coherent_sources(self, random: Generator, counts: Ints) -> Ints:
        """Rows of one song for each mixture, different instruments; the first can be queried."""
        chosen = np.searchsorted(self._song_share, random.random(self.batch) * self._song_share[-1], side="right")
        rows = self._songs[np.minimum(chosen, len(self._songs) - 1)]
        names = self._name[rows]
        there = (rows >= 0).astype(float)
        places = self._different(random, names, there * self._factor[rows] * (self._share[names] > 0), there, counts)
        return np.where(places >= 0, np.take_along_axis(rows, places, 1), -1)

    def _random_sources(self, random: Generator, counts: Ints) -> Ints:
        """Rows of different instruments for each mixture."""
        names = np.tile(np.arange(len(self._names)), (self.batch, 1))
        share = np.tile(self._share, (self.batch, 1))
        near = random.random(self.batch) < self.options.same_family_interferer
        chosen = self._different(random, names, share, share, counts, near)
        rows = np.full(chosen.shape, -1)
        for place in zip(*np.nonzero(chosen >= 0), strict=True):
            rows[place] = random.choice(self._rows_of[chosen[place]])
        return rows

    def _different(
        self,
        random: Generator,
        names: Ints,
        first_shares: Floats,
        shares: Floats,
        counts: Ints,
        related: Flags | None = None,
    ) -> Ints:
        """Draw candidates that go together, one after the other, in every mixture at once.

        Shape:
            names, first_shares, shares: `(batch, candidates)`; shares are of the first one and of those that follow.
            counts: `(batch,)`, how many to draw. related: `(batch,)`, where the second is of the family of the first
            if it can be.

        Returns:
            Places among the candidates, -1 from where on there was none: `(batch, sources)`.
        """
        mixtures, weights = np.arange(len(names)), first_shares
        chosen = np.full((len(names), self.options.sources[1]), -1)
        free = np.ones_like(names, dtype=bool)
        going_on = np.ones(len(names), dtype=bool)
        for place in range(chosen.shape[1]):
            weights = (first_shares if place == 0 else shares) * free
            if place == 1 and related is not None:
                near = (weights > 0) & self._related[names[mixtures, chosen[:, 0]][:, None], names]
                weights = np.where((related & near.any(1))[:, None], near, weights)
            sums = np.cumsum(weights, 1)
            going_on &= (sums[:, -1] > 0) & (counts > place)
            drawn = (sums <= (random.random(len(names)) * sums[:, -1])[:, None]).sum(1)
            drawn = np.minimum(drawn, names.shape[1] - 1)
            chosen[going_on, place] = drawn[going_on]
            free &= ~self._excludes[names[mixtures, drawn][:, None], names]
        return chosen

    def _same_family(self, sources: Ints) -> Ints:
        """Rows of the target's family, not its instrument; none if one of that family is in the mixture."""
        first, *others = (self.pool.rows[row] for row in sources)
        if first.family not in RELATED or any(other.family == first.family for other in others):
            return np.empty(0, np.int64)
        name = self._name[sources[0]]
        relatives = [self._rows_of[one] for one in np.flatnonzero(self._related[name]) if one != name]
        return np.concatenate([np.empty(0, np.int64), *relatives])

    def _another(self, random: Generator, row: int, cross: float = 1.0) -> int:
        """Another row of the instrument, from another source with share `cross`; `row` where there is no other."""
        rows = self._rows_of[self._name[row]]
        same = self._source[rows] == self._source[row]
        other, same = rows[~same], rows[same & (rows != row)]
        preferred = (other, same) if random.random() < cross else (same, other)
        return int(next((random.choice(some) for some in preferred if len(some)), row))

    # --- from where, how fast, how loud

    def _ratios(self, random: Generator, count: int) -> Floats:
        most = self.options.shift_semitones
        return np.where(random.random(count) < 0.5, 2 ** (random.uniform(-most, most, count) / 12), 1.0)

    def _starts(self, random: Generator, rows: Ints) -> Ints:
        """For each row an active place, a little before it at times."""
        chosen = self._active_first[rows] + random.integers(self._active_count[rows])
        before = (random.uniform(0, 0.3, len(rows)) * self.samples).astype(np.int64)
        starts: Ints = np.clip(self._active[chosen] - before, 0, self._last[rows])
        return starts

    def _elsewhere(self, random: Generator, rows: Ints, starts: Ints) -> Ints:
        """Active places that are a segment away from these; where there is none, of those farthest away."""
        if not len(rows):
            return starts
        counts = self._active_count[rows]
        first = np.cumsum(counts) - counts
        of = np.repeat(np.arange(len(rows)), counts)
        within = np.arange(len(of)) - first[of]
        places = np.minimum(self._active[self._active_first[rows][of] + within], self._last[rows][of])
        distance = np.abs(places - starts[of])
        key = random.random(len(of))
        key[distance < np.minimum(self.samples, np.maximum.reduceat(distance, first))[of]] = -1
        farther: Ints = places[key == np.maximum.reduceat(key, first)[of]]
        return farther

    def _gains(self, random: Generator, rows: Ints) -> Floats:
        """For random levels around an RMS of 0.1 and random polarity."""
        return np.asarray(levels(random, len(rows), self.options.gain_db) / self.pool.loudness[rows])

    # --- in which state

    def _states(self, random: Generator, count: int) -> Ints:
        """Which equaliser and which room each of `count` sounds gets, -1 for none: `(2, count)`."""
        shares = np.array([[self.options.equalise], [self.options.room]])
        kinds = random.integers([[EQUALISERS], [ROOMS]], size=(2, count))
        return np.where(random.random((2, count)) < shares, kinds, -1)

    def _stereo(self, random: Generator, count: int) -> tuple[Floats, Ints]:
        """Pan gains `(count, channels)`, and by how many samples the right channel is late: a quarter of them are."""
        late = (random.random(count) < 0.25) & (self.channels == 2)
        delays = random.integers(1, max(2, self.pool.sample_rate // 50), count)
        return pan(random, count, self.channels), np.where(late, delays, 0)

    def _limits(self, random: Generator) -> Floats:
        """For each task where its band ends, in Hz: 3.5 to 16 kHz for some, as low rates and codecs do."""
        limited = random.random(self.batch) < self.options.band_limit
        return np.where(limited, 3500 * 2 ** random.uniform(0, 2.2, self.batch), np.inf)
