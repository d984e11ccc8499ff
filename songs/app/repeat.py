"""`fewshot-sep separate --session`: what was decided on the page, done once more without it, with equal output."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from fewshot_sep import audio, files
from fewshot_sep.errors import BadQuery
from fewshot_sep.songs.app import session as sessions
from fewshot_sep.songs.app.export import Stack
from fewshot_sep.songs.app.peel import Peeler
from fewshot_sep.songs.app.session import BadEdit, Clip
from fewshot_sep.songs.jobs import RESIDUAL, Outputs
from fewshot_sep.songs.pipeline import Progress, SongSeparator, part
from fewshot_sep.songs.settings import Format


def repeat(
    separator: SongSeparator,
    song: Path,
    file: Path,
    outputs: Callable[[str], Outputs],
    format: Format,
    bits: int,
    progress: Progress | None = None,
    *,
    strict: bool = False,
) -> tuple[list[Path], list[str]]:
    """Find the stems of a session in its song, and write them, the residual and a report.

    Clips are looked for beside the session, and in the folder `clips` there, as the page's zip has them.

    Args:
        file: the session, as the page saves it.
        outputs: where the results go, by the stem's name.

    Returns:
        The files written, and warnings.

    Raises:
        BadAudio, BadEdit, BadQuery, OutputError.
    """
    try:
        session = sessions.load(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, RecursionError, BadEdit) as error:
        raise BadEdit(f"{file}: {error if isinstance(error, BadEdit) else 'is no JSON'}") from error
    warnings = []
    with audio.open_audio(song, strict=strict) as source, tempfile.TemporaryDirectory(prefix="fewshot-sep-") as folder:
        warnings += source.warnings
        if abs(source.frames / source.sample_rate - session.song.seconds) > 0.1:
            raise BadEdit(f"{file}: is the session of another song, {session.song.name!r}")
        with song.open("rb") as opened:
            if hashlib.file_digest(opened, "sha256").hexdigest() != session.song.digest:
                warnings.append(f"{song}: is not the very file of the session; stems may differ from the page's")
        peeler = Peeler(lambda: separator, source, Path(folder), lambda clip: _find(clip, file))
        stems = session.in_order()
        for number, stem in enumerate(stems):
            peeler.separate(session, stem, part(progress, number / len(stems), (number + 1) / len(stems)))
        found: dict[str, audio.Source] = {stem.name: peeler.track(stem.id) for stem in session.kept}
        found[RESIDUAL] = peeler.remainder(tuple(stem.id for stem in session.kept))
        stack = Stack(session, found, format, bits)
        gain, written, said = stack.gain(), [], {}
        for stem in session.kept:
            result = peeler.result(stem.id)
            said[stem.name] = result.report if result else None
            warnings += [f"{stem.name}: {text}" for text in (result.warnings if result else ())]
        for name in stack:
            path = outputs(name).target if name != RESIDUAL else outputs(session.kept[0].name).residual
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.write(name, path, gain)
            written.append(path)
        where = outputs(session.kept[0].name).report
        files.write_json(where, {"song": str(song), "session": str(file), "warnings": warnings, "stems": said})
    return [*written, where], warnings


def _find(clip: Clip, session: Path) -> Path:
    """A clip's file beside a session, known by its content. Raises BadQuery."""
    names = {sessions.clip_file(clip), sessions.file_name(clip.name)}
    for path in (folder / name for folder in (session.parent / "clips", session.parent) for name in sorted(names)):
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == clip.digest:
            return path
    raise BadQuery(f"the clip {clip.name!r} is not there: put its file beside {session}, or into a folder clips there")
