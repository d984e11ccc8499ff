"""Stems as files to take away; together they sum to the song."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fewshot_sep import audio, files
from fewshot_sep.songs.app.peel import Peeler
from fewshot_sep.songs.app.session import REST, Session, Stem, clip_file
from fewshot_sep.songs.app.tracks import BLOCK, check_room
from fewshot_sep.songs.settings import SUBTYPES, Format

_BYTES = {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}


class Stack(dict[str, audio.Source]):
    """Stems and residual by name; they sum to the song.

    Args:
        stems: of the session, in their order; all of them are found.
        format, bits: of the files, see `fewshot_sep.songs.settings.SUBTYPES`.
    """

    def __init__(self, peeler: Peeler, session: Session, stems: Sequence[Stem], format: Format, bits: int) -> None:
        super().__init__({stem.name: peeler.track(stem.id) for stem in stems})
        self[REST] = peeler.remainder(tuple(stem.id for stem in stems))
        self.session, self.clip_path = session, peeler.clip_path
        self.format, self.subtype = format, SUBTYPES[format, bits]

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
        source, song = self[name], self.session.song
        path.parent.mkdir(parents=True, exist_ok=True)
        check_room(path.parent, song.frames * song.channels * _BYTES[self.subtype])
        with audio.AudioWriter(
            path, song.sample_rate, song.channels, song.frames, self.subtype, dict(song.tags)
        ) as writer:
            for at in range(0, source.frames, BLOCK):
                writer.write(source.read(at, at + BLOCK) * np.float32(gain))

    def write_zip(self, path: Path) -> None:
        """All of them, the session and its clips as one zip, named as on the command line. Raises OutputError."""
        folder, gain = self.session.song.stem, self.gain()
        clips = {clip_file(clip): self.clip_path(clip) for stem in self.session.stems for clip in stem.clips}
        with files.replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as bundle:
            for name in self:
                part = path.with_name(f"{path.stem}.part.{self.format}")
                try:
                    self.write(name, part, gain)
                    check_room(path.parent, part.stat().st_size)
                    bundle.write(part, f"{folder}/{name}.{self.format}")
                finally:
                    part.unlink(missing_ok=True)
            bundle.writestr(f"{folder}/session.json", files.to_json(self.session.to_json()))
            for name, clip in clips.items():
                bundle.write(clip, f"{folder}/clips/{name}")
