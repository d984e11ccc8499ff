"""The material of a library: what is on disk, given by path, and what comes with Python packages."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, fields
from pathlib import Path

from fewshot_sep.errors import BadAudio
from fewshot_sep.loops.instruments import drumkits, gus_patches, recorded_notes, recordings, singing, soundfonts
from fewshot_sep.loops.instruments.recordings import Recording
from fewshot_sep.loops.instruments.voice import Voice


@dataclass(frozen=True)
class Material:
    """Paths of soundfonts and of folders: Hydrogen drum kits, recorded notes, aligned stems (one folder per song),
    samples named as Sonic Pi's, speakers' clips (they are made to sing), Gravis patches, MIDI files,
    recorded strums named by chord, single drum hits named by drum."""

    soundfonts: tuple[Path, ...] = ()
    drumkits: tuple[Path, ...] = ()
    notes: tuple[Path, ...] = ()
    stems: tuple[Path, ...] = ()
    samples: tuple[Path, ...] = ()
    speech: tuple[Path, ...] = ()
    patches: tuple[Path, ...] = ()
    midi: tuple[Path, ...] = ()
    strums: tuple[Path, ...] = ()
    shots: tuple[Path, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))

    def summary(self) -> str:
        """The material in a few words.

        >>> Material(soundfonts=(Path("fonts/TimGM6mb.sf2"),)).summary()
        'soundfonts TimGM6mb.sf2'
        """
        parts = [(field.name, [path.name for path in getattr(self, field.name)]) for field in fields(self)]
        return "; ".join(f"{name} {', '.join(found)}" for name, found in parts if found)

    def check(self) -> None:
        """Raises `BadAudio` for the first path that does not exist."""
        for field in fields(self):
            for path in getattr(self, field.name):
                if not path.exists():
                    raise BadAudio(f"{path}: not found; give the path of an unpacked source, or leave it out")

    def voices(self) -> list[Voice]:
        """Every voice that can be made of the material."""
        self.check()
        readers = (
            (self.soundfonts, soundfonts.soundfont_voices),
            (self.drumkits, drumkits.drumkit_voices),
            (self.notes, recorded_notes.note_voices),
            (self.samples, drumkits.sample_kit_voices),
            (self.speech, singing.speech_voices),
            (self.patches, gus_patches.patch_voices),
            (self.strums, recorded_notes.strum_voices),
            (self.shots, drumkits.shot_voices),
        )
        return [voice for paths, reader in readers for path in paths for voice in reader(path)]

    def recordings(self) -> list[Recording]:
        """Every recording that is to be cut into pieces."""
        self.check()
        readers = (
            (self.stems, recordings.stems),
            (self.samples, recordings.loops),
            (self.notes, recordings.phrases),
        )
        return [recording for paths, reader in readers for path in paths for recording in reader(path)]


def bundled_soundfont() -> Path | None:
    """The soundfont TimGM6mb that the package pretty_midi brings, if it and tinysoundfont, which plays it, are here."""
    package = importlib.util.find_spec("pretty_midi")
    if package is None or not package.origin or importlib.util.find_spec("tinysoundfont") is None:
        return None
    path = Path(package.origin).with_name("TimGM6mb.sf2")
    return path if path.is_file() else None
