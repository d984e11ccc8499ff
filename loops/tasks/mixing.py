"""Draws training tasks from a library, batched on the training device: mixture, queries, target.

A task is a few sources summed, one of them the target, and clips of the target's instrument playing something else. All
sound lies in one flat tensor (the pool); a batch is gathered from it, so that a step waits for no file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.fft import next_fast_len
from torch import Tensor

from fewshot_sep import audio
from fewshot_sep.errors import BadLibrary
from fewshot_sep.loops.library import Library, Row
from fewshot_sep.loops.tasks import live
from fewshot_sep.loops.tasks.augment import equalisers, faster, levels, low_passed, pan, rooms, widened


class Tasks(NamedTuple):
    """A batch of tasks.

    Shape:
        mixture, target: `(batch, channels, samples)`; the target is silent where the queried instrument is absent.
        queries: `(batch, clips, samples)`, mono.
    """

    mixture: Tensor
    queries: Tensor
    target: Tensor


class TasksWithSources(NamedTuple):
    """Tasks and what their mixtures are made of, by name.

    Shape:
        sources: `(batch, sources, channels, samples)`, in the mixture's state (level, band limit); they sum to it. The
            target comes first unless its instrument is absent, or all sources but the first are the target
            (`MixingOptions.rest`); silence fills up where a mixture has fewer sources.
        instruments: for each task the name of each source.
        asked: for each task the instrument of the target, the first of several; of the queries where it is absent.
    """

    tasks: Tasks
    sources: Tensor
    instruments: list[list[str]]
    asked: list[str]


@dataclass(frozen=True)
class MixingOptions:
    """How tasks are drawn. Shares are probabilities per task (or per source where said).

    Attributes:
        sources: fewest and most sources in a mixture.
        coherent: mixtures whose sources come from one song at one place.
        absent: queries of an instrument that is not in the mixture; a quarter of them of the target's family.
        cross: queries from another source (another instrument's maker, another recording) than the target.
        take: queries from another passage of the very recording that the target is from, at its pitch, in its room:
            as when the clip is cut out of the song. Of this and the next: shares of the tasks that are not absent.
        rest: tasks that ask for all sources but one, by another passage of theirs: as a separator does that listens to
            the mixture first (see `fewshot_sep.Separator.condition`).
        kin: queries from a relative of the target, where no other of its family is in the mixture: a nylon guitar asks
            for the distorted one if that is the only guitar (families of `RELATED`).
        hard: random mixtures that hold a second instrument of the target's family.
        gain_db: standard deviation of each source's level.
        shift_semitones: range of the pitch shift (by resampling), drawn independently for mixture and query.
        equalise, room, band_limit: shares of sources that get them (`band_limit`: of tasks, query drawn by itself).
        live: tasks that ask for an instrument invented on the spot (see `fewshot_sep.loops.tasks.live`); cheap on a GPU alone.
        clips: queries per task.
        emphasis: instruments or families to draw more often than by the root of their rows: name and factor.
    """

    sources: tuple[int, int] = (2, 6)
    coherent: float = 0.5
    absent: float = 0.1
    cross: float = 0.75
    take: float = 0.3
    rest: float = 0.1
    kin: float = 0.15
    hard: float = 0.3
    gain_db: float = 5.0
    shift_semitones: float = 3.0
    equalise: float = 0.6
    room: float = 0.4
    band_limit: float = 0.3
    live: float = 0.0
    clips: int = 1
    emphasis: tuple[tuple[str, float], ...] = ()


PLAIN = MixingOptions(
    coherent=0,
    absent=0,
    cross=0.5,
    same_recording=0,
    all_but_one=0,
    same_family_query=0,
    same_family_interferer=0,
    shift_semitones=0,
    equalise=0,
    room=0,
    band_limit=0,
)
"""The thesis's mixing: random loops, summed; the query is another loop of the target's instrument."""

READ_AT_ONCE = 64

RELATED = frozenset({"guitar", "piano", "organ", "bass", "voice", "strings", "brass", "reed"})
"""Families whose members sound enough alike that one can ask for another."""

# Parts of a kit beside the whole kit would make "the snare" two different right answers.
_KIT_PARTS = {"kick", "snare", "hi-hat", "ride cymbal", "crash cymbal", "toms"}


def _taken(names: Iterable[str]) -> set[str]:
    """The instruments that can not join these: they themselves, a kit's parts beside the whole and the reverse."""
    taken = set(names)
    return taken | (_KIT_PARTS if "drums" in taken else {"drums"} if _KIT_PARTS & taken else set())


class AudioPool:
    """A library's sound as one flat 16-bit tensor, with what is needed to draw from it.

    Args:
        library: rows of split `unseen` are left out: they are for evaluation only.
        split: rows to take.
        sample_rate: in Hz; files of another rate are resampled.

    Raises:
        BadLibrary: no instrument has two different rows, so that no query can be drawn.
    """

    def __init__(self, library: Library, split: str, sample_rate: int, device: str | torch.device = "cpu") -> None:
        rows = [row for row in library.rows if row.split == split]
        self.name, self.sample_rate = f"{library.folder}: split '{split}'", sample_rate
        self.lengths: list[int] = []
        self.loudness: list[float] = []
        self.active: list[np.ndarray] = []
        whole = np.empty(0, np.int16)
        # A few at a time: what is decoded and not yet joined would take the memory a second time.
        with ThreadPoolExecutor() as pool:
            for some in range(0, len(rows), READ_AT_ONCE):
                files = [library.file(row) for row in rows[some : some + READ_AT_ONCE]]
                pieces = list(pool.map(lambda file: _read_mono(file, sample_rate), files))
                filled = len(whole)
                whole.resize(filled + sum(map(len, pieces)), refcheck=False)
                np.concatenate(pieces, out=whole[filled:])
                self.lengths += map(len, pieces)
                self.loudness += (float(np.sqrt(np.mean((p / 32767.0) ** 2)) + 1e-6) for p in pieces)
                self.active += (_active_starts(piece, sample_rate) for piece in pieces)
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)])[:-1]
        self.sound = torch.from_numpy(whole).to(device)
        self.device = self.sound.device
        self._index(rows)

    def _index(self, rows: list[Row]) -> None:
        self.rows = rows
        self.by_instrument: dict[str, list[int]] = defaultdict(list)
        self.by_source: dict[tuple[str, str], list[int]] = defaultdict(list)
        self.by_family: dict[str, list[str]] = defaultdict(list)
        self.by_song: dict[str, list[int]] = defaultdict(list)
        for index, row in enumerate(rows):
            self.by_instrument[row.instrument].append(index)
            self.by_source[row.instrument, row.source].append(index)
            if row.song:
                self.by_song[row.song].append(index)
        self.by_instrument = {name: rows for name, rows in self.by_instrument.items() if len(rows) > 1}
        for name, indices in sorted(self.by_instrument.items()):
            self.by_family[rows[indices[0]].family].append(name)
        self.instruments = sorted(self.by_instrument)
        self.songs = [song for song, rows in sorted(self.by_song.items()) if len(rows) > 1]
        if len(self.instruments) < 2:
            raise BadLibrary(f"{self.name} needs two instruments with two loops each to draw tasks")

    def only(self, keep: Callable[[Row], bool]) -> AudioPool:
        """A pool of the rows that `keep` accepts; the sound is shared, not copied.

        Raises:
            BadLibrary: as above.
        """
        part = copy(self)
        places = [index for index, row in enumerate(self.rows) if keep(row)]
        part.starts = self.starts[places]
        part.lengths = [self.lengths[index] for index in places]
        part.loudness = [self.loudness[index] for index in places]
        part.active = [self.active[index] for index in places]
        part._index([self.rows[index] for index in places])
        return part

    def piece(self, row: int, start: int, ratio: float, samples: int) -> Tensor:
        """A stretch of a row, `ratio` times as fast by linear interpolation; silence where the row has ended.

        Returns:
            `(samples,)` float32.
        """
        wanted = int(samples * ratio) + 2
        begin = int(self.starts[row]) + start
        sound = self.sound[begin : begin + min(wanted, self.lengths[row] - start)].float() / 32767
        return faster(F.pad(sound, (0, wanted - len(sound))), ratio, samples)


