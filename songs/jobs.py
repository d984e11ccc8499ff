"""Which songs to separate, and the names of their results."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from string import Formatter
from typing import NamedTuple

from fewshot_sep.errors import BadAudio, FewshotSepError

AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".caf", ".m4a", ".aac"}
TEMPLATE = "{song}/{name}"
RESIDUAL, REPORT, BEATS = "residual", "report", "beats"


class Outputs(NamedTuple):
    """Where the results of one song go."""

    target: Path
    residual: Path
    report: Path
    picture: Path
    beats: Path

    def there(self) -> bool:
        """Whether an earlier run has finished here."""
        return self.target.is_file() and self.residual.is_file() and self.report.is_file()


class Job(NamedTuple):
    """A song and where its results go."""

    song: Path
    outputs: Outputs


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
        if path.suffix.lower() in AUDIO_SUFFIXES
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
        fields = {field for _, field, _, _ in Formatter().parse(template) if field is not None}
    except ValueError:
        fields = set()
    if fields != {"song", "name"}:
        raise FewshotSepError(f"template {template!r}: needs {{song}} and {{name}}, and no other field")
    path = PurePosixPath(template)
    if path.is_absolute() or ".." in path.parts or "\0" in template:
        raise FewshotSepError(f"template {template!r}: must name files within the output folder")
    return template


def jobs(songs: Iterable[Path], out: Path, name: str, suffix: str, template: str = TEMPLATE) -> list[Job]:
    """One job for each song; for a folder, one for each sound file in it, whose place in it the results keep.

    Songs that would share a name are numbered. What lies in `out` is no song.

    Raises:
        BadAudio: a folder without sound files.
    """
    found: list[Job] = []
    seen: dict[Path, int] = {}
    for given in songs:
        files = [given]
        if given.is_dir():
            files = [file for file in sound_files(given, deep=True) if out.resolve() not in file.resolve().parents]
        for file in files:
            folder = out / (file.parent.relative_to(given) if given.is_dir() else "")
            stem = file.stem or "song"
            seen[folder / stem] = number = seen.get(folder / stem, 0) + 1
            label = stem if number == 1 else f"{stem}-{number}"
            found.append(Job(file, _outputs(folder, template, label, name, suffix)))
    return found


def _outputs(folder: Path, template: str, song: str, name: str, suffix: str) -> Outputs:
    def path(of: str, ending: str) -> Path:
        return folder / (template.format(song=song, name=of) + ending)

    return Outputs(
        path(name, suffix), path(RESIDUAL, suffix), path(REPORT, ".json"), path(REPORT, ".png"), path(BEATS, ".json")
    )
