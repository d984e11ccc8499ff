"""Curates a folder of raw loops into a library: analyses each file, decides what it is, normalises what is kept.

What was found and decided stands in the library's `curation.json`; a later run does only what is new or changed, and an
interrupted one is resumed. The source folder is only read.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from fewshot_sep import audio, beats, files, presets, stretch
from fewshot_sep.errors import BadAudio, BadLibrary
from fewshot_sep.loops import library
from fewshot_sep.loops.curation import conform, edits, filenames, loop_chunks, state
from fewshot_sep.loops.curation.analysis import Analysis, analyse
from fewshot_sep.loops.curation.decide import Decision, Edit, Evidence, decide, reject_duplicates
from fewshot_sep.loops.curation.state import Entry
from fewshot_sep.loops.instruments import sound_files
from fewshot_sep.loops.instruments.sound_files import slug
from fewshot_sep.loops.library import Library, Row, split_of
from fewshot_sep.workers import answers_of

VALID_SHARE = 0.06
_SAVE_EVERY = 20

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Settings:
    """How a library is made. `gains`: linear factors by instrument, on top of each loop's own level."""

    preset: str = presets.DEFAULT
    stretcher: str = "auto"
    tracker: str = "auto"
    licence: str = "unknown"
    gains: Mapping[str, float] = field(default_factory=dict)

    def gain(self, instrument: str) -> float:
        """The factor of one instrument, 1 where none was set."""
        return self.gains.get(instrument.lower(), 1.0)


@dataclass(frozen=True)
class Curated:
    """What came of it: the library, all decisions, and what is known of each source file, by its path."""

    library: Library
    decisions: tuple[Decision, ...]
    entries: Mapping[str, Entry]
    settings: Settings

    def of_status(self, status: str) -> list[Decision]:
        """The decisions that are "kept", "rejected" or "undecided"."""
        return [decision for decision in self.decisions if decision.status == status]


def curate(
    source: str | Path,
    folder: str | Path,
    settings: Settings | None = None,
    *,
    decisions: str | Path | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    progress: Callable[[float, str], None] = lambda share, what: None,
) -> Curated:
    """Make or bring up to date the library `folder` out of the raw loops under `source`.

    Args:
        decisions: a CSV as this function writes it, edited by the user: cells that were changed win, in this run and in
            later ones.
        workers, cluster: see `fewshot_sep.workers.answers_of`; all machines must see both folders.
        progress: is called with the share that is done, and of what.

    Raises:
        BadAudio: no source, no sound files in it.
        BadLibrary: the folder holds another library, or lies within the source; the CSV has mistakes.
        EngineMissing, OutputError: as everywhere.
    """
    source, folder, settings = Path(source), Path(folder), settings or Settings()
    presets.get(settings.preset)
    settings = replace(settings, stretcher=stretch.resolve(settings.stretcher), tracker=beats.resolve(settings.tracker))
    run = _Run(source, folder, settings, workers, cluster, progress)
    try:
        run.analyse()
        if decisions is not None:
            run.read_edits(Path(decisions))
        decided = run.decide()
        run.make(decided)
    finally:
        for instrument in folder.glob("*/"):  # what an interrupted worker had begun to write
            files.sweep(instrument)
        run.save()
    made = library.write(folder, run.rows(decided))
    curated = Curated(made, tuple(decided), {path: run.entries[path] for path in run.paths}, settings)
    edits.write(folder / edits.DECISIONS, decided)
    edits.write(folder / edits.UNDECIDED, curated.of_status("undecided"))
    return curated


