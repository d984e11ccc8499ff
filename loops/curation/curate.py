"""Curates a folder of raw loops into a library: hears each file, decides what it is, normalises what is kept.

What was heard and decided stands in the library's `curation.json`; a later run does only what is new or changed, and an
interrupted one goes on where it stopped. The source folder is only read.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

from fewshot_sep import audio, beats, presets, stretch
from fewshot_sep.errors import BadAudio, BadLibrary
from fewshot_sep.loops import library
from fewshot_sep.loops.curation import conform, filenames, loop_chunks
from fewshot_sep.loops.curation.analysis import Heard, listen
from fewshot_sep.loops.curation.decide import (
    COLUMNS,
    EDITABLE,
    STATUSES,
    Decision,
    Edit,
    Evidence,
    decide,
    reject_duplicates,
)
from fewshot_sep.loops.instruments.sound_files import AUDIO_SUFFIXES, slug
from fewshot_sep.loops.library import CSV_NAME, Library, Row, split_of
from fewshot_sep.loops.workers import spread

STATE, DECISIONS, UNDECIDED = "curation.json", "decisions.csv", "undecided.csv"
SUFFIXES = AUDIO_SUFFIXES | {".m4a", ".aac", ".opus", ".aifc", ".caf", ".wma"}
VALID_SHARE = 0.06
_SAVE_EVERY = 20


@dataclass(frozen=True)
class Settings:
    """How a library is made. `gains`: linear factors by instrument, on top of each loop's own level."""

    preset: str = presets.DEFAULT
    stretcher: str = "auto"
    tracker: str = "auto"
    licence: str = "unknown"
    gains: tuple[tuple[str, float], ...] = ()

    def gain(self, instrument: str) -> float:
        """The factor of one instrument, 1 where none was set."""
        return dict(self.gains).get(instrument.lower(), 1.0)


@dataclass
class _Entry:
    """What is known of one source file: its stamp (size, time), what was heard, the user's edit, what was made."""

    stamp: list[int]
    heard: Heard | None = None
    edit: Edit = field(default_factory=Edit)
    mark: str = ""
    pieces: list[str] = field(default_factory=list)
    note: str = ""


@dataclass(frozen=True)
class Curated:
    """What came of it: the library, all decisions, the pieces made of each source file, and what was done to it."""

    library: Library
    decisions: tuple[Decision, ...]
    pieces: Mapping[str, Sequence[str]]
    notes: Mapping[str, str]
    settings: Settings


