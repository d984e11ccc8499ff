"""Which songs to separate, and the names of their results: decided for the whole batch before any work.

No result takes the place of another's. A place is free where nothing lies, or a result of the same song and the same
evidence; else the next number is tried. Whose a result is stands in its report, as digests of both. As another run may
have come in between, a place is claimed and looked at once more when work on the song begins.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import hashlib
import itertools
import json
import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from string import Formatter
from typing import Any, NamedTuple

from fewshot_sep import files
from fewshot_sep.errors import BadAudio, FewshotSepError
from fewshot_sep.songs import claims

TEMPLATE = "{song}/{name}"
RESIDUAL, REPORT, BEATS = ".residual", ".report", "beats"
MAX_NAME_BYTES = 255 - len(".residual.flac") - len("-9999")
"""Of what the template makes: what is longer is cut."""


class Outputs(NamedTuple):
    """Where the results of one song go: the target and, under its name, what belongs to it; the song's beats."""

    target: Path
    residual: Path
    report: Path
    picture: Path
    beats: Path


class Job(NamedTuple):
    """A song, where its results go, and the digest of the evidence.

    Attributes:
        place: of the results, without their endings.
        folder, label: by which it was named.
    """

    song: Path
    outputs: Outputs
    evidence: str
    place: Path
    folder: Path
    label: str
    places: _Places

    @property
    def owner(self) -> dict[str, str]:
        """Whose the results are, as reports have it. Raises BadAudio."""
        return {"song": digest(self.song), "evidence": self.evidence}

    def beside(self, name: str) -> Outputs:
        """A place of its own for another result of the same song and evidence."""
        return self.places.name(self.song, self.folder, self.label, name)[1]

    def report(self) -> dict[str, Any]:
        """What an earlier run with this song and evidence has reported here; empty where none has finished."""
        content = _report(self.outputs.report)
        if _owner(content) != (digest(self.song), self.evidence):
            return {}
        return content if self.outputs.target.is_file() and self.outputs.residual.is_file() else {}


