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
from fewshot_sep.loops.composing.patterns import Note
from fewshot_sep.loops.instruments import collections, reverb
from fewshot_sep.loops.instruments.voices import Voice, activity, level, read_mono
from fewshot_sep.loops.library import SAMPLE_RATE, Row, split_of

PIECE_SECONDS, PIECE_ACTIVE, PIECE_DB = 8.0, 0.25, -50.0


class Part(NamedTuple):
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

    def play(self, part: Part, notes: Sequence[Note], frames: int, rng: Generator) -> np.ndarray:
        """A part's notes in the song's room, `(frames,)` float32; as loud as it comes."""
        return reverb.place(self.dry(part, notes, frames, rng), self.room, SAMPLE_RATE, rng)

    def dry(self, part: Part, notes: Sequence[Note], frames: int, rng: Generator) -> np.ndarray:
        """As `play`, without the room."""
        return part.voice.play(notes, frames, rng)

    def row(self, part: Part, path: str, bpm: float, beats: float, song: str, section: str = "") -> Row:
        """The row of a part's file."""
        voice = part.voice
        split = split_of(voice.instrument, self.split, voice.source)
        about = (voice.instrument, voice.family, voice.source, voice.licence)
        return Row(path, *about, bpm, beats, song, split, section, room=self.room)

    def keep(self, folder: Path, number: int, sound: np.ndarray, bpm: float, beats: float) -> Row:
        """Write what part `number` plays, levelled, and return its row."""
        part = self.parts[number]
        path = f"{collections.slug(part.voice.instrument)}/{self.name}-{number}.flac"
        return store(folder, self.row(part, path, bpm, beats, self.name), level(sound))

    def render(self, folder: Path, seed: int) -> list[Row]:
        """Write the song's files into `folder` and return their rows."""
        raise NotImplementedError


def room_of(name: str, seed: int, share: float) -> float:
    """The decay in seconds of a song's room; 0 for all but `share` of the songs."""
    rng = np.random.default_rng((seed, zlib.crc32(name.encode()), 77))
    return round(float(rng.uniform(*reverb.DECAY)), 2) if rng.random() < share else 0.0


def store(folder: Path, row: Row, sound: np.ndarray) -> Row:
    """Write the file of `row` and return the row with its loudness."""
    audio.write(folder / row.path, sound, SAMPLE_RATE, subtype="PCM_16")
    _, rms = activity(sound)
    return replace(row, loudness=round(20 * float(np.log10(max(rms, 1e-6))), 2))


def cut(take: collections.Take, folder: Path) -> list[Row]:
    """Pieces of a recording at fixed positions, so that takes of one group stay together; not the silent ones."""
    sound, rows = read_mono(take.path), []
    size = round(min(PIECE_SECONDS, len(sound) / SAMPLE_RATE / 2) * SAMPLE_RATE)
    if size < 1.5 * SAMPLE_RATE:
        return []
    for start in range(0, len(sound) - size + 1, size):
        piece = sound[start : start + size]
        if is_faint(piece):
            continue
        name = f"{collections.slug(take.group)}@{start / SAMPLE_RATE:05.1f}s"
        path = f"{collections.slug(take.instrument)}/{name}-{collections.slug(Path(take.path).stem)}.flac"
        split = split_of(take.instrument, "train", take.source)
        row = Row(path, take.instrument, take.family, take.source, take.licence, 0.0, 0.0, name, split)
        rows.append(store(folder, row, level(piece)))
    return rows if len(rows) > 1 else []


def is_played(sound: np.ndarray, least_active: float) -> bool:
    """True if a part, at whatever level, plays for long enough; see `activity`."""
    active, rms = activity(sound)
    return bool(active >= least_active and rms > 1e-5 and np.isfinite(sound).all())


def is_faint(piece: np.ndarray) -> bool:
    """True if too little of a piece sounds for it to be learnt from."""
    active, rms = activity(piece)
    return active < PIECE_ACTIVE or rms < 10 ** (PIECE_DB / 20) or not np.isfinite(piece).all()
