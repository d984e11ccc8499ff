"""Recordings to be cut into pieces: stems of songs, phrases of single instruments, loops."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from fewshot_sep.loops import tables
from fewshot_sep.loops.instruments import sound_files
from fewshot_sep.loops.instruments.general_midi import percussion_family
from fewshot_sep.loops.instruments.recorded_notes import NOTE_FOLDERS, STRUCK_FOLDERS, places
from fewshot_sep.loops.instruments.sources import source_of
from fewshot_sep.loops.library import is_held_out


class Recording(NamedTuple):
    """A recording to be cut into pieces: where it is, what it is. Recordings of one `group` start together."""

    path: str
    instrument: str
    family: str
    source: str
    licence: str
    group: str


_STEM_NAMES = tables.beside(__file__, "stem_names.csv")
_LOOPS = {row["sample"]: (row["instrument"], row["family"]) for row in tables.beside(__file__, "sample_loops.csv")}
_PHRASE, _ODD = re.compile("phrase|rhythm"), re.compile("pizz|col-legno|harmonic|effect|subtone")


def stems(folder: Path) -> list[Recording]:
    """The stems of one song (a folder of aligned files) with the instrument that each file's name says."""
    source, found = source_of(folder), []
    for path in sound_files.among(folder.iterdir()):
        name = path.stem.lower()
        named = [row for row in _STEM_NAMES if re.search(row["pattern"], name) and not name.startswith("melody")]
        instrument, family = path.stem.replace("_", " "), "synth"
        if named:
            instrument, family = named[0]["instrument"], named[0]["family"]
        if family not in ("voice", "drums"):  # the name leaves the sound open
            instrument = f"{instrument} ({source.short})"
        own = f"{source.short}/{path.stem}"
        found.append(Recording(str(path), instrument, family, own, source.licence, folder.name))
    return found


def phrases(folder: Path) -> list[Recording]:
    """What is played in phrases or rhythms in folders of recorded notes (see `recorded_notes`), each on its own.

    Left out are folders that the tables do not know, and playing that hardly sounds like the instrument.
    """
    short, licence, _ = source_of(folder)
    known = {place: (row["instrument"], percussion_family(row["instrument"])) for place, row in STRUCK_FOLDERS.items()}
    known |= {row["folder"]: (row["instrument"], row["family"]) for row in reversed(NOTE_FOLDERS)}
    return [
        Recording(str(path), *known[place.name], short, licence, f"{short}/{path.stem}")
        for place in places(folder)
        if place.name in known and not is_held_out(known[place.name][0])
        for path in sound_files.among(place.iterdir())
        if _PHRASE.search(path.stem) and not _ODD.search(path.stem)
    ]


def loops(folder: Path) -> list[Recording]:
    """The longer loops under a folder of samples, those that `sample_loops.csv` knows, each on its own.

    Of loops from LMMS and Scratch only those whose name says which one instrument plays.
    """
    short, licence, _ = source_of(folder)
    found = [(path, f"{short}/{path.stem}") for path in sound_files.among(folder.rglob("*")) if path.stem in _LOOPS]
    return [Recording(str(path), *_LOOPS[path.stem], name, licence, name) for path, name in found]
