"""What every kind of song shares: its parts, the room it is played in, and the rows of its sounds."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.random import Generator

from fewshot_sep.loops.instruments import reverb
from fewshot_sep.loops.instruments.sound_files import slug
from fewshot_sep.loops.instruments.voice import Sound, Voice
from fewshot_sep.loops.library import SAMPLE_RATE, Row, split_of
from fewshot_sep.loops.score import Note

_Key = TypeVar("_Key", bound=Hashable)


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

    def row(self, part: Part, stem: str, bpm: float, beats: float, song: str, section: str = "") -> Row:
        """The row of a part's file, which is called `stem`."""
        voice = part.voice
        split = split_of(voice.instrument, self.split, voice.source)
        about = (voice.instrument, voice.family, voice.source, voice.licence)
        return Row(f"{slug(voice.instrument)}/{stem}.flac", *about, bpm, beats, song, split, section, room=self.room)

    def render(self, seed: int) -> Iterator[tuple[Row, Sound]]:
        """The song's files: their rows, without loudness, and what is in them."""
        raise NotImplementedError


def room_of(name: str, seed: int, share: float) -> float:
    """The decay in seconds of a song's room; 0 for all but `share` of the songs."""
    rng = np.random.default_rng((seed, zlib.crc32(name.encode()), 77))
    return round(float(rng.uniform(*reverb.DECAY)), 2) if rng.random() < share else 0.0


def grouped(voices: Iterable[Voice], key: Callable[[Voice], _Key]) -> dict[_Key, list[Voice]]:
    """The voices by what `key` says of them, in the order in which they come."""
    groups: dict[_Key, list[Voice]] = {}
    for voice in voices:
        groups.setdefault(key(voice), []).append(voice)
    return groups


def draw(voices: Sequence[Voice], rng: Generator) -> Voice:
    """One of the voices."""
    return voices[int(rng.integers(len(voices)))]
