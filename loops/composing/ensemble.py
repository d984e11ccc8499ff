"""What every kind of song shares: its parts, the room it is played in, and how a sound gets into the library."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from fewshot_sep import audio
from fewshot_sep.loops.instruments import reverb
from fewshot_sep.loops.instruments.loudness import activity, level
from fewshot_sep.loops.instruments.recordings import Recording
from fewshot_sep.loops.instruments.sound_files import read_mono, slug
from fewshot_sep.loops.instruments.voice import Sound, Voice
from fewshot_sep.loops.library import SAMPLE_RATE, Row, split_of
from fewshot_sep.loops.score import Note

PIECE_SECONDS, MIN_PIECE_SECONDS = 8.0, 1.5
"""Length of pieces; of shorter recordings, halves."""
MIN_PIECE_ACTIVE, MIN_PIECE_DBFS = 0.25, -50.0


class Part(NamedTuple):
    """A voice and what it plays: melody, bass, beat and the like."""

    voice: Voice
    role: str


@dataclass(frozen=True)
class Song:
    """The parts of one song, before anything is rendered. `room` is the decay of its room in seconds, 0 for none."""

    name: str
    split: str
    parts: tuple[Part, ...]
    room: float = 0.0

    def plan(self) -> tuple[object, ...]:
        """What decides how this song will sound, apart from the seed; free of paths."""
        parts = tuple((part.voice.instrument, part.voice.source, part.role) for part in self.parts)
        return type(self).__name__, self.name, parts, self.room

    def generator(self, seed: int, *more: int) -> Generator:
        """Random numbers for this song, or for something numbered within it."""
        return np.random.default_rng((seed, zlib.crc32(self.name.encode()), *more))

    def play(self, part: Part, notes: Sequence[Note], frames: int, rng: Generator) -> Sound:
        """A part's notes in the song's room, `(frames,)` float32; as loud as it comes."""
        return reverb.place(self.dry(part, notes, frames, rng), self.room, SAMPLE_RATE, rng)

    def dry(self, part: Part, notes: Sequence[Note], frames: int, rng: Generator) -> Sound:
        """As `play`, without the room."""
        return part.voice.play(notes, frames, rng)

    def row(self, part: Part, path: str, bpm: float, beats: float, song: str, section: str = "") -> Row:
        """The row of a part's file."""
        voice = part.voice
        split = split_of(voice.instrument, self.split, voice.source)
        about = (voice.instrument, voice.family, voice.source, voice.licence)
        return Row(path, *about, bpm, beats, song, split, section, room=self.room)

    def keep(self, folder: Path, number: int, sound: Sound, bpm: float, beats: float) -> Row:
        """Write what part `number` plays, levelled, and return its row."""
        part = self.parts[number]
        path = f"{slug(part.voice.instrument)}/{self.name}-{number}.flac"
        return store(folder, self.row(part, path, bpm, beats, self.name), level(sound))

    def render(self, folder: Path, seed: int) -> list[Row]:
        """Write the song's files into `folder` and return their rows."""
        raise NotImplementedError


def room_of(name: str, seed: int, share: float) -> float:
    """The decay in seconds of a song's room; 0 for all but `share` of the songs."""
    rng = np.random.default_rng((seed, zlib.crc32(name.encode()), 77))
    return round(float(rng.uniform(*reverb.DECAY)), 2) if rng.random() < share else 0.0


def store(folder: Path, row: Row, sound: Sound) -> Row:
    """Write the file of `row` and return the row with its loudness."""
    audio.write(folder / row.path, sound, SAMPLE_RATE, subtype="PCM_16")
    _, rms = activity(sound)
    return replace(row, loudness=round(20 * float(np.log10(max(rms, 1e-6))), 2))


def cut(recording: Recording, folder: Path) -> list[Row]:
    """Pieces of a recording at fixed positions, so that those of one group stay together; not the silent ones."""
    path, instrument, family, source, licence, group = recording
    sound, rows = read_mono(path), []
    size = round(min(PIECE_SECONDS, len(sound) / SAMPLE_RATE / 2) * SAMPLE_RATE)
    if size < MIN_PIECE_SECONDS * SAMPLE_RATE:
        return []
    for start in range(0, len(sound) - size + 1, size):
        piece = sound[start : start + size]
        if is_faint(piece):
            continue
        song = f"{slug(group)}@{start / SAMPLE_RATE:05.1f}s"
        file = f"{slug(instrument)}/{song}-{slug(Path(path).stem)}.flac"
        split = split_of(instrument, "train", source)
        row = Row(file, instrument, family, source, licence, 0.0, 0.0, song, split)
        rows.append(store(folder, row, level(piece)))
    return rows if len(rows) > 1 else []


def is_played(sound: Sound, min_active: float) -> bool:
    """True if a part, at whatever level, plays for long enough; see `activity`."""
    active, rms = activity(sound)
    return bool(active >= min_active and rms > 1e-5 and np.isfinite(sound).all())


def is_faint(piece: Sound) -> bool:
    """True if too little of a piece sounds for it to be learnt from."""
    active, rms = activity(piece)
    return active < MIN_PIECE_ACTIVE or rms < 10 ** (MIN_PIECE_DBFS / 20) or not np.isfinite(piece).all()
