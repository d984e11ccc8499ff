"""Draws short scores: a song's sketch (key, chords, tempo) and the parts that instruments play on it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from fewshot_sep.loops import tables
from fewshot_sep.loops.score import BEATS_PER_BAR, SCALES, Chord, Note, Sketch, chord_tones


def progressions(kind: str) -> dict[str, list[str]]:
    """Mode to progressions of four chords, as degrees of the scale from 0, for "songs" or "bachata"."""
    rows = tables.beside(__file__, "progressions.csv")
    return {row["mode"]: row["degrees"].split() for row in rows if row["set"] == kind}


_PROGRESSIONS = progressions("songs")


def sketch(rng: Generator, bars: int = 4, bpm: tuple[float, float] = (70.0, 170.0)) -> Sketch:
    """A random sketch: any key, a common progression, sometimes two chords in a bar, sometimes swung."""
    mode = str(rng.choice(list(SCALES), p=(0.36, 0.34, 0.12, 0.1, 0.08)))
    degrees = [int(degree) for degree in rng.choice(_PROGRESSIONS[mode])]
    tonic, size = int(rng.integers(12)), 4 if rng.random() < 0.3 else 3
    chords = []
    for bar in range(bars):
        split = rng.random() < 0.15
        for half in range(1 + split):
            tones = chord_tones(tonic, mode, degrees[(bar + half) % len(degrees)], size)
            chords.append(Chord(bar * 4 + half * 2, 4 - 2 * split, tones))
    swing = float(rng.choice((0.5, 0.56, 0.62, 2 / 3), p=(0.72, 0.1, 0.08, 0.1)))
    return Sketch(tonic, mode, tuple(chords), round(float(rng.uniform(*bpm)), 1), swing, bars)


def perform(written: Iterable[Note], song: Sketch, rng: Generator, loose_ms: float | None = None) -> list[Note]:
    """Beats to seconds, with swing, uneven timing and velocity; nothing starts before 0 or after the end."""
    beat = 60.0 / song.bpm
    loose = (rng.uniform(1.0, 9.0) if loose_ms is None else loose_ms) / 1000
    drag = rng.normal(0, loose)
    notes = []
    for start, duration, pitch, velocity, bend in written:
        whole, part = divmod(start, 1.0)
        if song.swing != 0.5 and abs(part * 4 - round(part * 4)) < 1e-6:
            part = part * 2 * song.swing if part <= 0.5 else song.swing + (part - 0.5) * 2 * (1 - song.swing)
        at = max(0.0, (whole + part) * beat + drag + rng.normal(0, loose))
        loud = float(np.clip(velocity * (1 + rng.normal(0, 0.06)), 0.08, 1.0))
        if at < song.seconds - 0.03:
            notes.append(Note(at, max(0.03, duration * beat), pitch, loud, bend))
    return sorted(notes)


def near(tone: int, centre: float, low: float, high: float) -> int:
    """The pitch of class `tone` nearest to `centre` that lies between `low` and `high` (or the nearest at all)."""
    options = [pitch for pitch in range(tone % 12, 128, 12) if low <= pitch <= high] or list(range(tone % 12, 128, 12))
    return min(options, key=lambda pitch: abs(pitch - centre))


Rhythm = list[tuple[float, float]]
"""One bar: start and length in beats."""


def rhythm(rng: Generator, grid: float, density: float) -> Rhythm:
    """One bar on a `grid` of beats; strong steps are likelier. Never empty.

    >>> rhythm(np.random.default_rng(0), 1.0, 1.0)
    [(0.0, 1.0), (1.0, 1.0), (2.0, 1.0), (3.0, 1.0)]
    """
    steps = np.arange(0, BEATS_PER_BAR - 1e-9, grid)
    strong = np.where(steps % 2 < 1e-6, 1.3, np.where(steps % 1 < 1e-6, 1.1, np.where(steps % 0.5 < 1e-6, 0.95, 0.75)))
    kept = steps[rng.random(len(steps)) < density * strong] if density < 1 else steps
    kept = kept if len(kept) else steps[:1]
    ends = np.append(kept[1:], BEATS_PER_BAR)
    return [(float(start), float(end - start)) for start, end in zip(kept, ends, strict=True)]


def _even(length: float) -> Rhythm:
    return [(step * length, length) for step in range(round(BEATS_PER_BAR / length))]


def _form(rng: Generator, bars: int, grid: float, density: float) -> list[Rhythm]:
    """Bars of rhythm in the form a b a c, so that a part sounds composed."""
    one, two, three = (rhythm(rng, grid, density) for _ in range(3))
    return [(one, two, one, three)[bar % 4] for bar in range(bars)]


_RHYTHMS: dict[str, Rhythm] = {
    "held": _even(4.0),
    "roots": _even(2.0),
    "beats": _even(1.0),
    "walking": _even(1.0),
    "eighths": _even(0.5),
    "octaves": _even(0.5),
    "off": [(beat + 0.5, 0.5) for beat in range(4)],
    "fifths": [(0.0, 1.5), (1.5, 0.5), (2.0, 1.5), (3.5, 0.5)],
    "gallop": [(beat + part, 0.25) for beat in range(4) for part in (0.0, 0.5, 0.75)],
}
"""Styles whose rhythm is the same in every song."""


class _Step(NamedTuple):
    """A place in a part where something is played; `number` and `beat` count within the bar, `at` from the start."""

    bar: int
    number: int
    at: float
    beat: float
    length: float
    chord: Chord


def _steps(song: Sketch, bars: Sequence[Rhythm]) -> Iterator[_Step]:
    for bar, steps in enumerate(bars):
        for index, (beat, length) in enumerate(steps):
            at = bar * BEATS_PER_BAR + beat
            yield _Step(bar, index, at, beat, length, song.chord_at(at))


def melody(
    song: Sketch, rng: Generator, low: float, high: float, lively: float = 0.5, bends: bool = False
) -> list[Note]:
    """One voice walking on the scale, with chord tones on strong beats. `lively` in [0, 1] makes it denser."""
    grid = float(rng.choice((1.0, 0.5, 0.25, 1 / 3), p=(0.22 - 0.2 * lively, 0.5, 0.18 + 0.2 * lively, 0.1)))
    grid = 0.5 if grid <= 0.34 and song.bpm > 130 and lively < 0.6 else grid
    density = float(rng.uniform(0.55, 0.95)) * (0.75 if grid <= 0.25 else 1.0)
    hold = float(rng.choice((0.35, 0.7, 0.92, 1.02), p=(0.15, 0.2, 0.4, 0.25)))
    window = min(high - low, 19)
    floor = rng.uniform(low, high - window) if high - low > window else low
    scale = pitches_of(song.scale, floor, floor + window)
    if rng.random() < 0.35:  # pentatonic
        degrees = (0, 1, 2, 4, 5) if song.mode in ("major", "mixolydian") else (0, 2, 3, 4, 6)
        scale = pitches_of([song.scale[degree] for degree in degrees], floor, floor + window) or scale
    scale = scale or [round((low + high) / 2)]
    at, leap, level = int(rng.integers(len(scale))), rng.uniform(1.0, 2.6), rng.uniform(0.45, 0.95)
    motif, top = rng.normal(0, leap, 24), len(scale) - 1
    written: list[Note] = []
    for step in _steps(song, _form(rng, song.bars, grid, density)):
        at = int(at + np.round(motif[step.number % 24] if step.bar % 2 == 0 else rng.normal(0, leap)))
        if not 0 <= at <= top:  # turned back at the ends of the range
            at = int(np.clip(2 * top + 1 - at if at > top else -at, 0, top))
        pitch = scale[at]
        if step.beat % 1 == 0 and rng.random() < 0.6:
            pitch = min(scale, key=lambda p: (p % 12 not in step.chord.tones, abs(p - pitch)))
            at = scale.index(pitch)
        bend = float(rng.choice((-1.0, -2.0, -0.5))) if bends and step.length >= 0.5 and rng.random() < 0.3 else 0.0
        accent = level + 0.12 * (step.beat % 1 == 0) + rng.normal(0, 0.06)
        written.append(Note(step.at, step.length * hold, pitch, accent, bend))
    return perform(_phrase(written, rng, song), song, rng)


def line(song: Sketch, rng: Generator, low: float, high: float) -> list[Note]:
    """One voice of several, bound and calm: by steps, to chord tones on strong beats; it rests now and then."""
    grid = float(rng.choice((2.0, 1.0, 0.5, 0.25), p=(0.15, 0.4, 0.35, 0.1)))
    density, bound = rng.uniform(0.5, 1.0), float(rng.uniform(0.95, 1.05))
    centre, level = rng.uniform(low + 3, max(low + 4, high - 6)), rng.uniform(0.45, 0.9)
    pitch = near(song.chords[0].tones[int(rng.integers(3))], centre, low, high)
    written: list[Note] = []
    for step in _steps(song, _form(rng, song.bars, grid, density)):
        tones = step.chord.tones if step.beat % 2 == 0 else song.scale
        towards = pitch + rng.choice((-2, -1, 1, 2)) + 0.15 * (centre - pitch)
        pitch = min((near(tone, towards, low, high) for tone in tones), key=lambda p: abs(p - towards))
        written.append(Note(step.at, step.length * bound, pitch, level + 0.1 * (step.beat == 0)))
    return perform(_phrase(written, rng, song), song, rng)


def _phrase(written: Sequence[Note], rng: Generator, song: Sketch) -> list[Note]:
    """A swell over the part and now and then half a bar without notes, as players breathe."""
    shape, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.25)
    breath = rng.integers(song.bars) * 4 + 2.0 if rng.random() < 0.35 else -9.0
    return [
        note._replace(velocity=float(note.velocity * (1 + depth * np.sin(shape + np.pi * note.start / 8))))
        for note in written
        if not breath <= note.start < breath + 2 or len(written) < 6
    ]


def pitches_of(classes: Collection[int], low: float, high: float) -> list[int]:
    """All pitches of these classes from `low` to `high`."""
    return [pitch for pitch in range(int(low), int(high) + 1) if pitch % 12 in classes]


def voicing(chord: Chord, size: int, centre: float, low: float, high: float) -> list[int]:
    """`size` different pitches of the chord around `centre`, low to high."""
    every = pitches_of(chord.tones, low, high) or [near(chord.tones[0], centre, low, high)]
    return sorted(sorted(every, key=lambda p: abs(p - centre))[:size])


def strum(at: float, length: float, pitches: Sequence[int], loud: float, spread: float, up: bool = False) -> list[Note]:
    """A chord whose strings begin `spread` beats apart, each a little quieter; `up`: from the highest."""
    return [
        Note(at + string * spread, length, pitch, loud * (1 - 0.04 * string))
        for string, pitch in enumerate(reversed(pitches) if up else pitches)
    ]


def chords(song: Sketch, rng: Generator, low: float, high: float, strummed: bool = False, most: int = 5) -> list[Note]:
    """Chords in one of several rhythms: held, on the beat, off-beat, syncopated, sixteenths; strummed up and down."""
    styles = ("held", "beats", "off", "sync", "eighths", "sixteenths")
    style = str(rng.choice(styles, p=(0.2, 0.2, 0.12, 0.26, 0.14, 0.08)))
    size = int(rng.integers(min(3, most), most + 1))
    centre = rng.uniform(low + (high - low) * 0.25, low + (high - low) * 0.75)
    sync = _form(rng, song.bars, 0.5 if rng.random() < 0.7 else 0.25, rng.uniform(0.4, 0.7))
    sixteenths = [(b / 4, 0.25) for b in range(16) if b % 4 != 3 or rng.random() < 0.5]
    fixed = {**_RHYTHMS, "sixteenths": sixteenths}.get(style)
    hold, level = float(rng.choice((0.35, 0.7, 0.95))), rng.uniform(0.45, 0.9)
    spread = (rng.uniform(0.008, 0.03) if strummed else rng.uniform(0, 0.004)) * song.bpm / 60
    written: list[Note] = []
    if style == "held":
        hold = 0.98
    for step in _steps(song, [fixed or bar for bar in sync]):
        length = min(step.length, step.chord.start + step.chord.beats - step.at)
        up = strummed and step.number % 2 == 1
        loud = level * (0.8 if up else 1.0) + 0.1 * (step.beat % 2 == 0)
        written += strum(step.at, length * hold, voicing(step.chord, size, centre, low, high), loud, spread, up)
        if style == "held":
            within = [chord for chord in song.chords if step.at < chord.start < step.at + BEATS_PER_BAR]
            for chord in within:
                pitches = voicing(chord, size, centre, low, high)
                written += [Note(chord.start, chord.beats * hold, pitch, level) for pitch in pitches]
    return perform(written, song, rng)


def pad(song: Sketch, rng: Generator, low: float, high: float, most: int = 4) -> list[Note]:
    """Each chord held for its whole length, slightly overlapping the next."""
    size = int(rng.integers(min(2, most), most + 1))
    centre, level = rng.uniform(low + (high - low) * 0.3, low + (high - low) * 0.7), rng.uniform(0.4, 0.85)
    written = [
        Note(chord.start, chord.beats * 1.02, float(pitch), level)
        for chord in song.chords
        for pitch in voicing(chord, size, centre, low, high)
    ]
    return perform(written, song, rng)


def arpeggio(song: Sketch, rng: Generator, low: float, high: float) -> list[Note]:
    """Broken chords in even notes: up, down, both, or shuffled."""
    grid = float(rng.choice((0.5, 0.25, 1 / 3), p=(0.45, 0.4, 0.15)))
    size, order = int(rng.integers(3, 7)), str(rng.choice(("up", "down", "both", "mixed")))
    centre, hold = rng.uniform(low + (high - low) * 0.3, low + (high - low) * 0.7), float(rng.choice((0.4, 0.9, 1.8)))
    level, mixed = rng.uniform(0.45, 0.9), rng.permutation(size)
    written: list[Note] = []
    for index, beat in enumerate(np.arange(0, song.beats - 1e-9, grid)):
        if rng.random() < 0.06:
            continue
        pitches = voicing(song.chord_at(float(beat)), size, centre, low, high)
        count = len(pitches)
        turn = index % max(1, 2 * count - 2)
        which = {
            "up": index % count,
            "down": count - 1 - index % count,
            "both": turn if turn < count else 2 * count - 2 - turn,
            "mixed": int(mixed[index % size]) % count,
        }[order]
        written.append(Note(float(beat), grid * hold, pitches[which], level + 0.15 * (beat % 1 == 0)))
    return perform(written, song, rng)


def bass(song: Sketch, rng: Generator, low: float, high: float) -> list[Note]:
    """A bass line: held roots, driving eighths, root and fifth, octaves, walking, syncopated, or a riff."""
    styles = ("roots", "eighths", "fifths", "octaves", "walking", "sync", "riff")
    style = str(rng.choice(styles, p=(0.1, 0.2, 0.14, 0.12, 0.12, 0.22, 0.1)))
    centre, hold = rng.uniform(low + 2, min(low + 14, high)), float(rng.choice((0.45, 0.8, 0.97)))
    level = rng.uniform(0.6, 0.95)
    sync = _form(rng, song.bars, float(rng.choice((0.5, 0.25))), rng.uniform(0.4, 0.75))
    licks = rng.choice((0, 0, 0, 3, 5, 7, 10, 12), 16)
    written: list[Note] = []
    for _, index, at, beat, length, chord in _steps(song, [_RHYTHMS.get(style, bar) for bar in sync]):
        root = pitch = near(chord.tones[0], centre, low, high)
        lick = int(licks[index % 16])
        if style == "fifths" and index % 2:
            pitch = near(chord.tones[2], root, low, high)
        elif style == "octaves" and index % 2 and root + 12 <= high:
            pitch = root + 12
        elif style == "walking" and index:
            tone = int(rng.choice(song.scale if index == 3 else chord.tones))
            pitch = near(tone, root + int(rng.integers(-5, 8)), low, high)
        elif style == "riff" and root + lick <= high:
            pitch = near(_next_tone(song, root + lick), root + 4, low, high)
        elif style == "sync" and rng.random() < 0.25:
            pitch = near(int(rng.choice(chord.tones)), root, low, high)
        written.append(Note(at, length * hold, pitch, level + 0.1 * (beat % 2 == 0)))
    return perform(written, song, rng)


def _next_tone(song: Sketch, pitch: int) -> int:
    """The class of the scale's first tone from `pitch` up."""
    return min(song.scale, key=lambda tone: (tone - pitch) % 12)


