"""Stems as files to take away; together they sum to the song."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fewshot_sep import audio, files
from fewshot_sep.songs.app.session import Session
from fewshot_sep.songs.app.tracks import BLOCK, check_room
from fewshot_sep.songs.settings import SUBTYPES, Format

_BYTES = {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}


class Stack(dict[str, audio.Source]):
    """Stems and residual by name; they sum to the song.

    Args:
        format, subtype: of the files, see `fewshot_sep.songs.settings.SUBTYPES`.
    """

    def __init__(self, session: Session, sources: Mapping[str, audio.Source], format: Format, bits: int) -> None:
        super().__init__(sources)
        self.song, self.format, self.subtype = session.song, format, SUBTYPES[format, bits]

    def gain(self) -> float:
        """1, or less where a format cannot hold samples beyond 1: the same for all, so that they sum to the song."""
        if self.subtype == "FLOAT":
            return 1.0
        peak = 1.0
        for source in self.values():
            for at in range(0, source.frames, BLOCK):
                peak = max(peak, float(np.abs(source.read(at, at + BLOCK)).max(initial=0)))
        return 1 / peak

    def write(self, name: str, path: Path, gain: float) -> None:
        """One of them as a file. Raises OutputError."""
        source, song = self[name], self.song
        path.parent.mkdir(parents=True, exist_ok=True)
        check_room(path.parent, song.frames * song.channels * _BYTES[self.subtype])
        with audio.AudioWriter(
            path, song.sample_rate, song.channels, song.frames, self.subtype, dict(song.tags)
        ) as writer:
            for at in range(0, source.frames, BLOCK):
                writer.write(source.read(at, at + BLOCK) * np.float32(gain))


def write_zip(stack: Stack, session: Session, clips: Mapping[str, Path], path: Path) -> None:
    """All of the stack, the session and its clips as one zip, named as on the command line. Raises OutputError.

    Args:
        clips: files by the name that they get in the zip.
    """
    folder, gain = session.song.stem, stack.gain()
    with files.replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as bundle:
        for name in stack:
            part = path.with_name(f"{path.stem}.part.{stack.format}")
            try:
                stack.write(name, part, gain)
                check_room(path.parent, part.stat().st_size)
                bundle.write(part, f"{folder}/{name}.{stack.format}")
            finally:
                part.unlink(missing_ok=True)
        bundle.writestr(f"{folder}/session.json", files.to_json(session.to_json()))
        for name, clip in clips.items():
            bundle.write(clip, f"{folder}/clips/{name}")
