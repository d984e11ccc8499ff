"""A batch of songs as one object that can be sent to workers, and what becomes of one song of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from fewshot_sep.errors import FewshotSepError, explain
from fewshot_sep.prompt import ByRole
from fewshot_sep.songs.jobs import Job
from fewshot_sep.songs.pipeline import Progress, SongSeparator
from fewshot_sep.songs.queries import Evidence, Span, encode_files
from fewshot_sep.songs.remote import Remote
from fewshot_sep.songs.separate_file import Options, finished, separate_file
from fewshot_sep.songs.settings import METERS, Tempo


class Outcome(NamedTuple):
    """Of one song: the files that were written and what is to be said, or why not."""

    written: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    error: str = ""
    exit_code: int = 1
    done_before: bool = False


@dataclass(frozen=True)
class Batch:
    """Songs, evidence, settings.

    Attributes:
        work: where each song's results go, decided for all of them at once.
        weights, device: of the separator.
        clips, spans: what shows the instrument.
        skip: leave out songs whose results are there.
        remote: where songs and results lie, if in object stores.
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

    def open(self) -> OpenBatch:
        """With the separator in memory. Raises what `Separator.from_pretrained` and `encode_files` raise."""
        from fewshot_sep.separator import Separator

        model = Separator.from_pretrained(self.weights, device=self.device)
        separator = SongSeparator(
            model, tracker=self.tracker, engine=self.stretcher, tempo=self.tempo, meters=self.meters
        )
        evidence = Evidence(encode_files(model, self.clips, strict=self.options.strict), self.spans)
        return OpenBatch(self, separator, evidence)


@dataclass
class OpenBatch:
    """A batch that a worker holds, see `fewshot_sep.workers.Work`."""

    batch: Batch
    separator: SongSeparator
    evidence: Evidence
    separate: Callable[..., tuple[list[Path], list[str]]] = field(default=separate_file)

    def done(self, job: Job) -> bool:
        """Whether the results of an earlier run are there."""
        return finished(self.separator, job, self.batch.options)

    def one(self, job: Job, progress: Progress | None = None) -> tuple[list[Path], list[str]]:
        """Separate one song: files written, and lines to read."""
        return self.separate(self.separator, job, self.evidence, self.batch.options, progress)

    def __call__(self, number: int, losses: int = 0) -> Outcome:
        """Song `number` of the batch. One whose worker died may yet be done: it is looked at first."""
        job, remote = self.batch.work[number], self.batch.remote
        try:
            if remote is not None:
                return self._carried(number, job, remote, losses)
            if (self.batch.skip or losses) and self.done(job):
                there = [str(path) for path in job.outputs[:4] if path.is_file()]
                return Outcome(tuple(there) if losses else (), done_before=not losses)
            written, said = self.one(job)
        except Exception as error:
            failure = str(error) if isinstance(error, FewshotSepError) else f"{job.song}: {explain(error)}"
            code = error.exit_code if isinstance(error, FewshotSepError) else 1
            return Outcome(error=remote.own_words(number, job, failure) if remote else failure, exit_code=code)
        return Outcome(tuple(map(str, written)), tuple(said))

    def _carried(self, number: int, job: Job, remote: Remote, losses: int) -> Outcome:
        """One song from a store to a store."""
        if losses and (there := remote.put_before(number)):
            return Outcome(there)
        with remote.fetched(number, job):
            written, said = self.one(job)
            put = remote.put(number, job, written)
        return Outcome(put, tuple(remote.own_words(number, job, line) for line in said))
