"""The material of a library: what is on disk, given by path, and what comes with Python packages."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TypeVar

from fewshot_sep import extras
from fewshot_sep.errors import BadAudio
from fewshot_sep.loops.instruments import drumkits, recorded_notes, recordings, singing, soundfonts
from fewshot_sep.loops.instruments.recordings import Recording
from fewshot_sep.loops.instruments.voice import Voice

_Found = TypeVar("_Found")

_VOICES: dict[str, Callable[[Path], list[Voice]]] = {
    "soundfonts": soundfonts.soundfont_voices,
    "drumkits": drumkits.drumkit_voices,
    "notes": recorded_notes.note_voices,
    "samples": drumkits.sample_kit_voices,
    "speech": singing.speech_voices,
    "strums": recorded_notes.strum_voices,
    "shots": drumkits.shot_voices,
}
_RECORDINGS = {"stems": recordings.stems, "samples": recordings.loops, "notes": recordings.phrases}
_MODULES = {"soundfonts": "tinysoundfont", "speech": "pyworld", "midi": "pretty_midi"}


class Material(NamedTuple):
    """Paths of soundfonts and of folders: Hydrogen drum kits, recorded notes, aligned stems (one folder per song),
    samples named as Sonic Pi's, speakers' clips (they are made to sing), MIDI files, recorded strums named by chord,
    single drum hits named by drum, tracker modules (a folder per package)."""

    soundfonts: tuple[Path, ...] = ()
    drumkits: tuple[Path, ...] = ()
    notes: tuple[Path, ...] = ()
    stems: tuple[Path, ...] = ()
    samples: tuple[Path, ...] = ()
    speech: tuple[Path, ...] = ()
    midi: tuple[Path, ...] = ()
    strums: tuple[Path, ...] = ()
    shots: tuple[Path, ...] = ()
    modules: tuple[Path, ...] = ()

    def __bool__(self) -> bool:
        return any(self)

    def summary(self) -> str:
        """The material in a few words.

        >>> Material(soundfonts=(Path("fonts/TimGM6mb.sf2"),)).summary()
        'soundfonts TimGM6mb.sf2'
        """
        given = [(name, paths) for name, paths in zip(self._fields, self, strict=True) if paths]
        return "; ".join(f"{name} {', '.join(path.name for path in paths)}" for name, paths in given)

    def voices(self) -> list[Voice]:
        """Every voice that can be made of the material. Raises `BadAudio` for a path that does not exist."""
        return self._read(_VOICES)

    def recordings(self) -> list[Recording]:
        """Every recording that is to be cut into pieces. Raises `BadAudio` for a path that does not exist."""
        return self._read(_RECORDINGS)

    def _read(self, readers: Mapping[str, Callable[[Path], list[_Found]]]) -> list[_Found]:
        for name, module in _MODULES.items():
            if getattr(self, name):
                extras.require("render", module)
        for path in chain(*self):
            if not path.exists():
                raise BadAudio(f"{path}: not found; give the path of an unpacked source, or leave it out")
        return [found for name, read in readers.items() for path in getattr(self, name) for found in read(path)]


def bundled_soundfont() -> Path | None:
    """The soundfont TimGM6mb that the package pretty_midi brings, if it and tinysoundfont, which plays it, are here."""
    package = importlib.util.find_spec("pretty_midi")
    if package is None or not package.origin or importlib.util.find_spec("tinysoundfont") is None:
        return None
    path = Path(package.origin).with_name("TimGM6mb.sf2")
    return path if path.is_file() else None
