"""Voices: the instruments that can play a score, whatever they are made of; and the levelling of what they play.

Every voice is a small frozen description that can be sent to another process; what it needs is loaded on first use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.random import Generator
from scipy.signal import butter, resample_poly, sosfilt

from fewshot_sep import audio
from fewshot_sep.errors import BadAudio, EngineMissing
from fewshot_sep.loops.composing.patterns import Note
from fewshot_sep.loops.instruments.synth import Patch
from fewshot_sep.loops.library import SAMPLE_RATE


@dataclass(frozen=True)
class Voice:
    """Something that plays: what it is, where it is from, the parts that suit it and its range.

    Repeated roles are likelier. `keys` are the drum keys of a percussion voice, empty for pitched ones.
    """

    instrument: str
    source: str
    family: str
    licence: str
    roles: tuple[str, ...]
    low: float
    high: float
    keys: tuple[int, ...]

    @property
    def plain_name(self) -> str:
        """The instrument, less the soundfont that its name may give."""
        return self.instrument.split(" (")[0]

    @property
    def kind(self) -> str:
        """The share of a library that this voice counts towards (see `fewshot_sep.loops.composing.arrange.SHARES`)."""
        raise NotImplementedError

    def play(self, notes: Sequence[Note], frames: int, rng: Generator) -> np.ndarray:
        """The notes as `(frames,)` float32 at `SAMPLE_RATE`, at any level."""
        raise NotImplementedError


@dataclass(frozen=True)
class InventedVoice(Voice):
    """An instrument of `fewshot_sep.loops.instruments.synth`."""

    seed: int

    @property
    def kind(self) -> str:
        return "invented"

    def play(self, notes: Sequence[Note], frames: int, rng: Generator) -> np.ndarray:
        return Patch(self.seed).play(notes, frames, rng)


@dataclass(frozen=True)
class SoundfontVoice(Voice):
    """A preset of a soundfont, through an amplifier if `amp` is not None (the seed of its settings)."""

    path: str
    pool: int
    program: int
    amp: int | None = None

    @property
    def kind(self) -> str:
        return "soundfont" if self.amp is None else "amp"

    def play(self, notes: Sequence[Note], frames: int, rng: Generator) -> np.ndarray:
        synth, soundfont = load_soundfont(self.path)
        synth.sounds_off(0)
        synth.generate(SAMPLE_RATE // 5)
        synth.program_select(0, soundfont, self.pool, self.program, self.pool == 128)
        synth.pitchbend(0, 8192)
        out = _sequence(synth, notes, frames, bends=self.pool != 128)
        return out if self.amp is None else amplify(out, self.amp)


@lru_cache(maxsize=8)
def load_soundfont(path: str) -> tuple[Any, int]:
    """A synthesiser (tinysoundfont) with this soundfont loaded, and the soundfont's number in it."""
    try:
        import tinysoundfont
    except ImportError as error:
        raise EngineMissing(
            "soundfonts need the package tinysoundfont; install it with `pip install tinysoundfont`"
        ) from error
    synth = tinysoundfont.Synth(samplerate=SAMPLE_RATE)
    try:
        return synth, synth.sfload(path)
    except Exception as error:
        raise BadAudio(f"{path}: cannot be read as a soundfont; give an .sf2 or .sf3 file") from error