@dataclass
class _Run:
    """One run: the source's files by path, and what is known of each."""

    source: Path
    folder: Path
    settings: Settings
    workers: int | None
    cluster: str | None
    progress: Callable[[float, str], None]

    def __post_init__(self) -> None:
        self.paths = _scan(self.source, self.folder)
        self.entries = state.load(self.folder, self.source, self.settings.tracker)
        self.bpm = conform.tempo_of(presets.get(self.settings.preset))

    def save(self) -> None:
        state.save(self.folder, self.source, asdict(self.settings), self.entries)

    def _all(self, what: str, work: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
        """Answers to all jobs as they come; the state is saved, and the progress told, on the way."""
        with contextlib.closing(answers_of(work, jobs, self.workers, self.cluster)) as answers:
            for count, answer in enumerate(answers, 1):
                yield answer
                if count % _SAVE_EVERY == 0:
                    self.save()
                self.progress(count / len(jobs), what)

    def analyse(self) -> None:
        """Analyse what is new or changed, and forget what is gone and left nothing behind."""
        jobs = [
            (self.source, path, self.settings.tracker)
            for path in self.paths
            if path not in self.entries or self.entries[path].stamp != _stamp(self.source / path)
        ]
        for path, stamp, analysis in self._all("analysing", _analyse, jobs):
            entry = self.entries.setdefault(path, Entry(stamp))
            entry.stamp, entry.analysis = stamp, analysis
        here = set(self.paths)
        self.entries = {path: entry for path, entry in self.entries.items() if path in here or entry.pieces}

    def read_edits(self, table: Path) -> None:
        """Note as the user's what a table says otherwise than this program would by itself."""
        own = {decision.path: decision for decision in self.decide(with_edits=False)}
        for path, edit in edits.read(table, own).items():
            self.entries[path].edit = edit

    def decide(self, with_edits: bool = True) -> list[Decision]:
        """What each file is, duplicates rejected."""
        decided = []
        for path in self.paths:
            chunk = loop_chunks.LoopInfo()
            with contextlib.suppress(OSError):
                chunk = loop_chunks.read(self.source / path)
            entry = self.entries[path]
            decision = decide(Evidence(path, entry.analysis, chunk, entry.edit if with_edits else Edit()))
            if decision.status == "kept" and conform.plan(decision.bpm, decision.beats, self.bpm) is None:
                decision = replace(decision, status="undecided", reason=f"{decision.beats:g} beats do not fill four")
            decided.append(decision)
        wanted = frozenset(path for path in self.paths if with_edits and self.entries[path].edit.status == "kept")
        return reject_duplicates(decided, {path: self.entries[path].analysis for path in self.paths}, wanted)

    def make(self, decided: Sequence[Decision]) -> None:
        """Write the pieces that are not there yet, remove those of loops that are no longer kept."""
        kept = {decision.path: decision for decision in decided if decision.status == "kept"}
        jobs = []
        for path, decision in kept.items():
            entry = self.entries[path]
            job = _Job(self.source, self.folder, decision, entry.analysis, self.settings)
            if entry.recipe != job.recipe() or not all((self.folder / piece).is_file() for piece in entry.pieces):
                jobs.append(job)
        for path in self.entries.keys() - kept.keys():
            self._replace(path, "", [], "")
            if path not in self.paths:
                del self.entries[path]
        for made in self._all("normalising", _make, jobs):
            self._replace(*made)

    def _replace(self, path: str, recipe: str, pieces: list[str], note: str) -> None:
        """Note the new pieces of a loop, and remove the old ones."""
        entry = self.entries[path]
        for piece in set(entry.pieces) - set(pieces):
            file = files.inside(self.folder, piece)
            if not file.parent.resolve().is_relative_to(self.folder.resolve()):
                continue  # through a link: nothing of this library
            file.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # not empty yet
                file.parent.rmdir()
        entry.recipe, entry.pieces, entry.note = recipe, pieces, note

    def rows(self, decided: Sequence[Decision]) -> Iterator[Row]:
        """Rows of the library: one for each piece; packs, never single loops, are drawn for validation."""
        packs = {pack_of(decision.path, self.source) for decision in decided}
        valid = {pack for pack in packs if zlib.crc32(pack.encode()) / 2**32 < VALID_SHARE}
        valid = valid if valid != packs else set()
        for decision in decided:
            pack, name = pack_of(decision.path, self.source), decision.instrument
            split = split_of(name, "valid" if pack in valid else "train", pack)
            name = f"{name} ({pack})" if filenames.is_vague(name) else name
            for piece in sorted(self.entries[decision.path].pieces):
                about = (name, decision.family, pack, self.settings.licence, round(self.bpm, 3), float(conform.BEATS))
                yield Row(piece, *about, song="", split=split)


def _scan(source: Path, folder: Path) -> list[str]:
    """The source's sound files, relative to it, with forward slashes."""
    if not source.is_dir():
        raise BadAudio(f"{source}: not a folder; give the folder that holds the raw loops")
    one, other = source.resolve(), folder.resolve()
    if one.is_relative_to(other) or other.is_relative_to(one):
        raise BadLibrary(f"{folder}: the library must lie outside of {source}, which is never touched")
    kept = [path.relative_to(source) for path in sound_files.among(source.rglob("*")) if path.is_file()]
    names = sorted(p.as_posix() for p in kept if not any(x.startswith(".") or x == "__MACOSX" for x in p.parts))
    if not names:
        raise BadAudio(f"{source}: holds no sound files ({', '.join(sorted(files.SOUND_SUFFIXES))})")
    return names


def _stamp(path: Path) -> list[int]:
    about = path.stat()
    return [about.st_size, about.st_mtime_ns]


def _analyse(job: tuple[Path, str, str]) -> tuple[str, list[int], Analysis]:
    source, path, tracker = job
    return path, _stamp(source / path), analyse(source / path, tracker)


class _Job(NamedTuple):
    """A loop whose pieces are to be written."""

    source: Path
    folder: Path
    decision: Decision
    analysis: Analysis
    settings: Settings

    def recipe(self) -> str:
        """Changes when the pieces would come out differently."""
        decision, settings = self.decision, self.settings
        about = (decision.instrument, decision.bpm, decision.beats, decision.start, self.analysis.sha256)
        how = (settings.preset, settings.stretcher, settings.gain(decision.instrument))
        return f"{zlib.crc32(repr((about, how)).encode()):08x}"


def _make(job: _Job) -> tuple[str, str, list[str], str]:
    """Write the pieces of one loop; answers with its path, recipe, the pieces' paths and what was done."""
    decision, preset, sound = job.decision, presets.get(job.settings.preset), job.analysis
    how = conform.plan(decision.bpm, decision.beats, conform.tempo_of(preset))
    assert how is not None
    samples, rate = audio.read(job.source / decision.path)
    last = conform.span(decision.bpm, decision.beats, decision.start, [sound.seconds, sound.seconds - sound.tail_s])
    cut = conform.pieces(samples, rate, decision.start, last, decision.beats, how, preset, job.settings.stretcher)
    gain = job.settings.gain(decision.instrument)
    stem = slug(Path(decision.path).stem)[:60]
    name = f"{slug(decision.instrument)}/{stem}-{zlib.crc32(decision.path.encode(errors='surrogateescape')):08x}"
    written = []
    for number, piece in enumerate(cut):
        amplified = piece * piece.dtype.type(gain)
        suffix = "flac" if abs(amplified).max() <= 1 else "wav"  # float wav keeps what is beyond full scale
        written.append(f"{name}-{number}.{suffix}")
        audio.write(job.folder / written[-1], amplified, preset.sample_rate)
    notes = [how.note()] + [f"gain x{gain:g}"] * (gain != 1)
    return decision.path, job.recipe(), written, "; ".join(note for note in notes if note)


def pack_of(path: str, source: Path) -> str:
    """The pack that a loop is from: its top folder; the whole source where that names but an instrument.

    >>> pack_of("Funky Vol 1/Drums/a.wav", Path("loops")), pack_of("Drums/a.wav", Path("my pack"))
    ('funky-vol-1', 'my-pack')
    """
    named = [folder for folder in path.split("/")[:-1] if not filenames.names_only_an_instrument(folder)]
    return slug(named[0]) if named else slug(source.resolve().name)
