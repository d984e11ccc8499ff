"""Instruments that never existed: random patches of a small synthesiser, each reproducible from its seed.

A separator that trains on them cannot get by with naming classes; it must follow the query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from fewshot_sep.loops.instruments import oscillators as osc
from fewshot_sep.loops.instruments.formant_singer import FormantSinger
from fewshot_sep.loops.instruments.voice import Playable, Sound, Voice, add, fade_ends
from fewshot_sep.loops.library import SAMPLE_RATE
from fewshot_sep.loops.score import Note

KINDS = ("additive", "fm", "pluck", "subtractive", "voice", "percussion")
SHARES = (0.20, 0.16, 0.12, 0.18, 0.24, 0.10)
PERCUSSION_SOUNDS = 3


def kind_of(seed: int) -> str:
    """The kind of the patch with this seed, one of `KINDS` in the proportions `SHARES`."""
    return str(np.random.default_rng((7, seed)).choice(KINDS, p=SHARES))


@dataclass(frozen=True)
class InventedVoice(Voice):
    """One invented instrument. The same seed is the same instrument for ever.

    For percussion the pitch of a note selects one of `PERCUSSION_SOUNDS` related sounds.
    """

    seed: int

    kind = "invented"

    def play(self, notes: Sequence[Note], frames: int, rng: Generator) -> Sound:
        kind, patch = kind_of(self.seed), np.random.default_rng((11, self.seed))
        if kind == "voice":
            return FormantSinger(patch).sing(notes, frames, rng)
        instrument = _MAKERS[kind](patch)
        out = np.zeros(frames, np.float32)
        for note in notes:
            room = frames - round(note.start * SAMPLE_RATE)
            if room > 0:
                add(out, instrument.note(note, room, rng), note.start, note.velocity**1.5)
        return _effects(patch, out)


def invented_voices(count: int) -> list[Voice]:
    """The first `count` invented instruments with the parts and ranges that suit them."""
    voices: list[Voice] = []
    for seed in range(count):
        kind, rng = kind_of(seed), np.random.default_rng((17, seed))
        low = int(rng.integers(36, 62))
        high = low + int(rng.integers(19, 34))
        played = Playable(f"invented-{seed:05d}", "invented", (), low, high)
        if kind == "percussion":
            keys = tuple(range(PERCUSSION_SOUNDS))
            played = played._replace(family="invented percussion", roles=("beat",), keys=keys)
        elif kind == "voice":
            low = int(rng.integers(41, 62))
            high = low + int(rng.integers(14, 22))
            played = played._replace(family="invented voice", roles=("vocal", "vocal", "counter"), low=low, high=high)
        elif rng.random() < 0.3:
            played = played._replace(roles=("bass",), low=28, high=55)
        elif kind == "pluck":
            played = played._replace(roles=("strum", "arpeggio", "melody"))
        else:
            played = played._replace(roles=("melody", "chords", "arpeggio", "pad", "counter"))
        voices.append(InventedVoice(*played, f"invented/{kind}", "CC0", seed))
    return voices


class _Instrument(Protocol):
    def __init__(self, patch: Generator) -> None: ...

    def note(self, note: Note, room: int, rng: Generator) -> Sound:
        """One note from its start, at most about `room` samples."""


class _Additive:
    """A sum of partials with random strengths, stretching, and decays of their own, under a fixed formant envelope."""

    def __init__(self, patch: Generator) -> None:
        self.pitch, self.envelope = osc.Pitch(patch), osc.Envelope.draw(patch)
        count = int(patch.integers(3, 28))
        number = np.arange(1, count + 1, dtype=np.float64)
        style = patch.choice(("harmonic", "stretched", "odd", "bell", "drawbar"), p=(0.35, 0.2, 0.15, 0.18, 0.12))
        if style == "stretched":
            number = number * np.sqrt(1 + 10 ** patch.uniform(-4, -2) * number**2)
        elif style == "odd":
            number = 2 * number - 1
        elif style == "bell":
            number = np.sort(np.concatenate(([1.0], patch.uniform(0.5, 9.0, min(count, 10)))))
        elif style == "drawbar":
            number = np.array((0.5, 1, 1.5, 2, 3, 4, 5, 6, 8))
        self.ratio = number
        self.level = (10 ** patch.uniform(-1.4, 0, len(number))).astype(np.float32)
        self.fade = (10 ** patch.uniform(-0.9, 0.6, len(number)) / number**0.4).astype(np.float32)
        self.own_decay = style == "bell" or patch.random() < 0.45
        self.seed = int(patch.integers(1 << 31))
        self.breath = patch.uniform(0.01, 0.12) if patch.random() < 0.25 else 0.0

    def note(self, note: Note, room: int, rng: Generator) -> Sound:
        gain = self.envelope.curve(note.duration, room)
        cycles, _ = self.pitch.cycles(note, len(gain), rng)
        hz = float(osc.frequency(note.pitch)) * self.ratio
        formant = osc.formants(np.random.default_rng(self.seed), hz)
        keep = hz < 17000
        t = osc.times(len(gain))
        out = np.zeros(len(gain), np.float32)
        bright = 0.5 + note.velocity
        rows = zip(self.ratio[keep], (self.level * formant)[keep], self.fade[keep], strict=True)
        for ratio, level, fade in rows:
            strength = level * bright ** (0.3 * max(ratio - 1, 0) ** 0.5)
            partial = osc.sine(cycles * ratio + rng.random()) * np.float32(strength)
            out += partial * np.exp(-t / fade) if self.own_decay else partial
        if self.breath:
            out += self.breath * float(np.abs(out).max()) * rng.standard_normal(len(out)).astype(np.float32)
        return out * gain / np.float32(np.sqrt(np.sum((self.level * formant)[keep] ** 2)) + 1e-6)


class _Fm:
    """Two to four sine operators in a row, or two pairs side by side; each modulation index has its own decay."""

    def __init__(self, patch: Generator) -> None:
        self.pitch, self.envelope = osc.Pitch(patch), osc.Envelope.draw(patch)
        self.count = int(patch.integers(2, 5))
        simple = (0.5, 1, 1, 1, 2, 2, 3, 4, 5, 7)
        self.ratio = [1.0]
        for _ in range(self.count - 1):
            self.ratio.append(float(patch.choice(simple) if patch.random() < 0.75 else patch.uniform(0.5, 8)))
        self.index = 10 ** patch.uniform(-0.6, 0.55, self.count)
        self.decay = 10 ** patch.uniform(-1.3, 0.6, self.count)
        self.floor = patch.uniform(0, 0.8, self.count)
        self.parallel = self.count == 4 and patch.random() < 0.6
        self.detune = patch.uniform(0, 0.004)

    def note(self, note: Note, room: int, rng: Generator) -> Sound:
        gain = self.envelope.curve(note.duration, room)
        cycles, step = self.pitch.cycles(note, len(gain), rng)
        t = osc.times(len(gain))
        tame = min(1.0, 4000 / (float(step[0]) * SAMPLE_RATE * max(self.ratio) * 1.5))

        def operator(which: int, modulation: Sound | float) -> Sound:
            return osc.sine(cycles * self.ratio[which] * (1 + self.detune * (which % 2)) + modulation)

        def amount(which: int) -> Sound:
            fall = self.floor[which] + (1 - self.floor[which]) * np.exp(-t / np.float32(self.decay[which]))
            return np.asarray(self.index[which] * tame * (0.4 + 0.6 * note.velocity) / np.pi * fall, np.float32)

        if self.parallel:
            second = osc.sine(cycles * (1 + self.detune) + amount(3) * operator(3, 0.0))
            return gain * (operator(0, amount(1) * operator(1, 0.0)) + 0.7 * second)
        modulation: Sound | float = 0.0
        for which in range(self.count - 1, 0, -1):
            modulation = amount(which) * operator(which, modulation)
        return gain * operator(0, modulation)


class _Pluck:
    """A plucked string as its damped modes (cf. Karplus & Strong 1983), with pluck position and body."""

    def __init__(self, patch: Generator) -> None:
        self.position, self.stiff = patch.uniform(0.05, 0.5), 10 ** patch.uniform(-5.5, -3.2)
        self.ring, self.damp = 10 ** patch.uniform(-0.5, 0.7), 10 ** patch.uniform(-1.5, 0.3)
        self.tilt, self.release = patch.uniform(0.5, 1.6), patch.uniform(0.03, 0.25)
        self.seed = int(patch.integers(1 << 31))
        self.courses = int(patch.choice((1, 1, 2)))
        self.detune = patch.uniform(0.02, 0.12)

    def note(self, note: Note, room: int, rng: Generator) -> Sound:
        seconds = min(room / SAMPLE_RATE, note.duration + 4 * self.release, 6.0)
        t = osc.times_within(seconds)
        out = np.zeros(len(t), np.float32)
        for course in range(self.courses):
            base = float(osc.frequency(note.pitch + course * self.detune))
            number = np.arange(1, int(np.clip(14000 / base, 1, 40)) + 1)
            hz = base * number * np.sqrt(1 + self.stiff * number**2)
            body = osc.formants(np.random.default_rng(self.seed), hz)
            level = np.abs(np.sin(np.pi * number * self.position)) / number**self.tilt * np.sqrt(body)
            level *= (0.4 + 0.6 * note.velocity) ** (0.15 * number)
            fade = self.ring / (1 + self.damp * 0.15 * number) * (220 / base) ** 0.4
            for f, gain, slow in zip(hz, level, fade, strict=True):
                length = min(len(t), int(7 * slow * SAMPLE_RATE) + 64)
                x = t[:length]
                out[:length] += np.float32(gain) * np.exp(-x / np.float32(slow)) * osc.sine(x * np.float32(f))
        size = min(len(t), 400)
        pluck = rng.standard_normal(size).astype(np.float32) * np.linspace(0.08, 0, size, dtype=np.float32)
        out[:size] += pluck * note.velocity
        osc.release(out, t, float(np.float32(note.duration)), self.release)
        fade_ends(out, 0, 64)
        return out


class _Subtractive:
    """Detuned saws or pulses through a resonant low-pass that an envelope or a slow oscillator moves."""

    def __init__(self, patch: Generator) -> None:
        self.pitch, self.envelope = osc.Pitch(patch), osc.Envelope.draw(patch)
        self.voices = int(patch.choice((1, 1, 2, 3, 5)))
        self.detune = patch.uniform(0.03, 0.25)
        self.wave = str(patch.choice(("saw", "pulse", "square", "both")))
        self.width = patch.uniform(0.1, 0.4)
        self.sub = patch.uniform(0, 0.6) if patch.random() < 0.35 else 0.0
        self.cutoff, self.sweep = 10 ** patch.uniform(2.4, 3.7), patch.uniform(-1.0, 4.0)
        self.decay, self.resonance = 10 ** patch.uniform(-1.3, 0.2), patch.uniform(0, 0.95) ** 0.5
        wobbles = patch.random() < 0.2
        self.wobble, self.wobble_rate = (patch.uniform(0.5, 2), patch.uniform(0.4, 8)) if wobbles else (0.0, 1.0)
        self.noise = patch.uniform(0.02, 0.3) if patch.random() < 0.2 else 0.0

    def note(self, note: Note, room: int, rng: Generator) -> Sound:
        gain = self.envelope.curve(note.duration, room)
        cycles, step = self.pitch.cycles(note, len(gain), rng)
        out = np.zeros(len(gain), np.float32)
        for voice in range(self.voices):
            off = 2 ** ((voice - (self.voices - 1) / 2) * self.detune / 12)
            start = rng.random()
            wave = osc.saw(cycles * off + start, step * off)
            if self.wave != "saw":
                pulse = wave - osc.saw(cycles * off + start, step * off, 0.5 if self.wave == "square" else self.width)
                wave = pulse if self.wave != "both" else wave + 0.5 * pulse
            out += wave
        if self.sub:
            out += np.float32(self.sub * self.voices) * osc.sine(cycles * 0.5)
        if self.noise:
            out += np.float32(self.noise) * rng.standard_normal(len(out)).astype(np.float32)
        t = np.arange(0, len(gain) + 2 * osc.HOP, osc.HOP) / SAMPLE_RATE
        octaves = self.sweep * (0.5 + 0.5 * note.velocity) * np.exp(-t / self.decay)
        octaves += self.wobble * np.sin(2 * np.pi * self.wobble_rate * (t + note.start))
        keyed = self.cutoff * (float(osc.frequency(note.pitch)) / 262) ** 0.4
        cutoff = np.clip(keyed * 2.0**octaves, max(80, float(step[0]) * SAMPLE_RATE * 0.8), 18000)

        def response(hz: Sound, frame: NDArray[np.int64]) -> NDArray[np.floating]:
            x = hz / cutoff[np.minimum(frame, len(cutoff) - 1)]
            q = 0.7 + 6 * self.resonance**3
            return np.asarray(1 / np.sqrt((1 - x**2) ** 2 + (x / q) ** 2))

        return np.asarray(osc.shape(out, response) * gain / self.voices**0.5, np.float32)


class _Percussion:
    """Struck things: a few damped inharmonic modes with a pitch drop, and filtered noise; three related sounds."""

    def __init__(self, patch: Generator) -> None:
        base = 10 ** patch.uniform(1.75, 3.0)
        self.drop, self.drop_time = patch.uniform(0, 1.5), patch.uniform(0.01, 0.08)
        self.noise = patch.uniform(0, 1) if patch.random() < 0.75 else 0.0
        self.tone = patch.uniform(0.3, 1) if patch.random() < 0.8 or not self.noise else 0.0
        count = int(patch.integers(1, 8))
        ratios = np.sort(np.concatenate(([1.0], patch.uniform(1.2, 7.0, count))))
        spread = np.sort(patch.uniform(0, 1.2, PERCUSSION_SOUNDS))
        self.hz = base * 2.0 ** spread[:, None] * ratios[None]
        self.level = 10 ** patch.uniform(-1, 0, count + 1)
        self.fade = 10 ** patch.uniform(-1.5, -0.2) / ratios ** patch.uniform(0.2, 1.2)
        low = 10 ** patch.uniform(2.2, 3.8)
        self.band = (low, min(18000.0, low * 2 ** patch.uniform(0.7, 4)))
        self.noise_fade = 10 ** patch.uniform(-1.9, -0.6)
        self.grains = int(patch.integers(3, 9)) if patch.random() < 0.2 else 1
        self.sos = butter(2, self.band, "bandpass", fs=SAMPLE_RATE, output="sos")

    def note(self, note: Note, room: int, rng: Generator) -> Sound:
        which = int(note.pitch) % PERCUSSION_SOUNDS
        t = osc.times_within(min(room / SAMPLE_RATE, 7 * max(float(self.fade.max()), self.noise_fade) + 0.05))
        out = np.zeros(len(t), np.float32)
        fall = t + np.float32(self.drop * self.drop_time) * (1 - np.exp(-t / np.float32(self.drop_time)))
        for hz, level, fade in zip(self.hz[which], self.level, self.fade, strict=True):
            if hz < 17000:
                decay = np.exp(-t / np.float32(fade * (1 - 0.2 * which)))
                out += np.float32(self.tone * level) * osc.sine(fall * np.float32(hz)) * decay
        if self.noise:
            noise = sosfilt(self.sos, rng.standard_normal(len(t))).astype(np.float32)
            strikes = np.zeros(len(t), np.float32)
            for grain in range(self.grains):
                late = t - np.float32(grain * 0.018 * (1 + 0.2 * rng.random()))
                strike = np.exp(-np.maximum(late, 0) / np.float32(self.noise_fade))
                strikes = np.maximum(strikes, np.where(late >= 0, strike, 0))
            out += np.float32(2 * self.noise) * noise * strikes / np.float32(np.std(noise) + 1e-6)
        fade_ends(out, 32, 64)
        return out


_MAKERS: dict[str, type[_Instrument]] = {
    "additive": _Additive,
    "fm": _Fm,
    "pluck": _Pluck,
    "subtractive": _Subtractive,
    "percussion": _Percussion,
}


def _effects(patch: Generator, signal: Sound) -> Sound:
    """What follows the instrument: sometimes distortion, tremolo, a short echo of itself."""
    trembles = patch.random() < 0.15
    tremolo, rate = (patch.uniform(0.2, 0.7), patch.uniform(2.5, 9)) if trembles else (0.0, 1.0)
    drive = 10 ** patch.uniform(0.3, 1.4) if patch.random() < 0.18 else 0.0
    lag = int(patch.uniform(0.004, 0.03) * SAMPLE_RATE) if patch.random() < 0.15 else 0
    if drive:
        signal = np.tanh(np.float32(drive) * signal / np.float32(np.abs(signal).max() + 1e-6))
    if tremolo:
        dip = 0.5 + 0.5 * np.sin(np.float32(2 * np.pi * rate) * osc.times(len(signal)))
        signal = signal * (1 - np.float32(tremolo) * dip)
    if lag:
        signal = signal.copy()
        signal[lag:] += 0.5 * signal[:-lag]
    return signal.astype(np.float32)