def _sequence(synth: Any, notes: Sequence[Note], frames: int, bends: bool) -> np.ndarray:
    """Play notes on channel 0 and return the mono sum; a note ends when its pitch is struck again."""
    events: list[tuple[int, int, int, float]] = []  # sample, order, key, value
    for note in notes:
        start, key = round(note.start * SAMPLE_RATE), round(note.pitch)
        events.append((start, 2, key, max(1, min(127, round(note.velocity * 127)))))
        events.append((round((note.start + note.duration) * SAMPLE_RATE), 1, key, start))
        if bends and note.bend:
            ramp = np.linspace(0, 0.15, 16)
            shape = note.bend * (1 - np.sin(ramp / 0.15 * np.pi / 2))
            events += [(start + round(t * SAMPLE_RATE), 0, key, float(b)) for t, b in zip(ramp, shape, strict=True)]
    out, at = np.zeros(frames, np.float32), 0
    struck: dict[int, int] = {}
    for sample, order, key, value in sorted(events):
        if sample >= frames:
            break
        if sample > at:
            block = np.frombuffer(synth.generate(sample - at), np.float32)
            out[at:sample] = block.reshape(-1, 2).mean(1)
            at = sample
        if order == 0:
            synth.pitchbend(0, int(np.clip(8192 + value / 2 * 8191, 0, 16383)))
        elif order == 1:
            if struck.get(key) == value:
                synth.noteoff(0, key)
        else:
            synth.noteoff(0, key)
            synth.noteon(0, key, int(value))
            struck[key] = sample
    block = np.frombuffer(synth.generate(frames - at), np.float32)
    out[at:] = block.reshape(-1, 2).mean(1)
    return out


def amplify(signal: np.ndarray, seed: int, drive_db: tuple[float, float] = (6.0, 46.0)) -> np.ndarray:
    """A guitar or bass amplifier: tone before, an uneven tanh at twice the rate, a speaker cabinet after.

    The settings follow from `seed`; `drive_db` is the range of gain from the signal's RMS to the bend of the curve.
    """
    knobs = np.random.default_rng((13, seed))
    drive = 10 ** (knobs.uniform(*drive_db) / 20)
    low_cut, mid, lift = knobs.uniform(40, 220), knobs.uniform(500, 1600), knobs.uniform(0.3, 2.5)
    bias, blend = knobs.uniform(0, 0.5), 0.0 if knobs.random() < 0.75 else knobs.uniform(0.2, 0.5)
    cabinet, order = knobs.uniform(3200, 6500), int(knobs.integers(2, 5))
    peak, peak_gain = knobs.uniform(1200, 3500), knobs.uniform(0.2, 1.8)
    level = float(np.sqrt(np.mean(signal**2))) + 1e-9
    tight = sosfilt(butter(1, low_cut, "highpass", fs=SAMPLE_RATE, output="sos"), signal / level)
    tight = tight + lift * sosfilt(butter(1, (mid / 1.6, mid * 1.6), "bandpass", fs=SAMPLE_RATE, output="sos"), tight)
    wide = resample_poly(tight * 0.3 * drive, 2, 1)
    bent = resample_poly(np.tanh(wide + bias) - np.tanh(bias), 1, 2)[: len(signal)]
    bent = (1 - blend) * bent + blend * tight * 0.3
    out = sosfilt(butter(order, cabinet, "lowpass", fs=SAMPLE_RATE, output="sos"), bent)
    out = out + peak_gain * sosfilt(butter(1, (peak / 1.4, peak * 1.4), "bandpass", fs=SAMPLE_RATE, output="sos"), out)
    return sosfilt(butter(2, 65 if low_cut > 60 else 30, "highpass", fs=SAMPLE_RATE, output="sos"), out).astype(
        np.float32
    )


