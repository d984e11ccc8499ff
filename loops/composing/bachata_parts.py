"""What the instruments of the bachata set play: derecho in the verse, majao in the chorus, mambo."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import numpy as np
from numpy.random import Generator

from fewshot_sep.loops import tables
from fewshot_sep.loops.composing.patterns import near, perform, pitches_of, progressions, strum, voicing
from fewshot_sep.loops.instruments.voice import Voice
from fewshot_sep.loops.score import Chord, Note, Sketch, chord_tones

_PROGRESSIONS = progressions("bachata")
MODES = tuple(_PROGRESSIONS)


def sketch(rng: Generator, tonic: int, mode: str, bpm: float, bars: int) -> Sketch:
    """The chords of a section: a usual progression, one chord a bar or, at times, one for two bars."""
    degrees = [int(degree) for degree in rng.choice(_PROGRESSIONS[mode])]
    slow = 2 if rng.random() < 0.25 else 1
    drawn = [degrees[(bar // slow) % len(degrees)] for bar in range(bars)]
    chords = tuple(Chord(bar * 4.0, 4.0, chord_tones(tonic, mode, degree)) for bar, degree in enumerate(drawn))
    return Sketch(tonic, mode, chords, bpm, bars=bars)


_LOUD = {"X": 0.95, "x": 0.7, "o": 0.42}

_LINES: dict[tuple[str, str], list[list[str]]] = defaultdict(list)
"""Instrument and style to patterns of one bar, each a line of equal steps for each of its sounds; a dot is nothing.