def curate(
    source: str | Path,
    folder: str | Path,
    settings: Settings | None = None,
    *,
    decisions: str | Path | None = None,
    workers: int | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Curated:
    """Make or bring up to date the library `folder` out of the raw loops under `source`.

    `decisions` is a CSV as this function writes it, edited by the user: cells that were changed win, in this run and
    in later ones. `progress` is told what is being done and the share of it that is.

    Raises `BadAudio` (no source, no sound files in it), `BadLibrary` (the folder holds another library, or lies within
    the source; the CSV has mistakes), `EngineMissing`, `OutputError`.
    """
    source, folder, settings = Path(source), Path(folder), settings or Settings()
    presets.get(settings.preset)
    settings = replace(settings, stretcher=stretch.resolve(settings.stretcher), tracker=beats.resolve(settings.tracker))
    paths = _scan(source, folder)
    entries = _load(folder, source, settings)
    tell = progress or (lambda what, share: None)
    try:
        _listen_all(source, paths, entries, settings, workers, tell, lambda: _save(folder, source, settings, entries))
        entries = {path: entry for path, entry in entries.items() if path in set(paths)} | {
            path: entry for path, entry in entries.items() if path not in set(paths) and entry.pieces
        }
        if decisions is not None:
            _take_edits(Path(decisions), source, paths, entries, settings)
        decided = _decide_all(source, paths, entries, settings)
        _make_all(
            source, folder, decided, entries, settings, workers, tell, lambda: _save(folder, source, settings, entries)
        )
    finally:
        _sweep(folder)
        _save(folder, source, settings, entries)
    made = library.write(folder, _rows(source, decided, entries, settings))
    write_decisions(folder / DECISIONS, decided)
    write_decisions(folder / UNDECIDED, [decision for decision in decided if decision.status == "undecided"])
    pieces = {path: tuple(entries[path].pieces) for path in paths}
    return Curated(made, tuple(decided), pieces, {path: entries[path].note for path in paths}, settings)


def _scan(source: Path, folder: Path) -> list[str]:
    if not source.is_dir():
        raise BadAudio(f"{source}: not a folder; give the folder that holds the raw loops")
    one, other = source.resolve(), folder.resolve()
    if one == other or one in other.parents or other in one.parents:
        raise BadLibrary(f"{folder}: the library must lie outside of {source}, which is never touched")
    found = [path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()]
    kept = [path.relative_to(source) for path in found]
    names = sorted(p.as_posix() for p in kept if not any(x.startswith(".") or x == "__MACOSX" for x in p.parts))
    if not names:
        raise BadAudio(f"{source}: holds no sound files ({', '.join(sorted(SUFFIXES))})")
    return names


def _stamp(path: Path) -> list[int]:
    about = path.stat()
    return [about.st_size, about.st_mtime_ns]


def _load(folder: Path, source: Path, settings: Settings) -> dict[str, _Entry]:
    state = folder / STATE
    if not state.is_file():
        if (folder / CSV_NAME).exists():
            raise BadLibrary(f"{folder}: already holds a library that curate did not make; give another folder")
        return {}
    try:
        past = json.loads(state.read_text(encoding="utf-8"))
        entries = {
            path: _Entry(
                item["stamp"],
                Heard(**item["heard"]) if item["heard"] else None,
                Edit(**item["edit"]),
                item["mark"],
                item["pieces"],
                item["note"],
            )
            for path, item in past["files"].items()
        }
        same = past["settings"]["tracker"] == settings.tracker
        before = past["source"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadLibrary(f"{state}: damaged ({error}); delete the folder and curate again") from error
    if before != str(source.resolve()):
        raise BadLibrary(f"{folder}: was curated from {before}; give that folder, or another library")
    if not same:
        for entry in entries.values():
            entry.heard = None
    return entries


def _save(folder: Path, source: Path, settings: Settings, entries: dict[str, _Entry]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        "source": str(source.resolve()),
        "settings": {**asdict(settings), "gains": dict(settings.gains)},
        "files": {path: asdict(entry) for path, entry in sorted(entries.items())},
    }
    part = folder / f".{STATE}.{os.getpid()}.part"
    part.write_text(json.dumps(state), encoding="utf-8")
    part.replace(folder / STATE)


def _sweep(folder: Path) -> None:
    """Remove what an interrupted worker had begun to write."""
    for part in folder.glob("*/.*.part"):
        part.unlink(missing_ok=True)


def _hear(job: tuple[Path, str, str]) -> tuple[str, list[int], Heard]:
    source, path, tracker = job
    stamp = _stamp(source / path)
    return path, stamp, listen(source / path, tracker)


def _listen_all(
    source: Path,
    paths: list[str],
    entries: dict[str, _Entry],
    settings: Settings,
    workers: int | None,
    tell: Callable[[str, float], None],
    save: Callable[[], None],
) -> None:
    jobs = []
    for path in paths:
        entry = entries.get(path)
        if entry is None or entry.heard is None or entry.stamp != _stamp(source / path):
            jobs.append((source, path, settings.tracker))
    with contextlib.closing(spread(_hear, jobs, workers)) as answers:
        for count, (path, stamp, heard) in enumerate(answers, 1):
            entry = entries.setdefault(path, _Entry(stamp))
            entry.stamp, entry.heard = stamp, heard
            if count % _SAVE_EVERY == 0:
                save()
            tell("listening", count / len(jobs))


def _decide_all(
    source: Path, paths: list[str], entries: dict[str, _Entry], settings: Settings, with_edits: bool = True
) -> list[Decision]:
    decided, target = [], conform.tempo_of(presets.get(settings.preset))
    for path in paths:
        heard, edit = entries[path].heard or Heard(error="not heard"), entries[path].edit if with_edits else Edit()
        said = loop_chunks.LoopInfo()
        with contextlib.suppress(OSError):
            said = loop_chunks.read(source / path)
        evidence = Evidence(
            path, heard, filenames.instrument(path), filenames.tempo(path), filenames.beats(path), said, edit
        )
        decision = decide(evidence)
        if decision.status == "kept" and conform.plan(decision.bpm, decision.beats, target) is None:
            decision = replace(decision, status="undecided", reason=f"{decision.beats:g} beats do not fill four")
        decided.append(decision)
    wanted = frozenset(path for path in paths if with_edits and entries[path].edit.status == "kept")
    return reject_duplicates(decided, {path: entries[path].heard or Heard() for path in paths}, wanted)


def write_decisions(path: Path, decisions: Sequence[Decision]) -> None:
    """Write a table of decisions, whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(astuple(decision) for decision in decisions)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _take_edits(table: Path, source: Path, paths: list[str], entries: dict[str, _Entry], settings: Settings) -> None:
    """Note as the user's what a table says otherwise than this program would by itself.

    A line of an undecided loop that was changed anywhere counts as confirmed: the loop is kept if nothing is missing.
    """
    own = {decision.path: decision for decision in _decide_all(source, paths, entries, settings, with_edits=False)}
    try:
        text = table.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise BadLibrary(f"{table}: cannot be read ({error.strerror}); give a decisions.csv") from error
    head = text.split("\n", 1)[0]
    reader = csv.DictReader(text.splitlines(), delimiter=";" if ";" in head and "," not in head else ",")
    if "path" not in (reader.fieldnames or ()):
        raise BadLibrary(f"{table}: has no column path; edit a decisions.csv or undecided.csv that curate wrote")
    for record in reader:
        path = (record["path"] or "").strip()
        if path not in own:
            raise BadLibrary(f"{table}, line {reader.line_num}: no loop {path!r} in {source}; remove the line")
        entries[path].edit = _edit(record, own[path], f"{table}, line {reader.line_num}")


def _edit(record: Mapping[str, str | None], own: Decision, where: str) -> Edit:
    changed: dict[str, Any] = {}
    for column in EDITABLE:
        text, mine = (record.get(column) or "").strip(), getattr(own, column)
        if not text or text == str(mine):
            continue
        if isinstance(mine, float):
            try:
                value: Any = float(text.replace(",", "."))
            except ValueError:
                raise BadLibrary(f"{where}: {column} {text!r} is not a number") from None
            if value == mine or (value == 0 and column != "start"):
                continue
            if not 0 <= value < 2000:
                raise BadLibrary(f"{where}: {column} {text} is out of range")
        else:
            value = text.lower()
        changed[column] = value
    if changed.get("status", STATUSES[0]) not in STATUSES:
        raise BadLibrary(f"{where}: status {changed['status']!r} is none of {', '.join(STATUSES)}")
    if changed.get("status") == "undecided":
        changed.pop("status")
    if changed and own.status == "undecided":  # whoever changes a line has seen the rest of it
        changed.setdefault("status", "kept")
    return Edit(**changed)


@dataclass(frozen=True)
class _Making:
    source: Path
    folder: Path
    decision: Decision
    heard: Heard
    settings: Settings
    mark: str


def _mark(decision: Decision, heard: Heard, settings: Settings) -> str:
    """Changes when the pieces of a loop would come out differently."""
    about = (decision.instrument, decision.bpm, decision.beats, decision.start, heard.sha256)
    how = (settings.preset, settings.stretcher, settings.gain(decision.instrument))
    return f"{zlib.crc32(repr((about, how)).encode()):08x}"


def _make(job: _Making) -> tuple[str, str, list[str], str]:
    """Write the pieces of one loop; answers with its path, its mark, the pieces' paths and what was done."""
    decision, preset = job.decision, presets.get(job.settings.preset)
    how = conform.plan(decision.bpm, decision.beats, conform.tempo_of(preset))
    assert how is not None
    samples, rate = audio.read(job.source / decision.path)
    ends = [job.heard.seconds, job.heard.seconds - job.heard.tail_s]
    last = conform.span(decision.bpm, decision.beats, decision.start, ends)
    cut = conform.pieces(samples, rate, decision.start, last, decision.beats, how, preset, job.settings.stretcher)
    gain = job.settings.gain(decision.instrument)
    stem = slug(Path(decision.path).stem)[:60]
    name = f"{slug(decision.instrument)}/{stem}-{zlib.crc32(decision.path.encode(errors='surrogateescape')):08x}"
    written = []
    for number, piece in enumerate(cut):
        loud = piece * piece.dtype.type(gain)
        suffix = "flac" if abs(loud).max() <= 1 else "wav"  # float wav keeps what is beyond full scale
        written.append(f"{name}-{number}.{suffix}")
        audio.write(job.folder / written[-1], loud, preset.sample_rate)
    notes = [how.note()] + [f"gain x{gain:g}"] * (gain != 1)
    return decision.path, job.mark, written, "; ".join(note for note in notes if note)


def _make_all(
    source: Path,
    folder: Path,
    decided: list[Decision],
    entries: dict[str, _Entry],
    settings: Settings,
    workers: int | None,
    tell: Callable[[str, float], None],
    save: Callable[[], None],
) -> None:
    """Write the pieces that are not there yet, remove those of loops that are no longer kept."""
    jobs, kept = [], set()
    for decision in decided:
        if decision.status != "kept":
            continue
        kept.add(decision.path)
        entry = entries[decision.path]
        heard = entry.heard or Heard()
        mark = _mark(decision, heard, settings)
        if entry.mark != mark or not all((folder / piece).is_file() for piece in entry.pieces):
            jobs.append(_Making(source, folder, decision, heard, settings, mark))
    for path in [path for path in entries if path not in kept]:
        _remove(folder, entries[path], [])
        if path not in {decision.path for decision in decided}:
            del entries[path]
    with contextlib.closing(spread(_make, jobs, workers)) as answers:
        for count, (path, mark, written, note) in enumerate(answers, 1):
            entry = entries[path]
            _remove(folder, entry, written)
            entry.mark, entry.pieces, entry.note = mark, written, note
            if count % _SAVE_EVERY == 0:
                save()
            tell("normalising", count / len(jobs))


def _remove(folder: Path, entry: _Entry, but: list[str]) -> None:
    for piece in entry.pieces:
        if piece not in but:
            (folder / piece).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # not empty yet
                (folder / piece).parent.rmdir()
    entry.mark, entry.pieces, entry.note = "", [], ""


def pack_of(path: str, source: Path) -> str:
    """The pack that a loop is from: its top folder; the whole source where that names but an instrument.

    >>> pack_of("Funky Vol 1/Drums/a.wav", Path("loops")), pack_of("Drums/a.wav", Path("my pack"))
    ('funky-vol-1', 'my-pack')
    """
    folders = path.split("/")[:-1]
    named = [folder for folder in folders if not filenames.names_only_an_instrument(folder)]
    return slug(named[0]) if named else slug(source.resolve().name)


def _rows(source: Path, decided: list[Decision], entries: dict[str, _Entry], settings: Settings) -> Iterator[Row]:
    """Rows of the library: one for each piece; packs, never single loops, are drawn for validation."""
    bpm = round(conform.tempo_of(presets.get(settings.preset)), 3)
    packs = {pack_of(decision.path, source) for decision in decided}
    valid = {pack for pack in packs if zlib.crc32(pack.encode()) / 2**32 < VALID_SHARE}
    valid = valid if valid != packs else set()
    for decision in decided:
        if decision.status != "kept":
            continue
        pack = pack_of(decision.path, source)
        split = split_of(decision.instrument, "valid" if pack in valid else "train")
        name = f"{decision.instrument} ({pack})" if filenames.is_vague(decision.instrument) else decision.instrument
        about = (name, decision.family, pack, settings.licence, bpm, float(conform.BEATS), "", split)
        for piece in sorted(entries[decision.path].pieces):
            yield Row(piece, *about)