def _read_mono(path: Path, sample_rate: int) -> np.ndarray:
    samples, rate = audio.read(path)
    mono = audio.resample(samples.mean(0, keepdims=True), rate, sample_rate)[0]
    return (mono.clip(-1, 1) * 32767).astype(np.int16)


def _active_starts(piece: np.ndarray, sample_rate: int, window_s: float = 0.25) -> np.ndarray:
    """Where sound begins: starts of 0.25 s windows within 25 dB of the row's loudest."""
    window = max(1, int(window_s * sample_rate))
    blocks = piece[: len(piece) // window * window].reshape(-1, window).astype(np.float32)
    if not len(blocks):
        return np.zeros(1, np.int64)
    energy = (blocks**2).mean(1)
    return np.flatnonzero(energy >= energy.max() * 10**-2.5) * window


class _Draw(NamedTuple):
    """One task as row numbers: what sounds (the target first unless absent) and what is asked for.

    The sources at the places `wanted` sum to the target. There are no queries where other passages of these are asked
    with.
    """

    sources: list[int]
    wanted: range
    queries: list[int]
    coherent: bool


class _State(NamedTuple):
    """Numbers of the equaliser and the room that a sound gets, if any."""

    equaliser: int | None = None
    room: int | None = None


class _Clip(NamedTuple):
    """A sound of which query number `number` is made: a row, or another passage of source number `of`."""

    number: int
    row: int
    of: int | None


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
        options: MixingOptions = MixingOptions(),
        seed: int = 0,
        first: int = 0,
    ) -> None:
        self.pool, self.batch, self.samples, self.channels = pool, batch, samples, channels
        self.options, self.seed, self.first = options, seed, first
        self._weigh()
        self.fft_size = next_fast_len(samples, real=True)
        self.equalisers = equalisers(64 if options.equalise else 0, self.fft_size, pool.sample_rate, seed).to(
            pool.device
        )
        self.rooms = rooms(48 if options.room else 0, self.fft_size, pool.sample_rate, seed).to(pool.device)

    def _weigh(self) -> None:
        """Probabilities of instruments and songs; a song counts as its most emphasised part."""
        pool = self.pool
        rows = [pool.by_instrument[name] for name in pool.instruments]
        weights = np.array([np.sqrt(len(indices)) * self._factor(indices[0]) for indices in rows])
        self.instrument_share = dict(zip(pool.instruments, weights / weights.sum(), strict=True))
        weights = np.array([max(self._factor(row) for row in pool.by_song[song]) for song in pool.songs])
        self.song_share = weights / weights.sum() if len(weights) else weights

    def _factor(self, row: int) -> float:
        factors, facts = dict(self.options.emphasis), self.pool.rows[row]
        return factors.get(facts.instrument, factors.get(facts.family, 1.0))

    def __iter__(self) -> Iterator[Tasks]:
        index = self.first
        while True:
            yield self.draw(index)
            index += 1

    def draw(self, index: int) -> Tasks:
        """Batch number `index`."""
        return self._draw_batch(index, apart=False)[0]

    def draw_apart(self, index: int) -> TasksWithSources:
        """Batch number `index` with its sources, whose names are the library's: not for the option `live`."""
        tasks, sources, draws = self._draw_batch(index, apart=True)
        name = [row.instrument for row in self.pool.rows]
        asked = [name[draw.sources[draw.wanted[0]] if draw.wanted else draw.queries[0]] for draw in draws]
        return TasksWithSources(tasks, sources, [[name[row] for row in draw.sources] for draw in draws], asked)

    def _draw_batch(self, index: int, apart: bool) -> tuple[Tasks, Tensor, list[_Draw]]:
        """Tasks, their sources (none unless `apart`) and how they were drawn."""
        random = np.random.default_rng([self.seed, index])
        draws = [self._draw_rows(random) for _ in range(self.batch)]
        most = max(len(draw.sources) for draw in draws)

        # Sources of all tasks in one flat batch; `owner` says whose they are.
        owner = torch.tensor([t for t, draw in enumerate(draws) for _ in draw.sources], device=self.pool.device)
        place = torch.tensor([k for draw in draws for k in range(len(draw.sources))], device=self.pool.device)
        rows, starts, ratios = [], [], []
        for draw in draws:
            shift = self._shift(random)
            where = self._start(random, draw.sources[0])
            for row in draw.sources:
                rows.append(row)
                starts.append(where if draw.coherent else self._start(random, row))
                ratios.append(shift if draw.coherent else self._shift(random))
        gains = self._gains(random, rows)
        sound = self._read(rows, starts, ratios, gains)
        clips = self._clips(draws)
        heard = self._hear(random, clips, starts, ratios, gains)
        if self.options.live:
            self._invent(random, draws, clips, sound, heard)
        states = self._states(random, len(sound))
        stereo = self._place(self._augment(sound, states), self.channels, random)

        parts = torch.zeros(self.batch, most, *stereo.shape[1:], device=self.pool.device)
        parts[owner, place] = stereo
        wanted = torch.tensor([[k in draw.wanted for k in range(most)] for draw in draws], device=self.pool.device)
        target = (parts * wanted.float()[:, :, None, None]).sum(1)
        waves = torch.stack([parts.sum(1), target, *(parts.unbind(1) if apart else ())])

        asked_states = [
            state if clip.of is None else states[clip.of]
            for clip, state in zip(clips, self._states(random, len(heard)), strict=True)
        ]
        number = torch.tensor([clip.number for clip in clips], device=self.pool.device)
        asked = torch.zeros(self.batch * self.options.clips, self.samples, device=self.pool.device)
        asked.index_add_(0, number, self._augment(heard, asked_states))
        asked = asked.view(self.batch, self.options.clips, -1)

        if self.options.band_limit:
            limits, asked_limits = self._limits(random), self._limits(random)
            as_mixture = [not draw.queries for draw in draws]
            asked_limits[as_mixture] = limits[as_mixture]
            waves, asked = self._limit_band(waves, limits), self._limit_band(asked[None], asked_limits)[0]
        peak = waves[0].abs().amax(dim=(1, 2), keepdim=True).clamp(min=1e-4)
        level = torch.as_tensor(random.uniform(0.1, 1.0, (self.batch, 1, 1)), device=waves.device).float() / peak
        mixture, target, *sources = waves * level
        return Tasks(mixture, asked, target), torch.stack(sources, 1) if apart else parts[:, :0], draws

    def _clips(self, draws: Sequence[_Draw]) -> list[_Clip]:
        """What the queries of all tasks are made of."""
        clips, first, each = [], 0, self.options.clips
        for task, draw in enumerate(draws):
            numbers = range(task * each, (task + 1) * each)
            if draw.queries:
                clips += [_Clip(number, row, None) for number, row in zip(numbers, draw.queries, strict=True)]
            else:
                clips += [_Clip(number, draw.sources[k], first + k) for number in numbers for k in draw.wanted]
            first += len(draw.sources)
        return clips

    def _hear(
        self,
        random: np.random.Generator,
        clips: Sequence[_Clip],
        starts: Sequence[int],
        ratios: Sequence[float],
        gains: np.ndarray,
    ) -> Tensor:
        """The clips' sound `(clips, samples)`; of another passage of a source at that source's pitch and level.

        starts, ratios, gains: of all sources.
        """
        rows = [clip.row for clip in clips]
        begins = [
            self._start(random, row) if of is None else self._elsewhere(random, row, starts[of]) for _, row, of in clips
        ]
        speeds = [self._shift(random) if of is None else ratios[of] for _, _, of in clips]
        own = self._gains(random, rows)
        amounts = [gain if of is None else gains[of] for gain, (_, _, of) in zip(own, clips, strict=True)]
        return self._read(rows, begins, speeds, np.array(amounts))

    def _draw_rows(self, random: np.random.Generator) -> _Draw:
        pool, options = self.pool, self.options
        coherent = bool(pool.songs) and random.random() < options.coherent
        count = int(random.integers(options.sources[0], options.sources[1] + 1))
        sources = self._coherent_sources(random, count) if coherent else self._random_sources(random, count)
        if sources is None:
            coherent, sources = False, self._random_sources(random, count)
        target = pool.rows[sources[0]]
        taken = _taken(pool.rows[row].instrument for row in sources)
        silent = [name for name in pool.instruments if name not in taken]
        absent = bool(silent) and random.random() < options.absent
        kind = random.random() if (options.same_recording or options.all_but_one) and not absent else 1.0
        if kind < options.same_recording + options.all_but_one:
            return _Draw(sources, range(1) if kind < options.same_recording else range(1, len(sources)), [], coherent)
        if absent:
            near = [name for name in pool.by_family[target.family] if name in silent] if random.random() < 0.25 else []
            pool = pool.by_instrument[str(random.choice(near or silent))]
            queries = [int(random.choice(pool)) for _ in range(options.clips)]
        else:
            relatives = self._relatives(sources) if random.random() < options.same_family_query else []
            queries = [
                int(random.choice(relatives)) if relatives else self._query(random, sources[0])
                for _ in range(options.clips)
            ]
        return _Draw(sources, range(0 if absent else 1), queries, coherent)

    def _coherent_sources(self, random: np.random.Generator, count: int) -> list[int] | None:
        """Rows of one song, different instruments; the first can be asked for."""
        song = str(random.choice(self.pool.songs, p=self.song_share))
        rows = list(random.permutation(self.pool.by_song[song]))
        possible = [row for row in rows if self.pool.rows[row].instrument in self.pool.by_instrument]
        if not possible:
            return None
        factors = np.array([self._factor(row) for row in possible])
        first = random.choice(possible, p=factors / factors.sum())
        chosen, names = [int(first)], {self.pool.rows[first].instrument}
        for row in rows:
            name = self.pool.rows[row].instrument
            if len(chosen) < count and name not in _taken(names):
                chosen.append(int(row))
                names.add(name)
        return chosen if len(chosen) > 1 else None

    def _random_sources(self, random: np.random.Generator, count: int) -> list[int]:
        """Rows of different instruments, the target first; with share `hard` the second is of the target's family."""
        pool = self.pool
        names: list[str] = []
        while len(names) < count:
            taken = _taken(names)
            free = [name for name in pool.instruments if name not in taken]
            if not free:
                break
            share = np.array([self.instrument_share[name] for name in free])
            name = str(random.choice(free, p=share / share.sum()))
            if len(names) == 1 and random.random() < self.options.same_family_interferer:
                family = pool.by_family[pool.rows[pool.by_instrument[names[0]][0]].family]
                name = str(random.choice([relative for relative in family if relative in free] or [name]))
            names.append(name)
        return [int(random.choice(pool.by_instrument[name])) for name in names]

    def _relatives(self, sources: Sequence[int]) -> list[int]:
        """Rows of one family with the target, not its instrument; none if a relative is in the mixture."""
        first, *others = (self.pool.rows[row] for row in sources)
        if first.family not in RELATED or any(other.family == first.family for other in others):
            return []
        names = [name for name in self.pool.by_family[first.family] if name != first.instrument]
        return [row for name in names for row in self.pool.by_instrument[name]]

    def _query(self, random: np.random.Generator, target: int) -> int:
        """Another row of the target's instrument, from the same source or, with share `cross`, from another one."""
        row = self.pool.rows[target]
        same = [r for r in self.pool.by_source[row.instrument, row.source] if r != target]
        every = self.pool.by_instrument[row.instrument]
        other = [r for r in every if self.pool.rows[r].source != row.source]
        pools = [other, same] if random.random() < self.options.cross else [same, other]
        return int(random.choice(next(pool for pool in pools if pool)))

    def _shift(self, random: np.random.Generator) -> float:
        most = self.options.shift_semitones
        return 2 ** (random.uniform(-most, most) / 12) if random.random() < 0.5 else 1.0

    def _start(self, random: np.random.Generator, row: int) -> int:
        """An active place, a little before it at times."""
        start = int(random.choice(self.pool.active[row])) - int(random.uniform(0, 0.3) * self.samples)
        return max(0, min(start, max(0, self.pool.lengths[row] - self.samples)))

    def _elsewhere(self, random: np.random.Generator, row: int, start: int) -> int:
        """An active place that is a segment away from this one; where there is none, the one farthest away."""
        last = max(0, self.pool.lengths[row] - self.samples)
        places = self.pool.active[row].clip(max=last)
        away = np.abs(places - start)
        apart = places[away >= min(self.samples, away.max())]
        return int(random.choice(apart))

    def _gains(self, random: np.random.Generator, rows: Sequence[int]) -> np.ndarray:
        """Random levels around 0.1 RMS and random polarity."""
        return levels(random, len(rows), self.options.gain_db) / [self.pool.loudness[row] for row in rows]

    def _read(self, rows: Sequence[int], starts: Sequence[int], ratios: Sequence[float], gains: np.ndarray) -> Tensor:
        """The rows' sound: `(n, samples)`."""
        read = zip(rows, starts, ratios, gains, strict=True)
        return torch.stack(
            [self.pool.piece(row, start, ratio, self.samples) * float(gain) for row, start, ratio, gain in read]
        )

    def _invent(
        self,
        random: np.random.Generator,
        draws: Sequence[_Draw],
        clips: Sequence[_Clip],
        sound: Tensor,
        heard: Tensor,
    ) -> None:
        """Let new instruments take the place of some tasks' targets and queries; of the query alone where it is absent.

        Tasks whose queries are other passages of their own sources stay as they are.

        Shape: sound `(sources of all tasks, samples)`, heard `(clips, samples)`; changed in place.
        """
        chosen = np.flatnonzero(random.random(len(draws)) < self.options.live).tolist()
        chosen = [task for task in chosen if draws[task].queries]
        if not chosen:
            return
        rate = self.pool.sample_rate
        where = {clip.number: place for place, clip in enumerate(clips)}
        patches = live.invent(random, len(chosen), self.pool.device)
        firsts = np.cumsum([0, *(len(draw.sources) for draw in draws)])
        for clip in range(-1, self.options.clips):  # the target, then the queries
            played = live.play(patches, live.scores(random, patches, self.samples / rate), self.samples, rate, random)
            gains = levels(random, len(chosen), self.options.gain_db)
            for place, task in enumerate(chosen):
                wave = played[place] * float(gains[place])
                if clip >= 0:
                    heard[where[task * self.options.clips + clip]] = wave
                elif draws[task].wanted:
                    sound[firsts[task]] = wave

    def _states(self, random: np.random.Generator, count: int) -> list[_State]:
        """Which equaliser and which room each of `count` sounds gets."""
        options = self.options
        equalised, roomy = random.random(count) < options.equalise, random.random(count) < options.room
        states = [_State()] * count
        for index in np.flatnonzero(equalised | roomy):
            equaliser = int(random.integers(len(self.equalisers))) if equalised[index] else None
            states[index] = _State(equaliser, int(random.integers(len(self.rooms))) if roomy[index] else None)
        return states

    def _augment(self, sound: Tensor, states: Sequence[_State]) -> Tensor:
        """Equaliser and room: `(n, samples)` -> the same."""
        for index, (equaliser, room) in enumerate(states):
            if equaliser is None and room is None:
                continue
            spectrum = torch.fft.rfft(sound[index], self.fft_size)
            if equaliser is not None:
                spectrum *= self.equalisers[equaliser]
            if room is not None:
                spectrum *= self.rooms[room]
            sound[index] = torch.fft.irfft(spectrum, self.fft_size)[: self.samples]
        return sound

    def _place(self, sound: Tensor, channels: int, random: np.random.Generator) -> Tensor:
        """The place in the stereo image: `(n, samples)` -> `(n, channels, samples)`."""
        gains = torch.as_tensor(pan(random, len(sound), channels), device=sound.device).float()
        placed = sound[:, None] * gains[:, :, None]
        if channels == 2:
            for index in np.flatnonzero(random.random(len(sound)) < 0.25):
                placed[index] = widened(placed[index], int(random.integers(1, self.pool.sample_rate // 50)))
        return placed

    def _limits(self, random: np.random.Generator) -> np.ndarray:
        """For each task where its band ends, in Hz: 3.5 to 16 kHz for some, as low rates and codecs do."""
        limits = np.full(self.batch, np.inf)
        for place in np.flatnonzero(random.random(self.batch) < self.options.band_limit):
            limits[place] = 3500 * 2 ** random.uniform(0, 2.2)
        return limits

    def _limit_band(self, waves: Tensor, limits: np.ndarray) -> Tensor:
        """Cut tasks off where their band ends; waves `(any, batch, ..., samples)`."""
        chosen = np.flatnonzero(np.isfinite(limits))
        waves = waves.clone() if len(chosen) else waves
        for place in chosen:
            waves[:, place] = low_passed(waves[:, place], float(limits[place]), self.pool.sample_rate, self.fft_size)
        return waves
