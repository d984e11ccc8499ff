"""Gravis Ultrasound patches (.pat): one instrument as a few looped recordings, the format of the Freepats set."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr
from numpy.random import Generator

from fewshot_sep.errors import BadAudio
from fewshot_sep.loops.instruments.general_midi import PROGRAMS, drums_among
from fewshot_sep.loops.instruments.sound_files import source_of
from fewshot_sep.loops.instruments.voice import Sound, Voice, add
from fewshot_sep.loops.library import SAMPLE_RATE
from fewshot_sep.loops.score import Note

_HEADER, _SAMPLE = 239, 96
_FIELDS = struct.Struct("<7sB3IH3IHb6B6B6BB2H36x")
_WIDE, _UNSIGNED, _LOOP, _PING_PONG, _SUSTAIN, _ENVELOPE = 1, 2, 4, 8, 32, 64


class Sample(NamedTuple):
    """One recording of a patch: sound in [-1, 1] at `rate` Hz, the loop's ends in frames (0, 0: none), Hz of its tone.

    `low` and `high` in Hz are the tones that it is for. `rates` and `levels` are the six stages of the envelope in the
    format's own units (see `envelope`), `held` is true if the third stage lasts until the note ends.
    """

    sound: Sound
    rate: int
    loop: tuple[int, int]
    root: float
    low: float
    high: float
    rates: tuple[int, ...]
    levels: tuple[int, ...]
    held: bool


@lru_cache(maxsize=256)
def read(path: str) -> tuple[Sample, ...]:
    """The recordings of a patch. Raises `BadAudio` if the file is none, or is cut short."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise BadAudio(f"{path}: cannot be read ({error.strerror})") from error
    if len(data) < _HEADER or data[:12] not in (b"GF1PATCH110\0", b"GF1PATCH100\0"):
        raise BadAudio(f"{path}: is no Gravis patch; give a .pat file")
    samples, at = [], _HEADER
    for _ in range(data[198]):
        if at + _SAMPLE > len(data):
            raise BadAudio(f"{path}: cut short; fetch it again")
        values = _FIELDS.unpack_from(data, at)
        size, start, end, rate, low, high, root = values[2:9]
        rates, levels, modes = values[11:17], values[17:23], values[29]
        at += _SAMPLE
        body, at = data[at : at + size], at + size
        if len(body) < size or not rate or not root:
            raise BadAudio(f"{path}: cut short or damaged; fetch it again")
        width = 2 if modes & _WIDE else 1
        raw = np.frombuffer(body[: size - size % width], "<u2" if width == 2 else "u1").astype(np.int64)
        half = 1 << (8 * width - 1)
        signed = raw - half if modes & _UNSIGNED else (raw + half) % (2 * half) - half
        sound, loop = (signed / half).astype(np.float32), (start // width, end // width)
        if not modes & _LOOP or not 0 <= loop[0] < loop[1] - 8 <= len(sound):
            loop = (0, 0)
        elif modes & _PING_PONG:
            there = sound[loop[0] : loop[1]]
            sound = np.concatenate([sound[: loop[1]], there[::-1]])
            loop = (loop[0], len(sound))
        held = bool(modes & _SUSTAIN) and loop != (0, 0)
        shape = (rates, levels) if modes & _ENVELOPE else ((63,) * 3 + (40,) * 3, (255,) * 3 + (0,) * 3)
        samples.append(Sample(sound, rate, loop, root / 1000, low / 1000, high / 1000, *shape, held))
    return tuple(samples)


def envelope(sample: Sample, held: float, frames: int) -> Sound:
    """The gain of a note held for `held` seconds, `(frames,)`; all 0 from where it has died away.

    A stage moves the level from 0 to 255 in 255 * 8192 / (r << 3 * (3 - range)) samples at 44.1 kHz, r being the lower
    six bits of its rate and `range` the upper two; six octaves of gain lie between level 1 and 255, as on the card.
    """
    release = round(held * SAMPLE_RATE)
    points = [(0.0, 0.0)]  # sample, level
    for stage, (rate, goal) in enumerate(zip(sample.rates, sample.levels, strict=True)):
        if stage == 3 and sample.held:  # whatever was reached stays until the note ends
            reached = float(np.interp(release, *np.transpose(points)))
            points = [*(point for point in points if point[0] < release), (float(release), reached)]
        at, level = points[-1]
        speed = max(1, rate & 63) << (3 * (3 - (rate >> 6)))
        points.append((at + max(1.0, abs(goal - level) * 8192 / speed), float(goal)))
    curve = np.interp(np.arange(frames), *np.transpose(points))
    gain = np.where(curve < 0.5, 0.0, 2.0 ** ((curve / 255 - 1) * 6))
    if not sample.held:
        gain[release:] *= np.exp(-np.arange(max(0, frames - release)) / (0.08 * SAMPLE_RATE))
    return gain.astype(np.float32)


@dataclass(frozen=True)
class PatchVoice(Voice):
    """Patches as an instrument: `files` holds (drum key, or None for pitched ones, path)."""

    files: tuple[tuple[int | None, str], ...]

    kind = "soundfont"

    def play(self, notes: Sequence[Note], frames: int, rng: Generator) -> Sound:
        out = np.zeros(frames, np.float32)
        paths = dict(self.files)
        for note in notes:
            path = paths.get(None) or paths.get(int(note.pitch))
            left = frames - round(note.start * SAMPLE_RATE)
            if path is None or left <= 0:
                continue
            hz = 440 * 2 ** ((note.pitch - 69) / 12) if None in paths else None
            sound = tone(read(path), hz, note.duration, min(left, round((note.duration + 2.0) * SAMPLE_RATE)))
            add(out, sound, note.start, note.velocity**1.5)
        return out


def tone(samples: Sequence[Sample], hz: float | None, held: float, frames: int) -> Sound:
    """At most `frames` of a note of `hz`; the loop repeats for as long as the note sounds. None: as it was recorded."""
    if hz is None:
        sample, ratio = samples[0], samples[0].rate / SAMPLE_RATE
    else:
        sample = min(samples, key=lambda s: (not s.low <= hz <= s.high, abs(np.log(hz / s.root))))
        ratio = hz / sample.root * sample.rate / SAMPLE_RATE
    needed, (start, end) = int(frames * ratio) + 8, sample.loop
    sound = sample.sound
    if hz is not None and sample.held:
        repeats = max(0, -(-(needed - end) // (end - start)))
        sound = np.concatenate([sound[:end], np.tile(sound[start:end], repeats)])
    sound = soxr.resample(sound[:needed], ratio, 1.0, quality="MQ")[:frames]
    if hz is None:  # drums ring out; their envelopes would cut them off at once
        return np.asarray(sound, np.float32)
    return np.asarray(sound * envelope(sample, held, len(sound)), np.float32)


_NUMBER = re.compile(r"^(\d{3})_")


def patch_voices(folder: Path) -> list[Voice]:
    """Voices of a set of patches: `Tone_000/NNN_*.pat` by General MIDI program, `Drum_000/NNN_*.pat` by drum key."""
    source = source_of(folder)
    tones, drums = (_numbered(folder / name) for name in ("Tone_000", "Drum_000"))
    if not tones and not drums:
        raise BadAudio(f"{folder}: has no Tone_000/NNN_*.pat or Drum_000/NNN_*.pat; give a folder of Gravis patches")
    voices: list[Voice] = []
    for number, path in tones.items():
        if program := PROGRAMS.get((0, number)):
            own = source if number != 1 else source.part(number)  # a second piano
            voices.append(PatchVoice(*program, *own, ((None, str(path)),)))
    for drum in drums_among(drums):
        voices.append(PatchVoice(*drum, *source, tuple((key, str(drums[key])) for key in drum.keys or drums)))
    return voices


def _numbered(folder: Path) -> dict[int, Path]:
    paths = sorted(folder.glob("*.pat")) if folder.is_dir() else []
    return {int(match[1]): path for path in paths if (match := _NUMBER.match(path.name))}