@dataclass(frozen=True)
class SampledVoice(Voice):
    """Recorded single notes: `files` holds (MIDI pitch, loudness in [0, 1], path)."""

    files: tuple[tuple[int, float, str], ...]

    @property
    def kind(self) -> str:
        return "sampled"

    def play(self, notes: Sequence[Note], frames: int, rng: Generator) -> np.ndarray:
        out = np.zeros(frames, np.float32)
        loudness = rng.uniform(0.2, 1.0)
        for note in notes:
            start = round(note.start * SAMPLE_RATE)
            chosen = self._choose(note, loudness, rng)
            if chosen is None or start >= frames:
                continue
            pitch, _, path = chosen
            sound = transpose(load_hit(path), note.pitch - pitch)
            length = min(len(sound), round((note.duration + 0.08) * SAMPLE_RATE), frames - start)
            sound = sound[:length] * np.float32(note.velocity)
            fade = min(length, round(0.07 * SAMPLE_RATE))
            sound[length - fade :] *= np.cos(np.linspace(0, np.pi / 2, fade, dtype=np.float32))
            out[start : start + length] += sound
        return out

    def _choose(self, note: Note, loudness: float, rng: Generator) -> tuple[int, float, str] | None:
        """One of the files nearest in pitch (at most four semitones away), near in loudness, long enough if any is."""
        gap = min(abs(pitch - note.pitch) for pitch, _, _ in self.files)
        near = [file for file in self.files if abs(file[0] - note.pitch) <= max(gap, 1.0)] if gap <= 4 else []
        if not near:
            return None
        score = [
            abs(file[0] - note.pitch)
            + 1.5 * abs(file[1] - loudness)
            + 1.5 * (hit_seconds(file[2]) < note.duration)
            + 0.4 * rng.random()
            for file in near
        ]
        return near[int(np.argmin(score))]


@dataclass(frozen=True)
class KitVoice(Voice):
    """One-shots on drum keys: `hits` holds (key, loudness up to which it is used, gain, path); `ring` is in seconds."""

    hits: tuple[tuple[int, float, float, str], ...]
    ring: float = 8.0

    @property
    def kind(self) -> str:
        return "kit"

    def play(self, notes: Sequence[Note], frames: int, rng: Generator) -> np.ndarray:
        out = np.zeros(frames, np.float32)
        layers: dict[int, list[tuple[float, float, str]]] = {}
        for key, top, gain, path in self.hits:
            layers.setdefault(key, []).append((top, gain, path))
        for note in notes:
            start, options = round(note.start * SAMPLE_RATE), layers.get(int(note.pitch))
            if not options or start >= frames:
                continue
            top = min((t for t, _, _ in options if t >= note.velocity), default=max(t for t, _, _ in options))
            _, gain, path = [option for option in options if option[0] == top][
                rng.integers(sum(o[0] == top for o in options))
            ]
            sound = load_hit(path, self.ring)[: frames - start]
            scale = gain * note.velocity ** (0.6 if len(options) > 2 else 1.3)
            out[start : start + len(sound)] += sound * np.float32(scale)
        return out


@dataclass(frozen=True)
class StrumVoice(Voice):
    """Recorded strums of whole chords: `strums` holds (pitch classes, root first; path).

    The notes that start within a tenth of a second of one another are one strum, played by a recording of the chord
    that shares most tones with them, the lowest note being the root if it can.
    """

    strums: tuple[tuple[tuple[int, ...], str], ...]

    @property
    def kind(self) -> str:
        return "sampled"

    def play(self, notes: Sequence[Note], frames: int, rng: Generator) -> np.ndarray:
        out = np.zeros(frames, np.float32)
        groups: list[list[Note]] = []
        for note in sorted(notes):
            if groups and note.start - groups[-1][0].start < 0.1:
                groups[-1].append(note)
            else:
                groups.append([note])
        ends = [group[0].start for group in groups[1:]] + [frames / SAMPLE_RATE]
        for group, end in zip(groups, ends, strict=True):
            start = round(group[0].start * SAMPLE_RATE)
            if start >= frames:
                continue
            held = min(max(note.duration for note in group), end - group[0].start)
            sound = load_hit(self.nearest(group, rng))
            length = min(len(sound), round((held + 0.06) * SAMPLE_RATE), frames - start)
            sound = sound[:length] * np.float32(max(note.velocity for note in group))
            fade = min(length, round(0.06 * SAMPLE_RATE))
            sound[length - fade :] *= np.cos(np.linspace(0, np.pi / 2, fade, dtype=np.float32))
            out[start : start + length] += sound
        return out

    def nearest(self, notes: Sequence[Note], rng: Generator) -> str:
        """A recording of the chord that these notes are nearest to."""
        tones = {int(note.pitch) % 12 for note in notes}
        low = int(min(note.pitch for note in notes)) % 12
        score = [
            len(tones & set(chord)) / len(tones | set(chord)) + 0.2 * (chord[0] == low) for chord, _ in self.strums
        ]
        best = [index for index, value in enumerate(score) if value > max(score) - 1e-9]
        return self.strums[best[int(rng.integers(len(best)))]][1]


