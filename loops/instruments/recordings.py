"""Recordings to be cut into pieces: stems of songs, phrases of single instruments, loops."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from fewshot_sep.loops import tables
from fewshot_sep.loops.instruments import sound_files
from fewshot_sep.loops.instruments.general_midi import percussion_family
from fewshot_sep.loops.instruments.loudness import is_faint, level
from fewshot_sep.loops.instruments.recorded_notes import NOTE_FOLDERS, STRUCK_FOLDERS, places
from fewshot_sep.loops.instruments.sound_files import read_mono, slug, source_of
from fewshot_sep.loops.instruments.voice import Sound
from fewshot_sep.loops.library import SAMPLE_RATE, Row, is_held_out, split_of

PIECE_SECONDS, MIN_PIECE_SECONDS = 8.0, 1.5
"""Length of pieces; of shorter recordings, halves."""


class Recording(NamedTuple):
    """A recording to be cut into pieces: where it is, what it is. Recordings of one `group` start together."""

    path: str
    instrument: str
    family: str
    source: str
    licence: str
    group: str

    @property
    def name(self) -> str:
        return self.path

    def render(self, seed: int) -> list[tuple[Row, Sound]]:
        """Pieces at fixed positions, so that those of one group stay together, without the silent ones; 2 or more."""
        sound = read_mono(self.path)
        size = round(min(PIECE_SECONDS, len(sound) / SAMPLE_RATE / 2) * SAMPLE_RATE)
        if size < MIN_PIECE_SECONDS * SAMPLE_RATE:
            return []
        pieces = [(start, sound[start : start + size]) for start in range(0, len(sound) - size + 1, size)]
        rows = [(self._row(start / SAMPLE_RATE), level(piece)) for start, piece in pieces if not is_faint(piece)]
        return rows if len(rows) > 1 else []

    def _row(self, start: float) -> Row:
        song = f"{slug(self.group)}@{start:05.1f}s"
        path = f"{slug(self.instrument)}/{song}-{slug(Path(self.path).stem)}.flac"
        split = split_of(self.instrument, "train", self.source)
        return Row(path, self.instrument, self.family, self.source, self.licence, 0.0, 0.0, song, split)


_STEM_NAMES = tables.beside(__file__, "stem_names.csv")
_LOOPS = {row["sample"]: (row["instrument"], row["family"]) for row in tables.beside(__file__, "sample_loops.csv")}
_PHRASE, _ODD = re.compile("phrase|rhythm"), re.compile("pizz|col-legno|harmonic|effect|subtone")


def stems(folder: Path) -> list[Recording]:
    """The stems of one song (a folder of aligned files) with the instrument that each file's name says."""
    source, found = source_of(folder), []
    for path in sound_files.among(folder.iterdir()):
        row = next(row for row in _STEM_NAMES if re.search(row["pattern"], path.stem.lower()))
        instrument, family = row["instrument"] or path.stem.replace("_", " "), row["family"]
        if family not in ("voice", "drums"):  # the name leaves the sound open
            instrument = f"{instrument} ({source.short})"
        found.append(Recording(str(path), instrument, family, *source.part(path.stem), folder.name))
    return found


def phrases(folder: Path) -> list[Recording]:
    """What is played in phrases or rhythms in folders of recorded notes (see `recorded_notes`), each on its own.

    Left out are folders that the tables do not know, and playing that hardly sounds like the instrument.
    """
    source = source_of(folder)
    known = {row["folder"]: (row["instrument"], percussion_family(row["instrument"])) for row in STRUCK_FOLDERS}
    known |= {row["folder"]: (row["instrument"], row["family"]) for row in reversed(NOTE_FOLDERS)}
    return [
        Recording(str(path), *known[place.name], *source, source.part(path.stem).short)
        for place in places(folder)
        if place.name in known and not is_held_out(known[place.name][0])
        for path in sound_files.among(place.iterdir())
        if _PHRASE.search(path.stem) and not _ODD.search(path.stem)
    ]


def loops(folder: Path) -> list[Recording]:
    """The longer loops under a folder of samples, those that `sample_loops.csv` knows, each on its own.

    Of loops from LMMS and Scratch only those whose name says which one instrument plays.
    """
    source, known = source_of(folder), [path for path in sound_files.among(folder.rglob("*")) if path.stem in _LOOPS]
    named = [(path, source.part(path.stem)) for path in known]
    return [Recording(str(path), *_LOOPS[path.stem], *own, own.short) for path, own in named]
