"""A bachata set: requinto, segunda, bajo, bongo and guira in verse, chorus and mambo, cut into bars and half bars.

Verses are played derecho (bongo martillo), choruses majao, mambos with syncopated riffs and the bongo's mambo. No free
recording of a guira was found: the scraper is made from guiro, cabasa, maracas and shaker samples.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from scipy.signal import butter, sosfilt

from fewshot_sep.loops.composing.ensemble import Part, Song, is_faint, room_of, store
from fewshot_sep.loops.composing.patterns import Event, near, perform, voicing
from fewshot_sep.loops.instruments.loudness import level
from fewshot_sep.loops.instruments.sound_files import slug
from fewshot_sep.loops.instruments.voice import Sound, Voice
from fewshot_sep.loops.library import SAMPLE_RATE, Row, is_held_out
from fewshot_sep.loops.score import SCALES, Chord, Note, Sketch

INSTRUMENTS = ("requinto", "segunda", "bajo", "bongo", "guira")
STYLES = {"verse": "derecho", "chorus": "majao", "mambo": "mambo"}
"""Section to the way it is played."""

BPM = (110.0, 150.0)
HALF_BARS = 0.3
"""Share of the sections that are cut into half bars."""
VALID, VALID_SONGS = 0.15, 0.12
"""Share of each instrument's voices that only songs of the valid split use, and share of such songs."""

# Degrees of the scale, one a bar.
_PROGRESSIONS = {
    "minor": ("0633", "0365", "0526", "0340", "5600", "0566"),
    "harmonic minor": ("0340", "0044", "0344", "4400"),
    "major": ("0343", "0534", "0044", "1400", "0354"),
}


class _Kind(NamedTuple):
    """Which voices can be an instrument, its family, and the range that it plays in."""

    names: frozenset[str]
    family: str
    low: int
    high: int


_GUITARS = frozenset({"nylon guitar", "steel guitar", "twelve-string guitar", "clean guitar", "jazz guitar"})
_KINDS = {
    "requinto": _Kind(_GUITARS, "guitar", 57, 86),
    "segunda": _Kind(_GUITARS, "guitar", 43, 69),
    "bajo": _Kind(
        frozenset({"acoustic bass", "fingered bass", "picked bass", "fretless bass", "double bass pizzicato"}),
        "bass",
        28,
        52,
    ),
    "bongo": _Kind(frozenset({"bongo"}), "percussion", 0, 127),
    "guira": _Kind(frozenset({"guiro", "cabasa", "maracas", "shaker"}), "percussion", 0, 127),
}


@dataclass(frozen=True)
class GuiraVoice(Voice):
    """A metal scraper made from another one: its strokes without what lies under `edge` Hz, long ones as many grains.

    Key 0 is a long stroke, key 1 a short one.
    """

    inner: Voice
    edge: float

    @property
    def kind(self) -> str:
        return self.inner.kind

    def play(self, notes: Sequence[Note], frames: int, rng: Generator) -> Sound:
        short, scraped = self.inner.keys[0], self.inner.keys[-1]
        strokes: list[Note] = []
        for note in notes:
            if note.pitch == 1 or self.inner.instrument == "guiro":
                key = scraped if note.pitch == 0 else short
                strokes.append(note._replace(pitch=key))
                continue
            count, step = int(rng.integers(3, 6)), rng.uniform(0.016, 0.024)
            for grain in range(count):
                loud = note.velocity * (0.45 + 0.55 * grain / (count - 1))
                strokes.append(note._replace(start=note.start + grain * step, pitch=short, velocity=loud))
        sound = self.inner.play(strokes, frames, rng)
        return sosfilt(butter(2, self.edge, "highpass", fs=SAMPLE_RATE, output="sos"), sound).astype(np.float32)