Bongo: the small, high drum (macho) and the large one (hembra). Guira: long and short strokes. Segunda: b the bass
string, c the upper strings, C the same accented, m damped. Bajo: start:length:step of each note, in beats and steps of
the chord (3: the octave); of its two lines one is played in three bars of four, the other in the last.
"""
for _row in tables.beside(__file__, "bachata_lines.csv"):
    _LINES[_row["instrument"], _row["style"]].append(_row["steps"].split())


def _marks(line: str) -> list[tuple[float, str]]:
    return [(step * 4 / len(line), mark) for step, mark in enumerate(line) if mark != "."]


def _struck(instrument: str, song: Sketch, style: str, rng: Generator, keys: tuple[int, int]) -> list[Note]:
    """A percussion part on two keys: one pattern, another in the last bar of four, small changes."""
    patterns = _LINES[instrument, style]
    order = rng.permutation(len(patterns))
    written: list[Note] = []
    for bar in range(song.bars):
        for key, line in zip(keys, patterns[order[-1 if bar % 4 == 3 else 0]], strict=True):
            for start, mark in _marks(line):
                if mark == "X" or rng.random() > 0.07:
                    written.append(Note(bar * 4 + start, 0.2, float(key), _LOUD[mark]))
        if rng.random() < 0.15:
            start = float(rng.choice((0.75, 1.75, 2.75, 3.75)))
            written.append(Note(bar * 4 + start, 0.2, float(keys[rng.integers(2)]), 0.4))
    return perform(written, song, rng)


def bajo(song: Sketch, style: str, rng: Generator, low: float, high: float) -> list[Note]:
    """The bass: root and fifth on one, three and four, marching in the chorus, syncopated in the mambo."""
    lines, main = _LINES["bajo", style], int(rng.integers(2))
    loud = rng.uniform(0.7, 0.95)
    written: list[Note] = []
    for bar in range(song.bars):
        tones = song.chord_at(bar * 4.0).tones
        root = near(tones[0], low + 7, low, high)
        for word in lines[main if bar % 4 < 3 else 1 - main]:
            start, length, step = (float(part) for part in word.split(":"))
            pitch = root if step == 0 else near(tones[int(step) % 3], root + (12 if step == 3 else 4), low, high)
            written.append(Note(bar * 4 + start, length, float(pitch), loud + 0.08 * (start == 0)))
    return perform(written, song, rng)


def segunda(song: Sketch, style: str, rng: Generator, low: float, high: float) -> list[Note]:
    """The rhythm guitar: bass string and strummed upper strings, the accent on four."""
    (line,), size = _LINES["segunda", style][rng.integers(3)], int(rng.integers(3, 5))
    spread, loud = rng.uniform(0.008, 0.02) * song.bpm / 60, rng.uniform(0.6, 0.9)
    centre = rng.uniform(low + 12, high - 5)
    written: list[Note] = []
    for bar in range(song.bars):
        chord = song.chord_at(bar * 4.0)
        strings = voicing(chord, size, centre, low + 6, high)
        for start, mark in _marks(line):
            at = bar * 4 + start
            if mark == "b":
                written.append(Note(at, 0.9, near(chord.tones[0 if start < 2 else 2], low + 4, low, high), loud))
            else:
                length, force = {"c": (0.4, 0.75), "C": (0.8, 1.0), "m": (0.1, 0.6)}[mark]
                written += strum(at, length, strings, loud * force, spread, up=start % 1 != 0)
    return perform(written, song, rng)


def requinto(song: Sketch, style: str, rng: Generator, low: float, high: float) -> list[Note]:
    """The lead guitar: arpeggios in the verse, thirds in the chorus, riffs with slides in the mambo."""
    draw = {"derecho": _arpeggios, "majao": _thirds, "mambo": _riff}[style]
    return perform(draw(song, rng, low, high, rng.uniform(0.65, 0.95)), song, rng)


def _arpeggios(song: Sketch, rng: Generator, low: float, high: float, loud: float) -> list[Note]:
    order = (0, 2, 1, 2, 3, 2, 1, 2) if rng.random() < 0.5 else (3, 1, 2, 1, 3, 2, 1, 0)
    centre = rng.uniform(low + 6, high - 9)
    written: list[Note] = []
    for bar in range(song.bars):
        strings = voicing(song.chord_at(bar * 4.0), 4, centre, low, high)
        turn = int(rng.integers(2, 8)) if rng.random() < 0.25 else 8
        for step in range(8):
            at = bar * 4 + step / 2
            written.append(Note(at, 0.8, strings[order[step]], loud + 0.1 * (step % 4 == 0)))
            if step >= turn:
                written.append(Note(at + 0.25, 0.4, strings[order[step - 1]], 0.8 * loud))
    return written


def _thirds(song: Sketch, rng: Generator, low: float, high: float, loud: float) -> list[Note]:
    """Two strings a third apart, a phrase on two bars and its answer."""
    scale = pitches_of(song.scale, low, high)
    at = len(scale) // 2
    starts = [s / 2 for s in range(8) if rng.random() < (0.9 if s % 2 == 0 else 0.5)] or [0.0]
    steps = rng.integers(-2, 3, 16)
    written: list[Note] = []
    for bar in range(song.bars):
        for number, (start, end) in enumerate(pairwise([*starts, 4.0])):
            at = int(np.clip(at + (steps[number] if bar % 2 == 0 else rng.integers(-2, 3)), 0, len(scale) - 3))
            if start == 0:
                tones = song.chord_at(bar * 4.0).tones
                at = min(range(len(scale) - 2), key=lambda i: (scale[i] % 12 not in tones, abs(i - at)))
            bend = -1.0 if rng.random() < 0.12 else 0.0
            for pitch in (scale[at], scale[at + 2]):
                written.append(Note(bar * 4 + start, (end - start) * 0.9, pitch, loud, bend))
    return written


def _riff(song: Sketch, rng: Generator, low: float, high: float, loud: float) -> list[Note]:
    """A motif of sixteenths and eighths, moved to each bar's chord."""
    motif, at = [], 0.0
    while at < 4:
        length = float(rng.choice((0.25, 0.5, 0.75), p=(0.5, 0.38, 0.12)))
        motif.append((at, min(length, 4 - at), int(rng.integers(-3, 6)), rng.random() < 0.15))
        at += length
    scale, centre = pitches_of(song.scale, low, high), rng.uniform(low + 6, high - 8)
    written: list[Note] = []
    for bar in range(song.bars):
        root = near(song.chord_at(bar * 4.0).tones[0], centre, low, high)
        home = min(range(len(scale)), key=lambda i: abs(scale[i] - root))
        for start, length, step, slide in motif:
            if bar % 4 == 3 and start >= 2:
                step = int(rng.integers(-3, 6))
            pitch = scale[int(np.clip(home + step, 0, len(scale) - 1))]
            bend = -2.0 if slide and length > 0.3 else 0.0
            written.append(Note(bar * 4 + start, length * 0.95, pitch, loud + 0.08 * (start % 1 == 0), bend))
    return written


def score(instrument: str, style: str, voice: Voice, song: Sketch, rng: Generator) -> list[Note]:
    """What an instrument of the set plays over a section."""
    if instrument in ("bongo", "guira"):  # on the high and the low drum, or long and short strokes
        return _struck(instrument, song, style, rng, (voice.keys[0], voice.keys[min(1, len(voice.keys) - 1)]))
    part = {"requinto": requinto, "segunda": segunda, "bajo": bajo}[instrument]
    return part(song, style, rng, voice.low, voice.high)
