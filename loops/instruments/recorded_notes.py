"""Folders of recorded notes, of struck things and of strums, one instrument a folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from fewshot_sep.loops import tables
from fewshot_sep.loops.instruments import sound_files
from fewshot_sep.loops.instruments.amplifier import amplified
from fewshot_sep.loops.instruments.general_midi import percussion_family
from fewshot_sep.loops.instruments.sampler import Hit, KitVoice, RecordedNote, SampledVoice, StrumVoice
from fewshot_sep.loops.instruments.sound_files import source_of
from fewshot_sep.loops.instruments.voice import Playable, Voice
from fewshot_sep.loops.library import is_held_out

NOTE_FOLDERS = tables.beside(__file__, "note_folders.csv")
"""Folder and articulation (a pattern on the file's stem) to instrument, family and parts; `transpose` is by how many
semitones the notes sound above what the names say."""
STRUCK_FOLDERS = tables.beside(__file__, "struck_folders.csv")
"""Folder and pattern on the file's stem to percussion instrument and how long it rings in seconds."""
MIN_NOTES, MIN_STRUMS, MAX_HITS = 8, 24, 6

_DYNAMICS = {row["mark"]: float(row["loudness"]) for row in tables.beside(__file__, "dynamics.csv")}
_NOTE = re.compile(r"(?:^|[_-]|\d\ds)([A-Ga-g])(s|#|b)?(\d)(?=[_-]|$|v\d+$|s?(?:pp?|m[pf]|ff?)$)")
_NO_NOTE = re.compile("noise|phrase")
_NO_HIT = re.compile("phrase|roll|rhythm|very-long|cresc|gliss|effect|flam")
_STEP = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
_SHIFT = {"s": 1, "#": 1, "sharp": 1, "b": -1, "flat": -1, None: 0}


def note_pitch(stem: str) -> int | None:
    """The MIDI pitch named in a file's stem.

    >>> [note_pitch(stem) for stem in ("cello_As2_15_forte_arco-normal", "pizz_eb1_pc", "A#3v12", "noise_3")]
    [46, 27, 58, None]
    """
    match = _NOTE.search(stem)
    return 12 * (int(match[3]) + 1) + _STEP[match[1].lower()] + _SHIFT[match[2]] if match else None


def loudness(stem: str) -> float:
    """The loudness in [0, 1] that a file's stem says: a dynamic mark, or one of the Salamander piano's 16 velocities.

    >>> [loudness(stem) for stem in ("oboe_A4_1_forte_normal", "pizz_eb1_pc", "A#3v12", "A3")]
    [0.85, 0.3, 0.75, 0.6]
    """
    if layer := re.search(r"\dv(\d+)$", stem):
        return int(layer[1]) / 16
    marks = [*stem.split("_"), *re.split("[_-]", stem)]  # mezzo-piano has a hyphen of its own
    marks += re.findall(r"\ds?(pp?|m[pf]|ff?)$", stem)[:1]
    return next((_DYNAMICS[mark] for mark in marks if mark in _DYNAMICS), 0.6)


def places(folder: Path) -> list[Path]:
    """The folder and those in it."""
    return [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]


def note_voices(folder: Path) -> list[Voice]:
    """Voices of a folder of recorded notes, or of a folder of such folders, one per instrument.

    Pitched files carry their note in the name (`cello_A2_05_forte_arco-normal`, `pizz_eb1_pc`, `A#3`); folders of
    struck things without notes (`tambourine`) become percussion. A folder that the table does not know is an
    instrument of its own name.
    """
    source = source_of(folder)
    voices: list[Voice] = []
    for place in places(folder):
        name = re.sub("[-_]", " ", place.name)
        sounds = sound_files.among(place.iterdir())
        if not sounds or is_held_out(name):
            continue
        notes = [
            RecordedNote(pitch, loudness(path.stem), str(path))
            for path in sounds
            if (pitch := note_pitch(path.stem)) is not None and not _NO_NOTE.search(path.stem)
        ]
        known = [row for row in NOTE_FOLDERS if row["folder"] == place.name]
        other = {"articulation": "", "instrument": name, "family": "other", "roles": "melody counter", "transpose": "0"}
        for row in known or [other]:
            files = tuple(
                note._replace(pitch=note.pitch + int(row["transpose"]))
                for note in notes
                if re.search(row["articulation"], Path(note.path).stem)
            )
            if len(files) >= MIN_NOTES:
                pitches = [note.pitch for note in files]
                roles = tuple(row["roles"].split())
                played = Playable(row["instrument"], row["family"], roles, min(pitches), max(pitches))
                plain = SampledVoice(*played, *source, files)
                voices += [plain, *amplified(plain)]
        for row in STRUCK_FOLDERS if not notes else ():
            if row["folder"] == place.name and (hits := _hits(sounds, row["pattern"])):
                name, keys = row["instrument"], tuple(hit.key for hit in hits)
                struck = Playable(name, percussion_family(name), ("beat",), keys=keys)
                own = source if name != "shaker" else source.part(place.name)  # there are several
                voices.append(KitVoice(*struck, *own, hits, float(row["ring"])))
    return voices


def _hits(sounds: Sequence[Path], pattern: str) -> tuple[Hit, ...]:
    """Up to `MAX_HITS` of the single hits that are called so, from all over the folder, each on a key of its own."""
    single = [path for path in sounds if re.search(pattern, path.stem) and not _NO_HIT.search(path.stem)]
    chosen = single if not pattern else single[:: max(1, len(single) // MAX_HITS)]
    return tuple(Hit(index, 1.0, str(path)) for index, path in enumerate(chosen[:MAX_HITS]))


_CHORDS = {"major": (0, 4, 7), "minor": (0, 3, 7), "minor7b5": (0, 3, 6, 10)}
_STRUM = re.compile(r"^([A-G])(sharp|flat)? ?(major|minor7b5|minor|minro7b5)_(?:(?:UP|DOWN|Down)_)?\d+(?:wav)?$")


def strum_chord(stem: str) -> tuple[int, ...] | None:
    """The pitch classes, root first, of the chord that a recorded strum is named after.

    >>> strum_chord("Csharp minor_UP_02"), strum_chord("Bflat major_00"), strum_chord("Cmajor")
    ((1, 4, 8), (10, 2, 5), None)
    """
    match = _STRUM.match(stem)
    if not match:
        return None
    root = _STEP[match[1].lower()] + _SHIFT[match[2]]
    return tuple((root + step) % 12 for step in _CHORDS[match[3].replace("minro", "minor")])


def strum_voices(folder: Path) -> list[Voice]:
    """A guitar for each folder under `folder` that holds 24 recorded strums or more named by their chords."""
    guitar = Playable("steel guitar", "guitar", ("strum",), 40, 79)
    voices: list[Voice] = []
    for place in sorted({path.parent for path in sound_files.among(folder.rglob("*"))}):
        sounds = sound_files.among(place.iterdir())
        strums = tuple((chord, str(path)) for path in sounds if (chord := strum_chord(path.stem)))
        if len(strums) >= MIN_STRUMS:
            voices.append(StrumVoice(*guitar, *source_of(place), strums))
    return voices