def riff(song: Sketch, rng: Generator, low: float, high: float) -> list[Note]:
    """Rock guitar: power chords held or syncopated, chugs and gallops of short notes, or a low single-note riff."""
    style = str(rng.choice(("held", "sync", "chug", "gallop", "single"), p=(0.2, 0.28, 0.22, 0.1, 0.2)))
    root_high = min(low + 12, high)
    level, size = rng.uniform(0.65, 1.0), int(rng.choice((2, 3)))
    sync = _form(rng, song.bars, float(rng.choice((0.5, 0.25))), rng.uniform(0.45, 0.7))
    accents = rng.random(16) < 0.25
    fixed = _even(0.25 if song.bpm < 125 else 0.5) if style == "chug" else _RHYTHMS.get(style)
    written: list[Note] = []
    for _, index, at, beat, length, chord in _steps(song, [fixed or bar for bar in sync]):
        root = near(chord.tones[0], low + 5, low, root_high)
        pitches = [root, root + 7, root + 12][:size]
        if style == "single":
            tone = _next_tone(song, root + int(rng.choice((0, 0, 3, 5, 7, 10))))
            pitches = [near(tone, root + 3, low, high)]
        hold, loud = 0.95, level
        if style in ("chug", "gallop"):
            accent = beat == 0 or accents[index % 16]
            hold, loud = (0.9, level) if accent else (0.45, level * 0.75)
        elif style == "held":
            length = min(length, chord.start + chord.beats - at)
        written += [Note(at, length * hold, float(pitch), loud) for pitch in pitches if pitch <= high + 12]
    return perform(written, song, rng, 4.0)


