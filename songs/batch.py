"""A batch of songs as one object that can be sent to workers, and what becomes of its songs.

A worker separates a whole song. Very long songs that would not employ all workers are separated by all of them, one
after another: this process does what is done once for a song (decoding, bars, crossfades, files), they run the networks
on its overlapping pieces. So the results are those of one machine.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch

from fewshot_sep import audio
from fewshot_sep.errors import BadAudio, FewshotSepError, explain
from fewshot_sep.prompt import ByRole
from fewshot_sep.separator import Separator
from fewshot_sep.songs.jobs import Job
from fewshot_sep.songs.pipeline import Array, Elsewhere, Progress, SongSeparator, Work
from fewshot_sep.songs.queries import Evidence, Span, encode_files
from fewshot_sep.songs.remote import Remote
from fewshot_sep.songs.separate_file import Options, finished, separate_file
from fewshot_sep.songs.settings import METERS, Tempo
from fewshot_sep.workers import Pool, WorkerDied, in_order, spread

LONG_SECONDS = 600.0
"""A longer song is very long: it takes a core over a minute, a network loaded here as well takes seconds."""


class Song(NamedTuple):
    """A task: a song by number; `whole`: however long it is, else a very long one is given back."""

    number: int
    whole: bool = True


@dataclass(frozen=True, eq=False)
class Part:
    """A task: some pieces of a very long song, and what is to be done with each."""

    work: bytes
    things: tuple[Any, ...]


class Outcome(NamedTuple):
    """Of one song: the files that were written and what is to be said, or why not."""

    written: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    error: str = ""
    exit_code: int = 1
    done_before: bool = False
    given_back: bool = False


@dataclass(frozen=True)
class Batch:
    """Songs, evidence, settings.

    Attributes:
        work: where each song's results go, decided for all of them at once.
        weights, device: of the separator.
        clips, spans: what shows the instrument.
        skip: leave out songs whose results are there.
        remote: where songs and results lie, if in object stores.
        long: seconds; a longer song is very long.
    """

    work: list[Job]
    clips: ByRole[Path]
    spans: ByRole[Span]
    options: Options
    weights: Path | None = None
    device: str = "auto"
    tracker: str = "auto"
    stretcher: str = "auto"
    tempo: Tempo = "hop"
    meters: tuple[int, ...] = METERS
    skip: bool = False
    remote: Remote | None = None
    long: float = LONG_SECONDS

    def title(self, number: int) -> str:
        """What the user calls a song."""
        return self.remote.songs[number].name if self.remote else str(self.work[number].song)

    def is_long(self, number: int) -> bool:
        """Whether a song is very long; not if it cannot be read, which is said when it is separated."""
        try:
            facts = audio.check_header(self.work[number].song)
        except BadAudio:
            return False
        return facts.frames > self.long * facts.sample_rate

    def employs(self, workers: int) -> int:
        """How many of these may have something to do."""
        if workers <= len(self.work) or self.remote or any(map(self.is_long, range(len(self.work)))):
            return workers
        return len(self.work)

    def open(self) -> OpenBatch:
        """With the separator in memory. Raises what `Separator.from_pretrained` and `encode_files` raise."""
        model = Separator.from_pretrained(self.weights, device=self.device)
        separator = SongSeparator(
            model, tracker=self.tracker, engine=self.stretcher, tempo=self.tempo, meters=self.meters
        )
        evidence = Evidence(encode_files(model, self.clips, strict=self.options.strict), self.spans)
        return OpenBatch(self, separator, evidence)


@dataclass
class OpenBatch:
    """A batch that a worker holds, see `fewshot_sep.workers.Make`."""

    batch: Batch
    separator: SongSeparator
    evidence: Evidence
    separate: Callable[..., tuple[list[Path], list[str]]] = field(default=separate_file)

    def done(self, job: Job) -> bool:
        """Whether the results of an earlier run are there."""
        return finished(self.separator, job, self.batch.options)

    def one(
        self, job: Job, progress: Progress | None = None, elsewhere: Elsewhere | None = None
    ) -> tuple[list[Path], list[str]]:
        """Separate one song: files written, and lines to read."""
        return self.separate(self.separator, job, self.evidence, self.batch.options, progress, elsewhere)

    def __call__(self, task: Song | Part, losses: int, /) -> Outcome | list[Array] | str:
        """What `song` or `part` give."""
        return self.part(task) if isinstance(task, Part) else self.song(*task, losses)

    def song(
        self,
        number: int,
        whole: bool = True,
        losses: int = 0,
        progress: Progress | None = None,
        elsewhere: Elsewhere | None = None,
    ) -> Outcome:
        """A song of the batch; given back where it is very long, and not to be `whole`.

        Args:
            losses: how many workers have died with it; it may be done nevertheless.
        """
        job, remote = self.batch.work[number], self.batch.remote
        in_own_words: Callable[[str], str] = partial(remote.own_words, number, job) if remote else str
        try:
            if remote is not None and losses and (there := remote.put_before(number)):
                return Outcome(there)
            if remote is None and (self.batch.skip or losses) and self.done(job):
                there = tuple(str(path) for path in job.outputs[:4] if path.is_file())
                return Outcome(there if losses else (), done_before=not losses)
            with remote.fetched(number, job) if remote else nullcontext():
                if not whole and self.batch.is_long(number):
                    return Outcome(given_back=True)
                found, said = self.one(job, progress, elsewhere)
                written = remote.put(number, job, found) if remote else tuple(map(str, found))
        except Exception as error:
            failure = str(error) if isinstance(error, FewshotSepError) else f"{job.song}: {explain(error)}"
            code = error.exit_code if isinstance(error, FewshotSepError) else 1
            return Outcome(error=in_own_words(failure), exit_code=code)
        return Outcome(written, tuple(map(in_own_words, said)))

    def part(self, part: Part) -> list[Array] | str:
        """What is made of each piece, or why not."""
        try:
            work = torch.load(io.BytesIO(part.work), self.separator.separator.device, weights_only=False)
            return [work(self.separator, thing) for thing in part.things]
        except Exception as error:
            return explain(error)


def outcomes(
    batch: Batch, pool: Pool, watch: Callable[[int], AbstractContextManager[Progress | None]] = lambda _: nullcontext()
) -> Iterator[tuple[int, Outcome]]:
    """Songs by number, as they end, with what became of them.

    Args:
        pool: of workers that `batch.open` makes.
        watch: is told which very long song all workers share, and gives what is told of its progress.
    """

    def each(songs: Iterable[Song]) -> Iterator[tuple[int, Outcome]]:
        for (number, _), answer in spread(pool, songs):
            died = isinstance(answer, WorkerDied)
            yield number, Outcome(error=f"{batch.title(number)}: {answer}") if died else answer

    long = []
    for number, outcome in each(Song(number, pool.size == 1) for number in range(len(batch.work))):
        if outcome.given_back:
            long.append(number)
        else:
            yield number, outcome
    long.sort()
    shared = len(long) % pool.size
    yield from each(map(Song, long[shared:]))
    if shared:
        owner = batch.open()
        for number in long[:shared]:
            elsewhere = partial(_each, pool, batch.title(number))
            with watch(number) as progress:
                outcome = owner.song(number, progress=progress, elsewhere=elsewhere)
            yield number, outcome


def _each(pool: Pool, title: str, work: Work, things: Iterable[Any], at_once: int) -> Iterator[Array]:
    """What workers make of each thing, in order; see `fewshot_sep.songs.pipeline.Elsewhere`."""
    file, left = io.BytesIO(), iter(things)
    torch.save(work, file)  # a worker has it on its own device
    parts = (Part(file.getvalue(), some) for some in iter(lambda: tuple(islice(left, at_once)), ()))
    for found in in_order(pool, parts):
        if not isinstance(found, list):
            raise WorkerDied(f"{title}: {found}")
        yield from found
