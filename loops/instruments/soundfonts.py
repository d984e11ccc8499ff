"""Soundfonts: their melody programs, drum kits and percussion, and plain guitars through invented amplifiers."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator

from fewshot_sep import extras
from fewshot_sep.errors import BadAudio
from fewshot_sep.loops.instruments.amplifier import amplify
from fewshot_sep.loops.instruments.general_midi import OPEN_NAMES, PROGRAMS, drums_among
from fewshot_sep.loops.instruments.sound_files import Source, slug, source_of
from fewshot_sep.loops.instruments.voice import Sound, Voice
from fewshot_sep.loops.library import SAMPLE_RATE, is_held_out
from fewshot_sep.loops.score import Note

_DRUM_BANK = 128
_EFFECT_KITS = range(55, 60)  # sound effects and single drums in some soundfonts
_AMPLIFIED = {(0, 25), (0, 26), (0, 27), (0, 28), (0, 33), (0, 34)}
_SECOND_VERSIONS = {(0, 1), (8, 40)}  # of the piano and the violin: sources of their own
_SYNTHETIC = {"opl3"}  # soundfonts whose instruments only borrow the names of real ones


@dataclass(frozen=True)
class SoundfontVoice(Voice):
    """A preset of a soundfont, through an amplifier if `amp` is not None (the seed of its settings)."""

    path: str
    bank: int
    program: int
    amp: int | None = None

    @property
    def kind(self) -> str:
        return "soundfont" if self.amp is None else "amp"

    def play(self, notes: Sequence[Note], frames: int, rng: Generator) -> Sound:
        synth, soundfont = load(self.path)
        synth.sounds_off(0)
        synth.generate(SAMPLE_RATE // 5)
        synth.program_select(0, soundfont, self.bank, self.program, self.bank == _DRUM_BANK)
        synth.pitchbend(0, 8192)
        out = _sequence(synth, notes, frames, bends=self.bank != _DRUM_BANK)
        return out if self.amp is None else amplify(out, self.amp)


@lru_cache(maxsize=8)
def load(path: str) -> tuple[Any, int]:
    """A synthesiser (tinysoundfont) with this soundfont loaded, and the soundfont's number in it."""
    extras.require("render", "tinysoundfont")
    import tinysoundfont

    synth = tinysoundfont.Synth(samplerate=SAMPLE_RATE)
    try:
        return synth, synth.sfload(path)
    except Exception as error:
        raise BadAudio(f"{path}: cannot be read as a soundfont; give an .sf2 or .sf3 file") from error


def _sequence(synth: Any, notes: Sequence[Note], frames: int, bends: bool) -> Sound:
    """Play notes on channel 0 and return the mono sum; a note ends when its pitch is struck again."""
    events: list[tuple[int, int, int, float]] = []  # sample, order (bend, off, on), key, value
    for note in notes:
        start, key = round(note.start * SAMPLE_RATE), round(note.pitch)
        events.append((start, 2, key, max(1, min(127, round(note.velocity * 127)))))
        events.append((round((note.start + note.duration) * SAMPLE_RATE), 1, key, start))
        if bends and note.bend:
            ramp = np.linspace(0, 0.15, 16)
            shape = note.bend * (1 - np.sin(ramp / 0.15 * np.pi / 2))
            events += [(start + round(t * SAMPLE_RATE), 0, key, float(b)) for t, b in zip(ramp, shape, strict=True)]
    blocks, at = [np.zeros((0, 2), np.float32)], 0
    struck: dict[int, int] = {}
    for sample, order, key, value in [*sorted(e for e in events if e[0] < frames), (frames, 3, 0, 0.0)]:
        if sample > at:
            blocks.append(np.frombuffer(synth.generate(sample - at), np.float32).reshape(-1, 2))
            at = sample
        if order == 0:
            synth.pitchbend(0, int(np.clip(8192 + value / 2 * 8191, 0, 16383)))
        elif order == 1 and struck.get(key) == value:
            synth.noteoff(0, key)
        elif order == 2:
            synth.noteoff(0, key)
            synth.noteon(0, key, int(value))
            struck[key] = sample
    return np.asarray(np.concatenate(blocks).mean(1), np.float32)


def soundfont_voices(path: Path, amps: int = 5) -> list[Voice]:
    """Melody programs, drum kits and their parts, hand percussion, and `amps` amplifiers for each plain guitar."""
    synth, number = load(str(path))
    source = source_of(path)

    def has(bank: int, program: int) -> bool:
        return bool(synth.sfpreset_name(number, bank, program))

    if sum(has(0, program) for program in range(128)) <= 2:  # a drum kit alone, on the first program
        return _kit_voices(path, source, 0, hand_percussion=False)
    voices: list[Voice] = []
    for preset, sound in PROGRAMS.items():
        if has(*preset) and not (source.short in _SYNTHETIC and is_held_out(sound.instrument)):
            voices += _melody_voices(path, source, preset, amps)
    kits = [program for program in range(64) if has(_DRUM_BANK, program) and program not in _EFFECT_KITS]
    for program in kits:
        own = source.part(f"kit{program}") if len(kits) > 1 else source
        voices += _kit_voices(path, own, program, hand_percussion=program == kits[0])
    return voices


def _melody_voices(path: Path, source: Source, preset: tuple[int, int], amps: int) -> list[Voice]:
    """A melody program, plain and through amplifiers."""
    sound, (bank, program) = PROGRAMS[preset], preset
    plain, own = sound, source
    if preset in OPEN_NAMES or source.short in _SYNTHETIC:
        plain = sound._replace(instrument=f"{sound.instrument} ({source.short})")
    if preset in _SECOND_VERSIONS:
        own = source.part(f"{bank}-{program}")
    voices: list[Voice] = [SoundfontVoice(*plain, *own, str(path), *preset)]
    driven = sound._replace(instrument="driven bass")
    if sound.family == "guitar":
        roles = ("riff", "lead") if sound.instrument == "muted guitar" else ("riff", "riff", "lead", "strum")
        driven = sound._replace(instrument="distortion guitar", roles=roles, high=79)
    for amp in range(amps if preset in _AMPLIFIED else 0):
        own, seed = source.part(f"{slug(sound.instrument)}+amp{amp}"), f"{source.short}/{bank}/{program}/{amp}"
        voices.append(SoundfontVoice(*driven, *own, str(path), *preset, zlib.crc32(seed.encode())))
    return voices


def _kit_voices(path: Path, source: Source, program: int, hand_percussion: bool) -> list[Voice]:
    """A drum kit, its parts and, of one kit of a soundfont, the hand percussion that General MIDI knows."""
    return [
        SoundfontVoice(*drum, *source, str(path), _DRUM_BANK, program)
        for drum in drums_among(range(88))
        if hand_percussion or drum.family == "drums"
    ]
