"""`fewshot-sep separate --session`: what was decided on the page, done once more without it, with equal output."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import replace
from pathlib import Path

from fewshot_sep import audio, files
from fewshot_sep.errors import BadQuery
from fewshot_sep.songs.app import session as sessions
from fewshot_sep.songs.app.export import Stack
from fewshot_sep.songs.app.peel import Peeler
from fewshot_sep.songs.app.session import REST, BadEdit, Clip, Session
from fewshot_sep.songs.jobs import Job, claimed
from fewshot_sep.songs.pipeline import Progress, SongSeparator, part
from fewshot_sep.songs.settings import Format


def repeat(
    separator: SongSeparator,
    job: Job,
    file: Path,
    format: Format,
    bits: int,
    progress: Progress | None = None,
    *,
    strict: bool = False,
) -> tuple[list[Path], list[str]]:
    """Find the stems of a session in its song, and write them and the residual, each with a report.

    Clips are looked for beside the session, and in the folder `clips` there, as the page's zip has them. Stems that
    nothing shows yet are left out.

    Args:
        job: the song, where the residual goes, and the digest of the session; the stems go beside it.
        file: the session, as the page saves it.

    Returns:
        The files written, and lines to read.

    Raises:
        BadAudio, BadEdit, BadQuery, OutputError.
    """
    try:
        session = sessions.load(files.read_json(file))
    except OSError as error:
        raise BadEdit(f"{file}: cannot be read: {error.strerror or error}") from error
    except (ValueError, BadEdit) as error:
        raise BadEdit(f"{file}: {error if isinstance(error, BadEdit) else 'is no JSON'}") from error
    owner = job.owner
    with (
        audio.open_audio(job.song, strict=strict) as source,
        tempfile.TemporaryDirectory(prefix="fewshot-sep-") as folder,
    ):
        warnings = [*source.warnings]
        if abs(source.frames / source.sample_rate - session.song.seconds) > 0.1:
            raise BadEdit(f"{file}: is the session of another song, {session.song.name!r}")
        if owner["song"] != session.song.digest:
            warnings.append(f"{job.song}: is not the very file of the session; stems may differ from the page's")
        session, left_out = _shown(session, file)
        warnings += [f"{name}: left out, nothing shows this instrument yet" for name in left_out]
        peeler = Peeler(lambda: separator, source, Path(folder), lambda clip: _find(clip, file))
        stems = session.in_order()
        for number, stem in enumerate(stems):
            peeler.separate(session, stem, part(progress, number / len(stems), (number + 1) / len(stems)))
        stack = Stack(peeler, session, session.kept, format, bits)
        gain, written = stack.gain(), []
        common = {"song": str(job.song), "digests": owner, "session": str(file), "stems": list(stack)}
        with claimed(job) as job:
            for stem in session.kept:
                result, place = peeler.result(stem.id), job.beside(stem.name)
                assert result
                warnings += [f"{stem.name}: {text}" for text in result.warnings]
                stack.write(stem.name, place.target, gain)
                files.write_json(place.report, common | (result.report or {}))
                written += [place.target, place.report]
            stack.write(REST, job.outputs.target, gain)
            files.write_json(job.outputs.report, common | {"warnings": warnings})
    return [*written, job.outputs.target, job.outputs.report], [f"warning: {text}" for text in warnings]


def _shown(session: Session, file: Path) -> tuple[Session, list[str]]:
    """The session without stems that nothing shows, and their names; what others need stays. Raises BadQuery."""
    needed = session.needed(stem for stem in session.kept if stem.is_shown)
    if not needed:
        raise BadQuery(f"{file}: no stem has a mark or a clip of its instrument")
    left_out = [stem.name for stem in session.kept if stem not in needed]
    return replace(session, stems=tuple(stem for stem in session.stems if stem in needed)), left_out


def _find(clip: Clip, session: Path) -> Path:
    """A clip's file beside a session, known by its content. Raises BadQuery."""
    names = {sessions.clip_file(clip), sessions.file_name(clip.name)}
    for path in (folder / name for folder in (session.parent / "clips", session.parent) for name in sorted(names)):
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == clip.digest:
            return path
    raise BadQuery(f"the clip {clip.name!r} is not there: put its file beside {session}, or into a folder clips there")
