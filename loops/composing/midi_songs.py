"""MIDI files as songs: every track played by another suitable voice, the whole cut into pieces that stay aligned."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from fewshot_sep import extras
from fewshot_sep.errors import BadAudio
from fewshot_sep.loops.composing.arrange import by_split
from fewshot_sep.loops.composing.ensemble import Part, Song, draw, grouped, room_of
from fewshot_sep.loops.instruments.general_midi import DRUM_PARTS, PERCUSSION, PROGRAMS
from fewshot_sep.loops.instruments.loudness import is_faint, level
from fewshot_sep.loops.instruments.recordings import PIECE_SECONDS
from fewshot_sep.loops.instruments.sound_files import slug, source_of
from fewshot_sep.loops.instruments.voice import Sound, Voice
from fewshot_sep.loops.library import SAMPLE_RATE, Row
from fewshot_sep.loops.score import Note

PIECES = 2
"""Pieces taken of each file, one after the other from where most is played: each can be the other's query."""
MIN_NOTES = 8
"""A track with fewer notes than this in those pieces is left out."""
MIN_NOTE_S = 0.04
VALID_SONGS, SAME_FAMILY = 0.06, 0.7

_KIT_KEYS = frozenset(key for keys in DRUM_PARTS.values() for key in keys) | {49, 52, 55, 57}


class Track(NamedTuple):
    """What one instrument plays: a General MIDI program, or the name of a drum kit ("drums") or percussion."""

    program: int
    percussion: str
    notes: tuple[Note, ...]


@lru_cache(maxsize=8)
def read(path: str) -> tuple[tuple[Track, ...], float]:
    """The tracks of a MIDI file and its first tempo in beats per minute. Pitch bends and pedals are not followed.

    Raises `BadAudio` if the file is no MIDI file, `EngineMissing` without the package pretty_midi.
    """
    extras.require("render", "pretty_midi")
    import mido
    import pretty_midi

    try:  # clipped: there are files with velocities over 127
        song = pretty_midi.PrettyMIDI(mido_object=mido.MidiFile(path, clip=True))
    except Exception as error:  # these packages let whatever a damaged file causes through
        raise BadAudio(f"{path}: cannot be read as a MIDI file ({error or type(error).__name__})") from error
    pitched = [
        Track(int(part.program), "", tuple(sorted(map(_note, part.notes))))
        for part in song.instruments
        if not part.is_drum
    ]
    struck = sorted(_note(note) for part in song.instruments if part.is_drum for note in part.notes)
    names = {"drums": _KIT_KEYS, **PERCUSSION}
    drums = [Track(0, name, tuple(note for note in struck if note.pitch in keys)) for name, keys in names.items()]
    tracks = [*pitched, *(track for track in drums if track.notes)]
    return tuple(tracks), round(float(song.get_tempo_changes()[1][0]), 1)


def _note(note: Any) -> Note:
    """Of a pretty_midi.Note, which may be as short as its file says."""
    return Note(note.start, max(MIN_NOTE_S, note.end - note.start), float(note.pitch), note.velocity / 127)


def busiest(tracks: Sequence[Track], seconds: float = PIECES * PIECE_SECONDS) -> list[list[Note]]:
    """What each track plays in those `seconds` in which most is played, counted from their start: that of a note.

    >>> busiest([Track(0, "", (Note(0, 1, 60, 1), Note(9, 1, 60, 1), Note(9.5, 1, 60, 1)))], 4.0)[0][1].start
    0.5
    """
    starts = np.sort([note.start for track in tracks for note in track.notes])
    counts = np.searchsorted(starts, starts + seconds) - np.arange(len(starts))
    first = float(starts[np.argmax(counts)]) if len(starts) else 0.0
    return [
        [note._replace(start=note.start - first) for note in track.notes if first <= note.start < first + seconds]
        for track in tracks
    ]


def fitted(notes: Sequence[Note], low: float, high: float) -> list[Note]:
    """All notes moved by the same octaves towards a voice's range, and by more where one is still outside.

    >>> [note.pitch for note in fitted([Note(0, 1, 40, 1), Note(1, 1, 60, 1)], 52, 80)]
    [52, 72]
    """
    if not notes:
        return []
    middle = float(np.median([note.pitch for note in notes]))
    shift = 0 if low <= middle <= high else 12 * round(((low + high) / 2 - middle) / 12)
    lowest = min(note.pitch for note in notes)
    if shift == 0 and lowest < low and max(note.pitch for note in notes) + 12 <= high:
        shift = 12
    moved = []
    for note in notes:
        pitch = note.pitch + shift
        while pitch < low and pitch + 12 <= high:
            pitch += 12
        while pitch > high and pitch - 12 >= low:
            pitch -= 12
        moved.append(note._replace(pitch=pitch))
    return moved


