"""Finds songs with stems in a folder, in the forms in which they are published.

- A folder per song with a file per stem (MUSDB18-HQ, ...); a mixture beside them is left out.
- A folder per song with a folder per stem, whose files are summed (MoisesDB).
- `*.stem.mp4` (MUSDB18, Native Instruments).
- URMP: `AuSep_1_vn_01_Jupiter.wav`, one for each player.
- Frets on Fire: `guitar.ogg`, `song.ogg` and, where there are, `rhythm.ogg` and `drums.ogg`.

Stems that play the same instrument are one source. Nothing is decoded but the names in a `.stem.mp4`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fewshot_sep import audio
from fewshot_sep.errors import BadItems
from fewshot_sep.experiments.evaluation.case import Array
from fewshot_sep.files import SOUND_SUFFIXES, parse_json
from fewshot_sep.loops.curation import filenames

STEM_MP4 = ".stem.mp4"
SUFFIXES = SOUND_SUFFIXES - {".mp4"}
MUSDB = ("drums", "bass", "other", "vocals")
URMP = {
    "vn": "violin",
    "va": "viola",
    "vc": "cello",
    "db": "double bass",
    "fl": "flute",
    "ob": "oboe",
    "cl": "clarinet",
    "sax": "saxophone",
    "bn": "bassoon",
    "tpt": "trumpet",
    "hn": "french horn",
    "tbn": "trombone",
    "tba": "tuba",
}
_MIXTURES = {"mix", "mixture", "master", "mixdown", "full", "full mix", "preview"}
_NAMELESS = {"other", "others", "rest", "song", "backing", "backing track", "accompaniment", "instrumental", "misc"}


class Stem(NamedTuple):
    """One source of a song: files that sound together. `instrument` is empty where the name does not say one."""

    name: str
    instrument: str
    parts: tuple[tuple[Path, int], ...]
    """Files, each with the number of its audio stream."""

    def load(self) -> tuple[Array, int]:
        """The sum of all parts, `(channels, samples)`, at the first one's rate; shorter ones end in silence."""
        loaded = [audio.read(path, stream=stream) for path, stream in self.parts]
        rate = loaded[0][1]
        return total([audio.resample(samples, its_rate, rate) for samples, its_rate in loaded]), rate


class Song(NamedTuple):
    name: str
    stems: tuple[Stem, ...]


def total(sounds: Iterable[Array]) -> Array:
    """The sum of sounds of any length, mono or stereo."""
    sounds = list(sounds)
    out = np.zeros((max(len(s) for s in sounds), max(s.shape[1] for s in sounds)), np.float32)
    for sound in sounds:
        out[:, : sound.shape[1]] += sound
    return out


def find(folder: Path) -> list[Song]:
    """All songs below a folder that have at least two stems, by name.

    Raises:
        BadItems: there is no such folder, or no song in it.
    """
    if not folder.is_dir():
        raise BadItems(f"{folder}: no such folder; give one that holds songs with stems")
    songs = [song for song in _songs(folder) if len(song.stems) > 1]
    if not songs:
        raise BadItems(f"{folder}: holds no songs with stems; it takes a folder per song with a file per instrument")
    names: dict[str, int] = {}
    numbered = []
    for song in sorted(songs, key=lambda song: song.name):
        names[song.name] = names.get(song.name, 0) + 1
        again = f"_{names[song.name]}" if names[song.name] > 1 else ""
        numbered.append(song._replace(name=song.name + again))
    return numbered


def _songs(folder: Path) -> Iterator[Song]:
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    for entry in entries:
        if entry.name.lower().endswith(STEM_MP4):
            yield _song(entry.name[: -len(STEM_MP4)], _streams(entry))
    folders = [entry for entry in entries if entry.is_dir()]
    files = _sounds(folder)
    if len(files) > 1:
        yield _song(folder.name, ((_stem_name(file), file, 0) for file in files))
    elif 2 * sum(map(_is_stem, folders)) > len(folders):  # names of some say no instrument: "wind"
        yield _song(folder.name, ((entry.name, file, 0) for entry in folders for file in _sounds(entry)))
    else:
        for entry in folders:
            yield from _songs(entry)


def _sounds(folder: Path) -> list[Path]:
    files = (file for file in sorted(folder.iterdir()) if file.suffix.lower() in SUFFIXES and file.is_file())
    return [file for file in files if not file.name.startswith((".", "AuMix_")) and _plain(file.stem) not in _MIXTURES]


def _is_stem(folder: Path) -> bool:
    """Whether a folder is a stem, not a song: it is called after an instrument and holds sound files."""
    name = _plain(folder.name)
    return bool(_sounds(folder)) and (name in _NAMELESS or filenames.instrument(name) is not None)


def _stem_name(file: Path) -> str:
    """The stem's own name: of `AuSep_1_vn_01_Jupiter.wav`, violin."""
    player = re.match(r"AuSep_\d+_([a-z]+)_", file.name)
    return URMP.get(player[1], player[1]) if player else file.stem


def _song(name: str, parts: Iterable[tuple[str, Path, int]]) -> Song:
    stems: dict[str, Stem] = {}
    for label, path, stream in parts:
        instrument = instrument_of(label)
        key = instrument or _plain(label)
        before = stems[key].parts if key in stems else ()
        stems[key] = Stem(key, instrument, (*before, (path, stream)))
    return Song(re.sub(r"[^\w.-]+", "_", name).strip("_") or "song", tuple(stems.values()))


def instrument_of(name: str) -> str:
    """The instrument that a stem's name says; empty where it may be anything.

    >>> instrument_of("02 Gtr"), instrument_of("sea_shanty_whistler"), instrument_of("other")
    ('guitar', 'sea shanty whistler', '')
    """
    plain = _plain(name)
    if plain in _NAMELESS:
        return ""
    found = filenames.instrument(plain)
    return found.name if found else plain


def _plain(name: str) -> str:
    """Lower case, words parted by single spaces, no numbers around them."""
    return re.sub(r"[\W_]+", " ", name).strip().lower().strip("0123456789 ") or name.lower()


def _streams(path: Path) -> Iterator[tuple[str, Path, int]]:
    """The stems of a `.stem.mp4`: its streams after the first, which is the mixture."""
    for number, name in enumerate(_names_in(path) or MUSDB, 1):
        yield name, path, number


def _names_in(path: Path) -> list[str]:
    """The names in Native Instruments' `stem` box, a JSON object; none where there is no such box."""
    data = path.read_bytes()
    at = data.find(b'stem{"')
    if at < 4:
        return []
    size = int.from_bytes(data[at - 4 : at], "big")
    try:
        return [str(stem["name"]) for stem in parse_json(data[at + 4 : at - 4 + size].decode())["stems"]]
    except (ValueError, KeyError, TypeError):
        return []
