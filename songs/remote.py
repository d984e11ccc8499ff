"""A batch whose results, and songs if need be, lie in object stores: planned here, carried by the workers."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fewshot_sep import files, stores
from fewshot_sep.errors import BadAudio, FewshotSepError
from fewshot_sep.songs.jobs import REPORT, RESIDUAL, Job, assigned, sound_files
from fewshot_sep.stores import Note, Store


@dataclass(frozen=True)
class RemoteSong:
    """A song as it is called, where it is fetched from (None: it is a file here), and the key of its results."""

    name: str
    source: Store | None
    key: str


@dataclass(frozen=True)
class Remote:
    """What workers on any machine need to know.

    Attributes:
        stage: a folder on each machine in which results are made.
        out: the store they are put into.
        songs: by number, as in the batch.
    """

    stage: Path
    out: Store
    songs: list[RemoteSong]

    def put_before(self, number: int) -> tuple[str, ...]:
        """The results that are in the store, of a worker that died after it had put them."""
        note = self.out.notes().get(self.songs[number].key)
        return tuple(f"{self.out.url}/{name}" for name in note.objects) if note and note.done else ()

    @contextlib.contextmanager
    def fetched(self, number: int, job: Job) -> Iterator[None]:
        """The song is in its place while the block runs; nothing of it, nor of its results, stays behind."""
        source = self.songs[number].source
        try:
            if source is not None:
                source.fetch("", job.song)
            yield
        finally:
            for path in (*job.outputs, *([job.song] if source is not None else [])):
                path.unlink(missing_ok=True)

    def put(self, number: int, job: Job, written: Sequence[Path]) -> tuple[str, ...]:
        """Put results into the store, the report last; their URLs."""
        song = self.songs[number]
        content = files.read_json(job.outputs.report)
        files.write_json(job.outputs.report, {**content, "song": song.name})
        beats = [job.outputs.beats] if job.outputs.beats.is_file() else []
        ordered = sorted({*written, *beats}, key=lambda path: (path == job.outputs.report, path))
        names = tuple(path.relative_to(self.stage / "out").as_posix() for path in ordered)
        self.out.note(song.key, Note(names, False))
        for path, name in zip(ordered, names, strict=True):
            self.out.put(name, path)
        self.out.note(song.key, Note(names, True))
        return tuple(f"{self.out.url}/{path.relative_to(self.stage / 'out').as_posix()}" for path in written)

    def own_words(self, number: int, job: Job, text: str) -> str:
        """A message in which the song and its results have the names that the user knows."""
        return text.replace(str(job.song), self.songs[number].name).replace(str(self.stage / "out"), self.out.url)

    def close(self) -> None:
        shutil.rmtree(self.stage, ignore_errors=True)


def plan(
    songs: Iterable[Path],
    out: str,
    name: str,
    suffix: str,
    template: str,
    evidence: str,
    settings: object,
    skip: bool,
) -> tuple[list[Job], Remote, list[str]]:
    """Jobs, as `fewshot_sep.songs.jobs.jobs` plans them, and what carries them; songs that are left out as done before.

    What an earlier run of the same song, evidence and settings has left half-written is removed; no other object is
    overwritten.

    Args:
        songs: files and folders, here or in stores.
        settings: what results depend on besides song and evidence.

    Raises:
        BadAudio: no songs. EngineMissing, FewshotSepError: stores that cannot be opened.
    """
    stage = Path(tempfile.gettempdir()) / f"fewshot-sep-{secrets.token_hex(8)}"
    store = Store(out)
    notes, taken = store.notes(), set(store.names())
    there: dict[Path, RemoteSong] = {}
    left_out: list[str] = []
    for given in songs:
        for path, song in _found(given, stage, (evidence, settings, name, suffix, template)).items():
            note = notes.get(song.key)
            if note is not None and note.done and skip:
                left_out.append(song.name)
                continue
            if note is not None:
                if not note.done:
                    store.clear(song.key, note)
                taken -= set(note.objects)
            there[path] = song
    root, to = stage / "songs", stage / "out"
    found = [(path, to / path.parent.relative_to(root) if path.is_relative_to(root) else to) for path in there]
    planned = assigned(found, name, suffix, template, evidence, [to / each for each in taken])
    return planned, Remote(stage, store, [there[job.song] for job in planned]), left_out


def _found(given: Path, stage: Path, settings: object) -> dict[Path, RemoteSong]:
    """The songs in a file, a folder or a URL, each with the path at which it is separated."""
    url = stores.as_url(given)
    if url is None:
        paths = sound_files(given, deep=True) if given.is_dir() else [given]
        facts = {path: path.stat() for path in paths if path.exists()}
        if not facts:
            raise BadAudio(f"{given}: no such file")
        return {
            path: RemoteSong(str(path), None, stores.key(str(path), fact.st_size, fact.st_mtime_ns, settings))
            for path, fact in facts.items()
        }
    store, found = Store(url), {}
    names = store.names()
    for name, version in names.items():
        own = f"{store.url}/{name}".rstrip("/")
        if not name or _is_song(name, names):
            place = stage / "songs" / (name or own.rsplit("/", 1)[-1])
            found[place] = RemoteSong(own, Store(own), stores.key(own, version, settings))
    if not found:
        raise BadAudio(f"{url}: no such song, nor a folder of songs")
    return found


def _is_song(name: str, names: Mapping[str, str]) -> bool:
    """Whether an object is a sound, not hidden, and not the result of an earlier run."""
    path = PurePosixPath(name)
    report = path.with_name(f"{path.stem.removesuffix(RESIDUAL)}{REPORT}.json")
    hidden = any(part.startswith(".") for part in path.parts)
    return path.suffix.lower() in files.SOUND_SUFFIXES and not hidden and str(report) not in names


def refuse_urls(songs: Iterable[Path]) -> None:
    """Raise FewshotSepError where a song is in a store but the results are to go into a folder."""
    for song in songs:
        if url := stores.as_url(song):
            raise FewshotSepError(f"{url}: songs in a store go with results in one: -o {url.split('://')[0]}://...")
