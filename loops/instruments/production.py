"""What producers do to a voice: doubles, harmonies, breaths, echo and reverb."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.random import Generator
from scipy.signal import butter, sosfilt

from fewshot_sep.loops.instruments import reverb
from fewshot_sep.loops.instruments.amplifier import echo
from fewshot_sep.loops.instruments.voice import Sound, add, fade_ends, rms
from fewshot_sep.loops.library import SAMPLE_RATE
from fewshot_sep.loops.score import Note

DOUBLED, HARMONY, BREATHS, ECHO, REVERB = 0.35, 0.25, 0.6, 0.3, 0.5
"""Chance of each in a part."""
LOOSE_S, DETUNE = 0.02, 0.08
"""How far a double is from the lead: seconds and semitones (standard deviations)."""
REVERB_S = (0.4, 2.4)
BREATH_GAP_S = 0.35

Sing = Callable[[Sequence[Note], int, Generator], Sound]


def produced(sing: Sing, notes: Sequence[Note], frames: int, rng: Generator) -> Sound:
    """What `sing` sings, produced: `(frames,)`."""
    lead = sing(notes, frames, rng)
    out = lead.copy()
    if rng.random() < DOUBLED:
        out += np.float32(rng.uniform(0.3, 0.9)) * sing(loosened(notes, rng), frames, rng)
    if rng.random() < HARMONY:
        upper = loosened(harmony(notes, int(rng.choice((-2, 2, 2, 4)))), rng)
        out += np.float32(rng.uniform(0.2, 0.6)) * sing(upper, frames, rng)
    if rng.random() < BREATHS:
        breathe(out, notes, rms(lead) * rng.uniform(0.05, 0.3), rng)
    if rng.random() < ECHO:
        out = echo(out, rng.uniform(0.12, 0.6), rng.uniform(0.1, 0.5), rng.uniform(0.1, 0.35))
    if rng.random() < REVERB:
        out = reverb.place(out, rng.uniform(*REVERB_S), SAMPLE_RATE, rng)
    return out


def loosened(notes: Sequence[Note], rng: Generator) -> list[Note]:
    """The same notes as another take has them."""
    return [
        note._replace(start=max(0.0, note.start + rng.normal(0, LOOSE_S)), pitch=note.pitch + rng.normal(0, DETUNE))
        for note in notes
    ]


def harmony(notes: Sequence[Note], steps: int) -> list[Note]:
    """A second voice that many steps above (below, if negative), on the scale of the pitch classes that occur.

    >>> [note.pitch for note in harmony([Note(0, 1, pitch, 1) for pitch in (60, 62, 64, 65, 67)], 2)]
    [64, 65, 67, 72, 74]
    """
    scale = sorted({round(note.pitch) % 12 for note in notes})
    ladder = [12 * octave + tone for octave in range(11) for tone in scale]
    return [note._replace(pitch=ladder[ladder.index(round(note.pitch)) + steps]) for note in notes]


def breathe(out: Sound, notes: Sequence[Note], level: float, rng: Generator) -> None:
    """Add a breath of this RMS before each note that follows a rest, in place."""
    end = -1.0
    centre = rng.uniform(1200, 3000)
    sos = butter(1, (centre / 2, min(centre * 3, 9000)), "bandpass", fs=SAMPLE_RATE, output="sos")
    for note in sorted(notes):
        if note.start - end > BREATH_GAP_S and note.start > 0.1:
            length = min(rng.uniform(0.15, 0.45), note.start - max(end, 0.0))
            sound = sosfilt(sos, rng.standard_normal(round(length * SAMPLE_RATE))).astype(np.float32)
            sound *= np.float32(level / (rms(sound) + 1e-9))
            fade_ends(sound, round(0.7 * len(sound)), round(0.2 * len(sound)))
            add(out, sound, note.start - length)
        end = max(end, note.start + note.duration)