def sketch(rng: Generator, tonic: int, mode: str, bpm: float, bars: int) -> Sketch:
    """The chords of a section: a usual progression, one chord a bar or, at times, one for two bars."""
    degrees = [int(degree) for degree in rng.choice(_PROGRESSIONS[mode])]
    slow = 2 if rng.random() < 0.25 else 1
    scale = SCALES[mode]
    chords = []
    for bar in range(bars):
        degree = degrees[(bar // slow) % len(degrees)]
        tones = tuple((tonic + scale[(degree + step) % 7]) % 12 for step in (0, 2, 4))
        chords.append(Chord(bar * 4.0, 4.0, tones))
    return Sketch(tonic, mode, tuple(chords), bpm, bars=bars)


_LOUD = {"X": 0.95, "x": 0.7, "o": 0.42}

# Sixteen steps to the bar: the small, high drum (macho) and the large one (hembra).
_BONGO = {
    "derecho": (("X.o.x.o.X.o.....", "............X.x."), ("X.o.x.o.X.oo....", "............X.x.")),
    "majao": (("X...x.o.X...x.o.", "......x.....X..."), ("X.o.X.o.X.o.....", "............X.X.")),
    "mambo": (("X.xxx.X.X.xx..x.", "......x.....X.xX"), ("X.xX..X..X.xX...", "....X..x..X...X.")),
}
# Long strokes, short strokes.
_GUIRA = {
    "derecho": (("X.......X.......", "....x.o.....x.o."), ("X.......X.......", "...ox.o....ox.o.")),
    "majao": (("X...X...X...X...", "..o...o...o...o."), ("X...X...X...X...", "..x...x...x...xo")),
    "mambo": (("X...X...X...X...", "..xx..xx..xx..xx"), ("X.....X...X.....", "..xxx...xx..xxxx")),
}
# Start and length in beats, step of the chord (3: the octave).
_BAJO = {
    "derecho": (((0.0, 1.5, 0), (2.0, 0.9, 2), (3.0, 0.9, 0)), ((0.0, 1.5, 0), (2.0, 0.9, 1), (3.0, 0.9, 2))),
    "majao": (
        ((0.0, 0.9, 0), (1.0, 0.9, 0), (2.0, 0.9, 2), (3.0, 0.9, 3)),
        ((0.0, 1.9, 0), (2.0, 0.9, 2), (3.0, 0.9, 2)),
    ),
    "mambo": (
        ((0.0, 0.7, 0), (0.75, 0.7, 0), (1.5, 0.9, 2), (3.0, 0.9, 3)),
        ((0.0, 1.4, 0), (1.5, 1.0, 2), (2.5, 0.5, 3), (3.0, 0.9, 2)),
    ),
}
# Eighths: b the bass string, c the upper strings, C the same accented, m damped, . nothing.
_SEGUNDA = {
    "derecho": ("b.ccb.Cc", "b.c.b.Cc", "bcccbcCc"),
    "majao": ("bcccCccc", "b.c.C.cc", "CcccCcCc"),
    "mambo": ("bmCmbCmC", "b.Cm.Cmc", "CmmCmmCm"),
}


def _marks(line: str) -> list[tuple[float, str]]:
    return [(step * 4 / len(line), mark) for step, mark in enumerate(line) if mark != "."]


def _two_sounds(
    table: Mapping[str, tuple[tuple[str, str], ...]], song: Sketch, style: str, rng: Generator
) -> list[Event]:
    """A percussion part on keys 0 and 1: one pattern, another in the last bar of four, small changes."""
    order = rng.permutation(len(table[style]))
    events: list[Event] = []
    for bar in range(song.bars):
        lines = table[style][order[-1 if bar % 4 == 3 else 0]]
        for key, line in enumerate(lines):
            for start, mark in _marks(line):
                if mark == "X" or rng.random() > 0.07:
                    events.append((bar * 4 + start, 0.2, float(key), _LOUD[mark], 0.0))
        if rng.random() < 0.15:
            events.append(
                (bar * 4 + float(rng.choice((0.75, 1.75, 2.75, 3.75))), 0.2, float(rng.integers(2)), 0.4, 0.0)
            )
    return events


def bongo(song: Sketch, style: str, rng: Generator, keys: Sequence[int]) -> list[Note]:
    """Martillo in the verse, on the beat in the chorus, the mambo's repique; `keys` are the high and the low drum."""
    events = _two_sounds(_BONGO, song, style, rng)
    own = (keys[0], keys[min(1, len(keys) - 1)])
    return perform([(s, d, float(own[int(key)]), v, b) for s, d, key, v, b in events], song, rng)


def guira(song: Sketch, style: str, rng: Generator) -> list[Note]:
    """Long strokes on the beats and short ones between, on the keys of a `GuiraVoice`."""
    return perform(_two_sounds(_GUIRA, song, style, rng), song, rng)


def bajo(song: Sketch, style: str, rng: Generator, low: float, high: float) -> list[Note]:
    """The bass: root and fifth on one, three and four, marching in the chorus, syncopated in the mambo."""
    lines, events, main = _BAJO[style], [], int(rng.integers(2))
    loud = rng.uniform(0.7, 0.95)
    for bar in range(song.bars):
        tones = song.chord_at(bar * 4.0).tones
        root = near(tones[0], low + 7, low, high)
        for start, length, step in lines[main if bar % 4 < 3 else 1 - main]:
            pitch = root if step == 0 else near(tones[step % 3], root + (12 if step == 3 else 4), low, high)
            events.append((bar * 4 + start, length, float(pitch), loud + 0.08 * (start == 0), 0.0))
    return perform(events, song, rng)


def segunda(song: Sketch, style: str, rng: Generator, low: float, high: float) -> list[Note]:
    """The rhythm guitar: bass string and strummed upper strings, the accent on four."""
    line, size = str(rng.choice(_SEGUNDA[style])), int(rng.integers(3, 5))
    spread, loud = rng.uniform(0.008, 0.02), rng.uniform(0.6, 0.9)
    centre = rng.uniform(low + 12, high - 5)
    events: list[Event] = []
    for bar in range(song.bars):
        chord = song.chord_at(bar * 4.0)
        strings = voicing(chord, size, centre, low + 6, high)
        for start, mark in _marks(line):
            at = bar * 4 + start
            if mark == "b":
                events.append((at, 0.9, float(near(chord.tones[0 if start < 2 else 2], low + 4, low, high)), loud, 0.0))
                continue
            length, force = {"c": (0.4, 0.75), "C": (0.8, 1.0), "m": (0.1, 0.6)}[mark]
            up = start % 1 != 0
            for number, pitch in enumerate(reversed(strings) if up else strings):
                late = number * spread * song.bpm / 60
                events.append((at + late, length, float(pitch), loud * force * (1 - 0.04 * number), 0.0))
    return perform(events, song, rng)


def requinto(song: Sketch, style: str, rng: Generator, low: float, high: float) -> list[Note]:
    """The lead guitar: arpeggios in the verse, thirds in the chorus, riffs with slides in the mambo."""
    draw = {"derecho": _arpeggios, "majao": _thirds, "mambo": _riff}[style]
    return perform(draw(song, rng, low, high, rng.uniform(0.65, 0.95)), song, rng)


def _arpeggios(song: Sketch, rng: Generator, low: float, high: float, loud: float) -> list[Event]:
    order = (0, 2, 1, 2, 3, 2, 1, 2) if rng.random() < 0.5 else (3, 1, 2, 1, 3, 2, 1, 0)
    centre, events = rng.uniform(low + 6, high - 9), []
    for bar in range(song.bars):
        strings = voicing(song.chord_at(bar * 4.0), 4, centre, low, high)
        turn = int(rng.integers(2, 8)) if rng.random() < 0.25 else 8
        for step in range(8):
            events.append((bar * 4 + step / 2, 0.8, float(strings[order[step]]), loud + 0.1 * (step % 4 == 0), 0.0))
            if step >= turn:
                events.append((bar * 4 + step / 2 + 0.25, 0.4, float(strings[order[step - 1]]), 0.8 * loud, 0.0))
    return events


def _scale(song: Sketch, low: float, high: float) -> list[int]:
    return [pitch for pitch in range(int(low), int(high) + 1) if pitch % 12 in song.scale]


def _thirds(song: Sketch, rng: Generator, low: float, high: float, loud: float) -> list[Event]:
    """Two strings a third apart, a phrase on two bars and its answer."""
    scale = _scale(song, low, high)
    at, events = len(scale) // 2, []
    starts = [s / 2 for s in range(8) if rng.random() < (0.9 if s % 2 == 0 else 0.5)] or [0.0]
    steps = rng.integers(-2, 3, 16)
    for bar in range(song.bars):
        ends = [*starts[1:], 4.0]
        for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
            at = int(np.clip(at + (steps[number] if bar % 2 == 0 else rng.integers(-2, 3)), 0, len(scale) - 3))
            if start == 0:
                tones = song.chord_at(bar * 4.0).tones
                at = min(range(len(scale) - 2), key=lambda i: (scale[i] % 12 not in tones, abs(i - at)))
            bend = -1.0 if rng.random() < 0.12 else 0.0
            for pitch in (scale[at], scale[at + 2]):
                events.append((bar * 4 + start, (end - start) * 0.9, float(pitch), loud, bend))
    return events


def _riff(song: Sketch, rng: Generator, low: float, high: float, loud: float) -> list[Event]:
    """A motif of sixteenths and eighths, moved to each bar's chord."""
    motif, at = [], 0.0
    while at < 4:
        length = float(rng.choice((0.25, 0.5, 0.75), p=(0.5, 0.38, 0.12)))
        motif.append((at, min(length, 4 - at), int(rng.integers(-3, 6)), rng.random() < 0.15))
        at += length
    scale, events = _scale(song, low, high), []
    centre = rng.uniform(low + 6, high - 8)
    for bar in range(song.bars):
        root = near(song.chord_at(bar * 4.0).tones[0], centre, low, high)
        home = min(range(len(scale)), key=lambda i: abs(scale[i] - root))
        for start, length, step, slide in motif:
            if bar % 4 == 3 and start >= 2:
                step = int(rng.integers(-3, 6))
            pitch = scale[int(np.clip(home + step, 0, len(scale) - 1))]
            bend = -2.0 if slide and length > 0.3 else 0.0
            events.append((bar * 4 + start, length * 0.95, float(pitch), loud + 0.08 * (start % 1 == 0), bend))
    return events


_PITCHED: dict[str, Callable[[Sketch, str, Generator, float, float], list[Note]]] = {
    "requinto": requinto,
    "segunda": segunda,
    "bajo": bajo,
}


def score(instrument: str, style: str, voice: Voice, song: Sketch, rng: Generator) -> list[Note]:
    """What an instrument of the set plays over a section."""
    if instrument == "bongo":
        return bongo(song, style, rng, voice.keys)
    if instrument == "guira":
        return guira(song, style, rng)
    return _PITCHED[instrument](song, style, rng, voice.low, voice.high)


@dataclass(frozen=True)
class Bachata(Song):
    """A song of the set; `half` names the sections that are cut into half bars.

    All rows of one bar have the same `song`, `NAME-SECTION-BAR`; bars count from 0, `-2.5` is the second half of 2.
    """

    half: frozenset[str] = frozenset()
    bars: int = 4

    def plan(self) -> tuple[object, ...]:
        return *super().plan(), sorted(self.half), self.bars

    def render(self, folder: Path, seed: int) -> list[Row]:
        shared = self.generator(seed)
        tonic, mode = int(shared.integers(12)), str(shared.choice(list(_PROGRESSIONS)))
        bpm = round(float(shared.uniform(*BPM)), 1)
        rows = []
        for section, style in STYLES.items():
            song = sketch(shared, tonic, mode, bpm, self.bars)
            frames = round(song.seconds * SAMPLE_RATE)
            for number, part in enumerate(self.parts):
                rng = self.generator(seed, number, zlib.crc32(section.encode()))
                notes = score(part.role, style, part.voice, song, rng)
                sound = level(self.play(part, notes, frames, rng))
                rows += self._cut(folder, section, part, sound, bpm)
        return rows

    def _cut(self, folder: Path, section: str, part: Part, sound: Sound, bpm: float) -> list[Row]:
        """A section into bars or half bars, all as long, without the silent ones."""
        step = 0.5 if section in self.half else 1.0
        size = round(step * 4 * 60 / bpm * SAMPLE_RATE)
        rows = []
        for index in range(round(self.bars / step)):
            start = round(index * step * 4 * 60 / bpm * SAMPLE_RATE)
            piece = faded(np.pad(sound[start : start + size], (0, max(0, start + size - len(sound)))))
            if is_faint(piece):
                continue
            song = f"{self.name}-{section}-{index * step:g}"
            row = self.row(part, f"{part.role}/{song}.flac", bpm, step * 4, song, section)
            rows.append(store(folder, row, piece))
        return rows


def faded(piece: Sound, seconds: float = 0.002) -> Sound:
    """A copy whose first and last moments rise from and fall to silence, so that a cut does not click."""
    piece, count = piece.copy(), round(seconds * SAMPLE_RATE)
    ramp = np.linspace(0, 1, count, dtype=np.float32)
    piece[:count] *= ramp
    piece[len(piece) - count :] *= ramp[::-1]
    return piece


def cast(voices: Sequence[Voice]) -> dict[str, list[Voice]]:
    """The voices that can be each instrument of the set, under that instrument's name; none of held-out sources."""
    found: dict[str, list[Voice]] = {}
    for instrument, kind in _KINDS.items():
        found[instrument] = []
        for voice in voices:
            chords_only = voice.roles == ("strum",)
            if voice.instrument not in kind.names or chords_only or is_held_out("", voice.source):
                continue
            source = f"{voice.source}/{slug(voice.instrument)}"
            if instrument == "guira":
                edge = 700 + zlib.crc32(source.encode()) % 900
                about = (instrument, source, kind.family, voice.licence, (instrument,), 0.0, 127.0, (0, 1))
                found[instrument].append(GuiraVoice(*about, voice, float(edge)))
                continue
            low, high = max(voice.low, kind.low), min(voice.high, kind.high)
            if high - low < 19:
                continue
            own = replace(voice, instrument=instrument, source=source, family=kind.family, low=low, high=high)
            found[instrument].append(own)
    return found


def plan(voices: Sequence[Voice], songs: int, seed: int, room: float) -> list[Song]:
    """`songs` songs with all instruments of the set that these voices allow, `room` of them in a room.

    Songs of the valid split have voices that no other song has; an instrument with a single voice is missing in them.
    """
    rng = np.random.default_rng((seed, 2))
    pools = {
        split: {name: _share(found, split) for name, found in cast(voices).items()} for split in ("train", "valid")
    }
    few = round(songs * VALID_SONGS)
    planned: list[Song] = []
    for number in range(songs):
        split = "valid" if number >= songs - few else "train"
        parts: list[Part] = []
        for instrument, pool in pools[split].items():
            taken = {part.voice.source for part in parts}
            free = [voice for voice in pool if voice.source not in taken]
            if free:
                parts.append(Part(free[int(rng.integers(len(free)))], instrument))
        half = frozenset(section for section in STYLES if rng.random() < HALF_BARS)
        name = f"bachata-{number:05d}"
        planned.append(Bachata(name, split, tuple(parts), room_of(name, seed, room), half))
    return planned


def _share(voices: Sequence[Voice], split: str) -> list[Voice]:
    """The voices of a split, told apart by source; of two or more, one is kept for validation, of four or more, two."""
    sources = sorted({voice.source for voice in voices}, key=lambda source: zlib.crc32(source.encode()))
    count = max(min(2, len(sources) // 2), round(VALID * len(sources)))
    kept = set(sources[:count])
    return [voice for voice in voices if (voice.source in kept) == (split == "valid")]