KICK, SNARE, RIM, CLAP = 36, 38, 37, 39
CLOSED, PEDAL, OPEN, CRASH, RIDE, BELL = 42, 44, 46, 49, 51, 53
TOMS = (50, 48, 47, 45, 43, 41)

_GROOVES: dict[str, dict[int, str]] = defaultdict(dict)
"""Drum kit's keys to sixteen (or, swung, twelve) steps to the bar: X accent, x hit, o ghost."""
for _row in tables.beside(__file__, "grooves.csv"):
    _GROOVES[_row["groove"]][int(_row["key"])] = _row["steps"]
_LOUD = {"X": 0.95, "x": 0.7, "o": 0.32}


def groove(song: Sketch, rng: Generator) -> list[Note]:
    """A drum-kit part on General MIDI keys, with small changes in each bar and usually a fill in the last."""
    table = dict(_GROOVES[str(rng.choice(list(_GROOVES)))])
    fill, crash = rng.random() < 0.75, rng.random() < 0.6
    if rng.random() < 0.2 and CLOSED in table and RIDE not in table:
        table[RIDE] = table.pop(CLOSED)
    written: list[Note] = []
    steps = len(next(iter(table.values())))
    for bar in range(song.bars):
        tail = steps - int(rng.choice((steps // 4, steps // 2))) if fill and bar == song.bars - 1 else steps
        for key, line in table.items():
            for step, mark in enumerate(line[:tail]):
                if mark == "." and key in (KICK, CLOSED, RIDE) and rng.random() < 0.03:
                    mark = "o"
                if mark == "." or (mark != "X" and rng.random() < 0.05):
                    continue
                key_now = OPEN if key == CLOSED and step % 4 == 2 and rng.random() < 0.06 else key
                written.append(Note(bar * 4 + step * 4 / steps, 0.2, key_now, _LOUD[mark]))
        if crash and bar == 0:
            written.append(Note(0.0, 1.0, CRASH, 0.85))
        for step in range(tail, steps):
            if rng.random() < 0.8:
                place = int((step - tail) / max(1, steps - tail) * len(TOMS))
                key_now = SNARE if rng.random() < 0.35 else TOMS[place]
                written.append(Note(bar * 4 + step * 4 / steps, 0.2, key_now, rng.uniform(0.6, 1.0)))
    return perform(written, song, rng)


def beat(song: Sketch, rng: Generator, keys: Sequence[int]) -> list[Note]:
    """A percussion part on a few keys (one sound each): a repeated accent pattern, other keys on weak steps."""
    steps = 12 if song.swing > 0.6 and rng.random() < 0.5 else 16
    hits = int(rng.integers(5, steps + 1))
    turn = int(rng.integers(steps))
    # Euclidean rhythm: `hits` spread as evenly as possible over `steps` (Toussaint, "The Euclidean algorithm", 2005).
    strong = {(step + turn) % steps for step in range(steps) if (step * hits) % steps < hits}
    accents = {0} | set(rng.choice(sorted(strong), max(1, hits // 3), replace=False).tolist())
    which = {step: keys[0 if step in accents else int(rng.integers(len(keys)))] for step in range(steps)}
    written: list[Note] = []
    for bar in range(song.bars):
        for step in range(steps):
            on = step in strong if rng.random() > 0.06 else rng.random() < 0.4
            if on:
                loud = rng.uniform(0.8, 1.0) if step in accents else rng.uniform(0.35, 0.7)
                written.append(Note(bar * 4 + step * 4 / steps, 0.3, which[step], loud))
    return perform(written, song, rng)


def pitched(role: str, song: Sketch, rng: Generator, low: float, high: float) -> list[Note]:
    """The part of a pitched instrument of this range in `role`: bass, melody, chords, strum, pad, ..."""
    if role == "bass":
        return bass(song, rng, low, min(high, low + 24))
    if role in ("melody", "counter", "vocal", "lead"):
        lively = {"melody": 0.5, "counter": 0.1, "vocal": 0.25, "lead": 0.8}[role]
        return melody(song, rng, low, high, lively, bends=role == "lead")
    if role == "line":
        return line(song, rng, low, high)
    if role in ("chords", "strum"):
        return chords(song, rng, low, high, strummed=role == "strum", most=6 if role == "strum" else 5)
    return {"arpeggio": arpeggio, "pad": pad, "riff": riff}[role](song, rng, low, high)
