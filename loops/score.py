"""A written score: notes, chords, and the sketch (key, chords, tempo) that the parts of a song share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

BEATS_PER_BAR = 4

SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "harmonic minor": (0, 2, 3, 5, 7, 8, 11),
}


class Note(NamedTuple):
    """One note: start and duration, MIDI pitch (a key for drums), velocity in (0, 1], bend in semitones.

    Times are seconds; while a part is written they are beats (see `composing.patterns.perform`). A bend of -2 starts
    two semitones low and slides up to the pitch.
    """

    start: float
    duration: float
    pitch: float
    velocity: float
    bend: float = 0.0


class Chord(NamedTuple):
    """A chord from beat `start` on, `beats` long: pitch classes, the root first."""

    start: float
    beats: float
    tones: tuple[int, ...]


def chord_tones(tonic: int, mode: str, degree: int, size: int = 3) -> tuple[int, ...]:
    """Pitch classes of `size` thirds upon a degree of the scale, which counts from 0.

    >>> chord_tones(0, "major", 4, 4)
    (7, 11, 2, 5)
    """
    return tuple((tonic + SCALES[mode][(degree + 2 * third) % 7]) % 12 for third in range(size))


@dataclass(frozen=True)
class Sketch:
    """What the parts of a song share. `swing` is where a beat's second eighth falls: 0.5 straight, 0.67 shuffle."""

    tonic: int
    mode: str
    chords: tuple[Chord, ...]
    bpm: float
    swing: float = 0.5
    bars: int = 4

    @property
    def beats(self) -> float:
        return float(self.bars * BEATS_PER_BAR)

    @property
    def seconds(self) -> float:
        return self.beats * 60.0 / self.bpm

    @property
    def scale(self) -> tuple[int, ...]:
        """Pitch classes of the key, the tonic first."""
        return tuple((self.tonic + step) % 12 for step in SCALES[self.mode])

    def chord_at(self, beat: float) -> Chord:
        """The chord that sounds at `beat`."""
        return max((chord for chord in self.chords if chord.start <= beat + 1e-6), key=lambda chord: chord.start)