@dataclass(frozen=True)
class Scored(Song):
    """A MIDI file; the role of a part is the number of its track. Pieces of the same moment share `song`."""

    path: str = ""
    licence: str = ""

    def render(self, seed: int) -> Iterator[tuple[Row, Sound]]:
        tracks, bpm = read(self.path)
        played, frames = busiest(tracks), PIECES * round(PIECE_SECONDS * SAMPLE_RATE)
        for number, part in enumerate(self.parts):
            rng = self.generator(seed, number)
            notes = played[int(part.role)]
            if not part.voice.keys and part.voice.instrument != "drums":
                notes = fitted(notes, part.voice.low, part.voice.high)
            sound = self.play(part, humanised(notes, rng), frames, rng)
            sound = level(sound) if np.isfinite(sound).all() and sound.any() else sound
            for index, piece in enumerate(np.split(sound, PIECES)):
                if not is_faint(piece):
                    song = f"{self.name}-{index}"
                    row = self.row(part, f"{song}-{number}", bpm, PIECE_SECONDS * bpm / 60, song)
                    yield replace(row, licence=f"{row.licence}; score {self.licence}"), level(piece)


def humanised(notes: Sequence[Note], rng: Generator) -> list[Note]:
    """Loose timing and velocity, as sequenced files have none: 1 to 8 ms and 6 %."""
    loose = rng.uniform(0.001, 0.008)
    return sorted(
        note._replace(
            start=max(0.0, note.start + rng.normal(0, loose)),
            velocity=float(np.clip(note.velocity * (1 + rng.normal(0, 0.06)), 0.05, 1.0)),
        )
        for note in notes
    )


def midi_files(folder: Path) -> list[Path]:
    """MIDI files in `folder`, at any depth. Raises `BadAudio` if there are none."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".mid", ".midi"))
    if not found:
        raise BadAudio(f"{folder}: has no .mid files; give a folder that has, or leave it out")
    return found


def plan(voices: Sequence[Voice], paths: Iterable[Path], seed: int, room: float) -> list[Song]:
    """A song for each file, `room` of them in a room; files in which fewer than two tracks can be played are left out.

    Valid songs have other voices than train songs; held-out instruments and sources play in none, nor do singers and
    recorded strums, which cannot follow any score.
    """
    able = [voice for voice in voices if voice.kind != "sung" and voice.roles != ("strum",)]
    pools = by_split(able)
    songs: list[Song] = []
    for path in paths:
        source = source_of(path)
        name = f"midi-{source.short}-{slug(path.stem)}"
        rng = np.random.default_rng((seed, 3, zlib.crc32(name.encode())))
        split = "valid" if rng.random() < VALID_SONGS else "train"
        tracks, _ = read(str(path))
        parts: list[Part] = []
        for number, (track, notes) in enumerate(zip(tracks, busiest(tracks), strict=True)):
            taken = {part.voice.instrument for part in parts}
            if len(notes) >= MIN_NOTES and (voice := _suitable(pools[split], track, taken, rng)):
                parts.append(Part(voice, str(number)))
        if len(parts) >= 2:
            songs.append(Scored(name, split, tuple(parts), room_of(name, seed, room), str(path), source.licence))
    return songs


def _suitable(voices: Sequence[Voice], track: Track, taken: set[str], rng: Generator) -> Voice | None:
    """A voice for a track: the same percussion, or mostly of the program's family, else of any; basses for basses."""
    if track.percussion:
        fit = [voice for voice in voices if voice.instrument == track.percussion]
    else:
        program = PROGRAMS.get((0, track.program))
        low = program is not None and program.family == "bass"
        pitched = [voice for voice in voices if not voice.keys and voice.family not in ("drums", "percussion")]
        fit = [voice for voice in pitched if ("bass" in voice.roles if low else set(voice.roles) != {"bass"})]
        family = [voice for voice in fit if program is not None and voice.family == program.family]
        fit = family if family and rng.random() < SAME_FAMILY else fit
    groups = [*grouped((v for v in fit if v.instrument not in taken), attrgetter("instrument")).values()]
    return draw(groups[int(rng.integers(len(groups)))], rng) if groups else None