def read_mono(path: str | Path) -> np.ndarray:
    """A sound file as `(frames,)` float32 at `SAMPLE_RATE`, channels averaged."""
    samples, rate = audio.read_unchecked(path)
    mono = samples.mean(axis=0)
    return mono if rate == SAMPLE_RATE else soxr.resample(mono, rate, SAMPLE_RATE).astype(np.float32)


@lru_cache(maxsize=4000)
def load_hit(path: str, seconds: float = 8.0) -> np.ndarray:
    """A recorded note from just before its onset, at most `seconds` long, peak at 1, end faded. Read-only."""
    sound = read_mono(path)
    peak = float(np.abs(sound).max(initial=0.0))
    if peak < 1e-5:
        return np.zeros(64, np.float32)
    onset = max(0, int(np.argmax(np.abs(sound) > 0.04 * peak)) - round(0.004 * SAMPLE_RATE))
    sound = sound[onset : onset + round(seconds * SAMPLE_RATE)] / peak
    head, tail = min(len(sound), 64), min(len(sound), round(0.03 * SAMPLE_RATE))
    sound[:head] *= np.linspace(0, 1, head, dtype=np.float32)
    sound[len(sound) - tail :] *= np.linspace(1, 0, tail, dtype=np.float32)
    sound.setflags(write=False)
    return sound


@lru_cache(maxsize=16000)
def hit_seconds(path: str) -> float:
    """Length of a sound file, from its header."""
    return audio.header_seconds(path)


def transpose(sound: np.ndarray, semitones: float) -> np.ndarray:
    """Shift by resampling (the length changes too); a copy."""
    if abs(semitones) < 0.01:
        return sound.copy()
    return soxr.resample(sound, SAMPLE_RATE * 2 ** (semitones / 12), SAMPLE_RATE, quality="MQ").astype(np.float32)


def activity(signal: np.ndarray, floor_db: float = -40.0) -> tuple[float, float]:
    """Share of the time that is active (within `floor_db` of the loudest quarter second), and the RMS over it.

    >>> activity(np.concatenate([np.ones(44100), np.zeros(44100)]).astype(np.float32))
    (0.5, 1.0)
    """
    size = SAMPLE_RATE // 4
    count = max(1, len(signal) // size)
    power = np.mean(np.square(signal[: count * size].reshape(count, -1), dtype=np.float64), axis=1)
    if power.max() <= 1e-12:
        return 0.0, 0.0
    active = power > power.max() * 10 ** (floor_db / 10)
    return float(active.mean()), float(np.sqrt(power[active].mean()))


def level(signal: np.ndarray, rms_db: float = -20.0, peak: float = 0.95) -> np.ndarray:
    """Scale to `rms_db` dBFS over the active parts, less where the peak would pass `peak`; 15 ms fade at the end."""
    _, rms = activity(signal)
    signal = signal - np.float32(signal.mean())
    gain = min(10 ** (rms_db / 20) / max(rms, 1e-9), peak / max(float(np.abs(signal).max(initial=0)), 1e-9))
    out = (signal * np.float32(gain)).astype(np.float32)
    fade = min(len(out), round(0.015 * SAMPLE_RATE))
    out[len(out) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    out[:32] *= np.linspace(0, 1, 32, dtype=np.float32)[: len(out)]
    return out