def sound_files(folder: Path, *, deep: bool = False) -> list[Path]:
    """The sound files in a folder, in order, but for hidden ones.

    Args:
        deep: whether to search the folders within it too.

    Raises:
        BadAudio: there is none.
    """
    found = sorted(
        path
        for path in (folder.rglob("*") if deep else folder.iterdir())
        if path.suffix.lower() in files.SOUND_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not found:
        raise BadAudio(f"{folder}: holds no sound files; give a sound file, or a folder of them")
    return found


def check_template(template: str) -> str:
    """The template if it can name files: it has the fields {song} and {name}, and stays in its folder.

    Raises:
        FewshotSepError: it cannot.

    >>> check_template("{song} - {name}")
    '{song} - {name}'
    """
    try:
        parts = [part for part in Formatter().parse(template) if part[1] is not None]
    except ValueError:
        parts = []
    if {field for _, field, _, _ in parts} != {"song", "name"} or any(form or how for _, _, form, how in parts):
        raise FewshotSepError(f"template {template!r}: needs {{song}} and {{name}} as they are, and no other field")
    path = PurePosixPath(template)
    if path.is_absolute() or ".." in path.parts or "\0" in template:
        raise FewshotSepError(f"template {template!r}: must name files within the output folder")
    return template


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes. Raises BadAudio where it cannot be read."""
    try:
        facts = path.stat()
        if not path.is_file():
            raise BadAudio(
                f"{path}: is a directory, not a sound file" if path.is_dir() else f"{path}: is not a regular file"
            )
        return _digest(path, facts.st_size, facts.st_mtime_ns)
    except FileNotFoundError as error:
        raise BadAudio(f"{path}: no such file") from error
    except OSError as error:
        raise BadAudio(f"{path}: cannot be read: {error.strerror or error}") from error


def _known_digest(song: Path) -> str | None:
    """None for a song that cannot be read: that is said when its turn comes."""
    try:
        return digest(song)
    except BadAudio:
        return None


@functools.lru_cache(maxsize=1024)
def _digest(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def evidence_digest(roles: Mapping[str, Sequence[Path | tuple[float, float]]]) -> str:
    """One digest of all evidence: by its role, files and folders of them, and passages in seconds. Raises BadAudio."""
    found: dict[str, list[object]] = {}
    for role, items in roles.items():
        for item in items:
            if isinstance(item, Path):
                found.setdefault(role, []).extend(map(digest, sound_files(item) if item.is_dir() else [item]))
            else:
                found.setdefault(role, []).append(list(item))
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def jobs(
    songs: Iterable[Path], out: Path, name: str, suffix: str, template: str = TEMPLATE, evidence: str = ""
) -> list[Job]:
    """One job for each song; for a folder, one for each sound file in it, whose place in it the results keep.

    Args:
        name: of the target.
        suffix: of sound files that are written.
        evidence: its digest.

    Raises:
        BadAudio: a folder without songs.
    """
    found = [(file, folder) for given in songs for file, folder in _songs(given, out)]
    return assigned(found, name, suffix, template, evidence)


def assigned(
    found: Sequence[tuple[Path, Path]],
    name: str,
    suffix: str,
    template: str = TEMPLATE,
    evidence: str = "",
    taken: Sequence[Path] = (),
) -> list[Job]:
    """One job for each song and the folder that its results go to; no place is one that is `taken`."""
    places = _Places(template, name, suffix, evidence, [*(file for file, _ in found), *taken])
    return [places.take(file, folder) for file, folder in found]


@contextlib.contextmanager
def claimed(job: Job) -> Iterator[Job]:
    """The job, whose place no other run takes until the block ends; where one has taken it, with the next free place.

    Raises:
        BadAudio, OutputError.
    """
    while True:
        with claims.claim(job.place, {"digests": job.owner}) as is_ours:
            if is_ours and job.places.is_free(job):
                yield job
                return
        job = job.places.move(job)


def _songs(given: Path, out: Path) -> Iterator[tuple[Path, Path]]:
    """Files and the folders that their results go to. Results of earlier runs are no songs."""
    if not given.is_dir():
        yield given, out
        return
    within = out.resolve() != given.resolve() and out.resolve().is_relative_to(given.resolve())
    files = sound_files(given, deep=True)
    kept = [
        file for file in files if not _is_result(file) and not (within and file.resolve().is_relative_to(out.resolve()))
    ]
    if not kept:
        raise BadAudio(f"{given}: holds results of earlier runs, but no songs")
    for file in kept:
        yield file, out / file.parent.relative_to(given)


def _is_result(file: Path) -> bool:
    stem = file.stem.removesuffix(RESIDUAL)
    before = (file.parent / "report.json").is_file() and (file.parent / f"residual{file.suffix}").is_file()
    return before or (file.parent / f"{stem}{REPORT}.json").is_file()


class _Places:
    """Hands out places for results, none twice, also where the file system takes "A" for "a"."""

    def __init__(self, template: str, name: str, suffix: str, evidence: str, songs: Iterable[Path]) -> None:
        self._template, self._name, self._suffix, self._evidence = template, name, suffix, evidence
        self._taken = {_key(song) for song in songs}

    def take(self, song: Path, folder: Path) -> Job:
        """A song with the first free place."""
        label, name = _cut(self._template, "song" if not song.stem.strip(".") else song.stem, self._name)
        label = next(
            each
            for each in _numbered(label)
            if self._key_of(folder, each) not in self._taken and self._belongs_to(song, folder, each)
        )
        self._taken.add(self._key_of(folder, label))
        place, outputs = self.name(song, folder, label, name)
        return Job(song, outputs, self._evidence, place, folder, label, self)

    def name(self, song: Path, folder: Path, label: str, name: str) -> tuple[Path, Outputs]:
        """The first free place of that name among those with the label."""
        while len(name) > 1 and _longest(self._template, label, name) > MAX_NAME_BYTES:
            name = name[:-1]
        for each in _numbered(name):
            place = self._place(folder, label, each)
            outputs = self._outputs(place, self._place(folder, label, BEATS))
            keys = {_key(path) for path in outputs[:-1]}  # the song's beats are of all of its places
            if not keys & self._taken and self._is_free(song, outputs):
                self._taken |= keys
                return place, outputs
        raise AssertionError("numbers do not end")

    def is_free(self, job: Job) -> bool:
        """Whether its place still is."""
        return self._is_free(job.song, job.outputs) and self._belongs_to(job.song, job.folder, job.label)

    def move(self, job: Job) -> Job:
        """The job with the next free place."""
        self._taken.discard(self._key_of(job.folder, job.label))
        return self.take(job.song, job.folder)

    def _belongs_to(self, song: Path, folder: Path, label: str) -> bool:
        """Whether no other song's results have this label, of an earlier run or of one that is at work."""
        place = self._place(folder, label, "\0")
        pattern = glob.escape(str(place)).replace("\0", "*") + f"{REPORT}.json"
        reports = [_report(Path(path)) for path in glob.glob(pattern)]  # noqa: PTH207
        owners = [_owner(found)[0] for found in (*reports, *claims.contents(place))]
        return all(owner == _known_digest(song) for owner in owners if owner)

    def _is_free(self, song: Path, outputs: Outputs) -> bool:
        *own, _ = outputs
        if not any(os.path.lexists(path) for path in own):
            return True
        return _owner(_report(outputs.report)) == (_known_digest(song), self._evidence)

    def _place(self, folder: Path, label: str, name: str) -> Path:
        return folder / self._template.format(song=label, name=name)

    def _key_of(self, folder: Path, label: str) -> str:
        return _key(self._place(folder, label, "*"))

    def _outputs(self, place: Path, beats: Path) -> Outputs:
        def path(ending: str) -> Path:
            return place.with_name(place.name + ending)

        return Outputs(
            path(self._suffix),
            path(RESIDUAL + self._suffix),
            path(f"{REPORT}.json"),
            path(f"{REPORT}.png"),
            beats.with_name(f"{beats.name}.json"),
        )


def _numbered(name: str) -> Iterator[str]:
    yield name
    for number in itertools.count(2):
        yield f"{name}-{number}"


def _cut(template: str, song: str, name: str) -> tuple[str, str]:
    """Both, cut so that what the template makes of them is no longer than a file's name may be."""
    while _longest(template, song, name) > MAX_NAME_BYTES and len(song) + len(name) > 2:
        song, name = (song[:-1], name) if len(os.fsencode(song)) >= len(os.fsencode(name)) else (song, name[:-1])
    return song, name


def _longest(template: str, song: str, name: str) -> int:
    """Bytes of the longest name of a file or folder that the template makes."""
    return max(len(os.fsencode(part)) for part in template.format(song=song, name=name).split("/"))


def _key(path: Path) -> str:
    """The same for names that some file system takes for one."""
    real = os.path.realpath(path)
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", real).casefold())


def _report(path: Path) -> dict[str, Any]:
    try:
        content = files.read_json(path)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _owner(report: object) -> tuple[str, str]:
    """Digests of the song and the evidence that a report, or a claim, is of."""
    found = report.get("digests") if isinstance(report, dict) else None
    found = found if isinstance(found, dict) else {}
    return str(found.get("song", "")), str(found.get("evidence", ""))
