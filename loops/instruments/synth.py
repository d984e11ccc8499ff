"""Instruments that never existed: random patches of a small synthesiser, each reproducible from its seed.

A separator that trains on them cannot get by with naming classes; it must follow the query.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.random import Generator
from scipy.signal import butter, sosfilt

from fewshot_sep.loops.library import SAMPLE_RATE
from fewshot_sep.loops.score import Note

_Response = Callable[[np.ndarray, np.ndarray], np.ndarray]

KINDS = ("additive", "fm", "pluck", "subtractive", "voice", "percussion")
SHARES = (0.20, 0.16, 0.12, 0.18, 0.24, 0.10)
PERCUSSION_SOUNDS = 3

VOWELS = np.array(
    [  # centre frequencies in Hz of five formants of a tenor: a, e, i, o, u (Csound manual, appendix D)
        (650, 1080, 2650, 2900, 3250),
        (400, 1700, 2600, 3200, 3580),
        (290, 1870, 2800, 3250, 3540),
        (400, 800, 2600, 2800, 3000),
        (350, 600, 2700, 2900, 3300),
    ],
    dtype=np.float32,
)
VOWEL_LEVELS_DB = np.array(
    [
        (0, -6, -7, -8, -22),
        (0, -14, -12, -14, -20),
        (0, -15, -18, -20, -30),
        (0, -10, -12, -12, -26),
        (0, -20, -17, -14, -26),
    ],
    dtype=np.float32,
)


def kind_of(seed: int) -> str:
    """The kind of the patch with this seed, one of `KINDS` in the proportions `SHARES`."""
    return str(np.random.default_rng((7, seed)).choice(KINDS, p=SHARES))


@dataclass(frozen=True)
class Patch:
    """One invented instrument. The same seed is the same instrument for ever."""

    seed: int

    @property
    def name(self) -> str:
        return f"invented-{self.seed:05d}"

    @cached_property
    def kind(self) -> str:
        return kind_of(self.seed)

    def play(self, notes: Sequence[Note], frames: int, rng: Generator) -> np.ndarray:
        """The notes as `(frames,)` float32 at 44.1 kHz, at no particular level.

        For percussion the pitch of a note selects one of `PERCUSSION_SOUNDS` related sounds. `rng` is the player, not
        the instrument: it varies noise and phase between notes.
        """
        patch = np.random.default_rng((11, self.seed))
        if self.kind == "voice":
            return _Singer(patch).sing(notes, frames, rng)
        makers: dict[str, Callable[[Generator], _Instrument]] = {
            "additive": _Additive,
            "fm": _Fm,
            "pluck": _Pluck,
            "subtractive": _Subtractive,
            "percussion": _Percussion,
        }
        instrument = makers[self.kind](patch)
        effects = _Effects(patch)
        out = np.zeros(frames, np.float32)
        for note in notes:
            start = round(note.start * SAMPLE_RATE)
            room = frames - start
            if room <= 0:
                continue
            sound = instrument.note(note, room, rng)[:room]
            out[start : start + len(sound)] += sound * np.float32(note.velocity**1.5)
        return effects.apply(out)


def frequency(pitch: np.ndarray | float) -> np.ndarray:
    """Hz of a MIDI pitch.

    >>> frequency(69.0)
    np.float32(440.0)
    """
    return np.float32(440.0) * np.float32(2.0) ** ((np.asarray(pitch, np.float32) - 69) / 12)


def _time(seconds: float) -> np.ndarray:
    return np.arange(max(64, int(seconds * SAMPLE_RATE)), dtype=np.float32) / SAMPLE_RATE


def _sine(cycles: np.ndarray) -> np.ndarray:
    """Sine of a phase in cycles, exact for large phases in float32."""
    return np.sin(np.float32(2 * np.pi) * (cycles - np.floor(cycles)).astype(np.float32))


def _saw(cycles: np.ndarray, step: np.ndarray, duty: np.ndarray | float = 0.0) -> np.ndarray:
    """Sawtooth of a phase in cycles, its jump smoothed by a polynomial (PolyBLEP, Valimaki & Huovilainen 2007)."""
    phase = (cycles + duty) % 1.0
    out = 2 * phase - 1
    early, late = phase < step, phase > 1 - step
    x = phase[early] / step[early]
    out[early] -= x + x - x * x - 1
    x = (phase[late] - 1) / step[late]
    out[late] -= x * x + x + x + 1
    return out.astype(np.float32)


class _Instrument(Protocol):
    def note(self, note: Note, room: int, rng: Generator) -> np.ndarray:
        """One note from its start, at most about `room` samples."""


@dataclass(frozen=True)
class _Envelope:
    """Attack, decay, sustain level and release; seconds, except sustain in [0, 1]. `decaying` ones never sustain."""

    attack: float
    decay: float
    sustain: float
    release: float

    @classmethod
    def draw(cls, rng: Generator, soft: bool | None = None) -> _Envelope:
        soft = bool(rng.random() < 0.35) if soft is None else soft
        attack = rng.uniform(0.04, 0.3) if soft else 10 ** rng.uniform(-3, -1.6)
        decay = 10 ** rng.uniform(-1.1, 0.5)
        sustain = 0.0 if rng.random() < 0.35 and not soft else rng.uniform(0.25, 1.0)
        return cls(attack, decay, sustain, 10 ** rng.uniform(-1.6, -0.2))

    def curve(self, held: float, room: int) -> np.ndarray:
        """Gain over a note held for `held` seconds and its release, at most `room` samples long."""
        t = _time(min(held + 4 * self.release, max(room, 64) / SAMPLE_RATE))
        level = self.sustain + (1 - self.sustain) * np.exp(-np.maximum(t - self.attack, 0) / self.decay)
        level *= np.minimum(t / self.attack, 1)
        after = t > held
        level[after] *= np.exp(-(t[after] - held) / self.release)
        level[-64:] *= np.linspace(1, 0, 64, dtype=np.float32)
        return level.astype(np.float32)


class _Pitch:
    """The way a patch's pitch moves: vibrato after a delay, an onset glide, bends asked for by the note."""

    def __init__(self, patch: Generator) -> None:
        self.rate, self.delay = patch.uniform(3.5, 7.5), patch.uniform(0, 0.5)
        self.depth = patch.uniform(0.05, 0.45) if patch.random() < 0.45 else 0.0
        self.glide = float(patch.choice((0, 0, 0, 0, 0.3, -0.5, 1.0, -2.0)))
        self.glide_time = patch.uniform(0.01, 0.08)

    def track(self, note: Note, frames: int, rng: Generator) -> np.ndarray:
        t = np.arange(frames, dtype=np.float32) / SAMPLE_RATE
        pitch = np.full(frames, note.pitch + rng.normal(0, 0.03), np.float32)
        if self.depth:
            swell = np.clip((t - self.delay) / 0.3, 0, 1)
            pitch += self.depth * swell * np.sin(2 * np.pi * self.rate * t + rng.uniform(0, 6.28)).astype(np.float32)
        if self.glide or note.bend:
            pitch += self.glide * np.exp(-t / self.glide_time) + note.bend * np.exp(-t / 0.08)
        return pitch

    def cycles(self, note: Note, frames: int, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
        """Phase in cycles (float64) and the step from sample to sample."""
        step = frequency(self.track(note, frames, rng)).astype(np.float64) / SAMPLE_RATE
        return np.cumsum(step), step


def _formants(patch: Generator, hz: np.ndarray) -> np.ndarray:
    """A random spectral envelope: a tilt and a few broad peaks."""
    tilt = patch.uniform(0.3, 1.6)
    gain = (np.maximum(hz, 60) / 300) ** -tilt
    for _ in range(int(patch.integers(1, 5))):
        centre, width, peak = 10 ** patch.uniform(2.3, 3.9), patch.uniform(0.08, 0.4), patch.uniform(1, 8)
        gain *= 1 + peak * np.exp(-((np.log10(np.maximum(hz, 20) / centre) / width) ** 2))
    return gain.astype(np.float32)


class _Additive:
    """A sum of partials with random strengths, stretching, and decays of their own, under a fixed formant envelope."""

    def __init__(self, patch: Generator) -> None:
        self.pitch, self.envelope = _Pitch(patch), _Envelope.draw(patch)
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

    def note(self, note: Note, room: int, rng: Generator) -> np.ndarray:
        gain = self.envelope.curve(note.duration, room)
        cycles, _ = self.pitch.cycles(note, len(gain), rng)
        hz = float(frequency(note.pitch)) * self.ratio
        formant = _formants(np.random.default_rng(self.seed), hz)
        keep = hz < 17000
        t = np.arange(len(gain), dtype=np.float32) / SAMPLE_RATE
        out = np.zeros(len(gain), np.float32)
        bright = 0.5 + note.velocity
        rows = zip(self.ratio[keep], (self.level * formant)[keep], self.fade[keep], strict=True)
        for ratio, level, fade in rows:
            part = _sine(cycles * ratio + rng.random()) * np.float32(level * bright ** (0.3 * max(ratio - 1, 0) ** 0.5))
            out += part * np.exp(-t / fade) if self.own_decay else part
        if self.breath:
            out += self.breath * float(np.abs(out).max()) * rng.standard_normal(len(out)).astype(np.float32)
        return out * gain / np.float32(np.sqrt(np.sum((self.level * formant)[keep] ** 2)) + 1e-6)


class _Fm:
    """Two to four sine operators in a row, or two pairs side by side; each modulation index has its own decay."""

    def __init__(self, patch: Generator) -> None:
        self.pitch, self.envelope = _Pitch(patch), _Envelope.draw(patch)
        self.count = int(patch.integers(2, 5))
        simple = (0.5, 1, 1, 1, 2, 2, 3, 4, 5, 7)
        self.ratio = [1.0] + [
            float(patch.choice(simple) if patch.random() < 0.75 else patch.uniform(0.5, 8))
            for _ in range(self.count - 1)
        ]
        self.index = 10 ** patch.uniform(-0.6, 0.55, self.count)
        self.decay = 10 ** patch.uniform(-1.3, 0.6, self.count)
        self.floor = patch.uniform(0, 0.8, self.count)
        self.parallel = self.count == 4 and patch.random() < 0.6
        self.detune = patch.uniform(0, 0.004)

    def note(self, note: Note, room: int, rng: Generator) -> np.ndarray:
        gain = self.envelope.curve(note.duration, room)
        cycles, step = self.pitch.cycles(note, len(gain), rng)
        t = np.arange(len(gain), dtype=np.float32) / SAMPLE_RATE
        tame = min(1.0, 4000 / (float(step[0]) * SAMPLE_RATE * max(self.ratio) * 1.5))

        def operator(which: int, modulation: np.ndarray | float) -> np.ndarray:
            return _sine(cycles * self.ratio[which] * (1 + self.detune * (which % 2)) + modulation)

        def amount(which: int) -> np.ndarray:
            fall = self.floor[which] + (1 - self.floor[which]) * np.exp(-t / np.float32(self.decay[which]))
            return (self.index[which] * tame * (0.4 + 0.6 * note.velocity) / np.pi * fall).astype(np.float32)

        if self.parallel:
            second = _sine(cycles * (1 + self.detune) + amount(3) * operator(3, 0.0))
            return gain * (operator(0, amount(1) * operator(1, 0.0)) + 0.7 * second)
        modulation: np.ndarray | float = 0.0
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

    def note(self, note: Note, room: int, rng: Generator) -> np.ndarray:
        seconds = min(room / SAMPLE_RATE, note.duration + 4 * self.release, 6.0)
        t = _time(seconds)
        out = np.zeros(len(t), np.float32)
        for course in range(self.courses):
            base = float(frequency(note.pitch + course * self.detune))
            number = np.arange(1, int(np.clip(14000 / base, 1, 40)) + 1)
            hz = base * number * np.sqrt(1 + self.stiff * number**2)
            body = _formants(np.random.default_rng(self.seed), hz)
            level = np.abs(np.sin(np.pi * number * self.position)) / number**self.tilt * np.sqrt(body)
            level *= (0.4 + 0.6 * note.velocity) ** (0.15 * number)
            fade = self.ring / (1 + self.damp * 0.15 * number) * (220 / base) ** 0.4
            for f, gain, slow in zip(hz, level, fade, strict=True):
                length = min(len(t), int(7 * slow * SAMPLE_RATE) + 64)
                x = t[:length]
                out[:length] += np.float32(gain) * np.exp(-x / np.float32(slow)) * _sine(x * np.float32(f))
        noise = rng.standard_normal(min(len(t), 400)).astype(np.float32) * np.linspace(
            0.08, 0, min(len(t), 400), dtype=np.float32
        )
        out[: len(noise)] += noise * note.velocity
        after = t > note.duration
        out[after] *= np.exp(-(t[after] - np.float32(note.duration)) / np.float32(self.release))
        out[-64:] *= np.linspace(1, 0, 64, dtype=np.float32)
        return out


class _Subtractive:
    """Detuned saws or pulses through a resonant low-pass that an envelope or a slow oscillator moves."""

    def __init__(self, patch: Generator) -> None:
        self.pitch, self.envelope = _Pitch(patch), _Envelope.draw(patch)
        self.voices = int(patch.choice((1, 1, 2, 3, 5)))
        self.detune = patch.uniform(0.03, 0.25)
        self.wave = str(patch.choice(("saw", "pulse", "square", "both")))
        self.width = patch.uniform(0.1, 0.4)
        self.sub = patch.uniform(0, 0.6) if patch.random() < 0.35 else 0.0
        self.cutoff, self.sweep = 10 ** patch.uniform(2.4, 3.7), patch.uniform(-1.0, 4.0)
        self.decay, self.resonance = 10 ** patch.uniform(-1.3, 0.2), patch.uniform(0, 0.95) ** 0.5
        self.wobble, self.wobble_rate = (
            (patch.uniform(0.5, 2), patch.uniform(0.4, 8)) if patch.random() < 0.2 else (0.0, 1.0)
        )
        self.noise = patch.uniform(0.02, 0.3) if patch.random() < 0.2 else 0.0

    def note(self, note: Note, room: int, rng: Generator) -> np.ndarray:
        gain = self.envelope.curve(note.duration, room)
        cycles, step = self.pitch.cycles(note, len(gain), rng)
        out = np.zeros(len(gain), np.float32)
        for voice in range(self.voices):
            off = 2 ** ((voice - (self.voices - 1) / 2) * self.detune / 12)
            start = rng.random()
            saw = _saw(cycles * off + start, step * off)
            if self.wave in ("pulse", "square", "both"):
                duty = 0.5 if self.wave == "square" else self.width
                pulse = saw - _saw(cycles * off + start, step * off, duty)
                saw = pulse if self.wave != "both" else saw + 0.5 * pulse
            out += saw
        if self.sub:
            out += np.float32(self.sub * self.voices) * _sine(cycles * 0.5)
        if self.noise:
            out += np.float32(self.noise) * rng.standard_normal(len(out)).astype(np.float32)
        t = np.arange(0, len(gain) + 512, 256) / SAMPLE_RATE
        octaves = self.sweep * (0.5 + 0.5 * note.velocity) * np.exp(-t / self.decay)
        octaves += self.wobble * np.sin(2 * np.pi * self.wobble_rate * (t + note.start))
        keyed = self.cutoff * (float(frequency(note.pitch)) / 262) ** 0.4
        cutoff = np.clip(keyed * 2.0**octaves, max(80, float(step[0]) * SAMPLE_RATE * 0.8), 18000)

        def response(hz: np.ndarray, frame: np.ndarray) -> np.ndarray:
            x = hz / cutoff[np.minimum(frame, len(cutoff) - 1)]
            q = 0.7 + 6 * self.resonance**3
            return 1 / np.sqrt((1 - x**2) ** 2 + (x / q) ** 2)

        return _shape(out, response) * gain / self.voices**0.5


def _shape(signal: np.ndarray, response: _Response, hop: int = 256) -> np.ndarray:
    """Filter by a zero-phase magnitude that changes over time: `response(hz (1, F), frame (T, 1)) -> (T, F)`."""
    size = 4 * hop
    window = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)
    count = -(-len(signal) // hop) + 3
    padded = np.zeros((count + 3) * hop, np.float32)
    padded[3 * hop : 3 * hop + len(signal)] = signal
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop][:count]
    hz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE).astype(np.float32)[None]
    index = np.arange(count)[:, None] - 1
    magnitude = response(hz, np.maximum(index, 0)).astype(np.float32)
    done = np.fft.irfft(np.fft.rfft(frames * window, axis=1) * magnitude, axis=1).astype(np.float32) * (window / 2)
    out = np.zeros((count + 3) * hop, np.float32)
    for part in range(4):
        out[part * hop : part * hop + count * hop] += done[:, part * hop : (part + 1) * hop].reshape(-1)
    return out[3 * hop : 3 * hop + len(signal)]


class _Percussion:
    """Struck things: a few damped inharmonic modes with a pitch drop, and filtered noise; three related sounds."""

    def __init__(self, patch: Generator) -> None:
        base, self.drop, self.drop_time = (
            10 ** patch.uniform(1.75, 3.0),
            patch.uniform(0, 1.5),
            patch.uniform(0.01, 0.08),
        )
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

    def note(self, note: Note, room: int, rng: Generator) -> np.ndarray:
        which = int(note.pitch) % PERCUSSION_SOUNDS
        t = _time(min(room / SAMPLE_RATE, 7 * max(float(self.fade.max()), self.noise_fade) + 0.05))
        out = np.zeros(len(t), np.float32)
        fall = t + np.float32(self.drop * self.drop_time) * (1 - np.exp(-t / np.float32(self.drop_time)))
        for hz, level, fade in zip(self.hz[which], self.level, self.fade, strict=True):
            if hz < 17000:
                decay = np.exp(-t / np.float32(fade * (1 - 0.2 * which)))
                out += np.float32(self.tone * level) * _sine(fall * np.float32(hz)) * decay
        if self.noise:
            noise = sosfilt(self.sos, rng.standard_normal(len(t))).astype(np.float32)
            strikes = np.zeros(len(t), np.float32)
            for grain in range(self.grains):
                late = t - np.float32(grain * 0.018 * (1 + 0.2 * rng.random()))
                strikes = np.maximum(
                    strikes, np.where(late >= 0, np.exp(-np.maximum(late, 0) / np.float32(self.noise_fade)), 0)
                )
            out += np.float32(2 * self.noise) * noise * strikes / np.float32(np.std(noise) + 1e-6)
        out[:32] *= np.linspace(0, 1, 32, dtype=np.float32)
        out[-64:] *= np.linspace(1, 0, 64, dtype=np.float32)
        return out


class _Singer:
    """A voice: glottal pulses with vibrato, drift and glides, breath and consonants, through changing vowels.

    Source and filter after Fant (1960); the pitch is one line through all notes, so that it slides as a voice does.
    """

    def __init__(self, patch: Generator) -> None:
        self.rate, self.depth = patch.uniform(4.3, 6.8), patch.uniform(0.12, 0.7) * (patch.random() < 0.85)
        self.delay, self.glide = patch.uniform(0.05, 0.45), patch.uniform(0.02, 0.09)
        self.scoop = patch.uniform(0, 1.5) * (patch.random() < 0.5)
        self.tract = 2 ** patch.uniform(-0.3, 0.45)
        self.width = patch.uniform(0.06, 0.14)
        self.tilt, self.breath = patch.uniform(0.35, 1.15), 10 ** patch.uniform(-2.2, -0.7)
        self.rough, self.growl = 10 ** patch.uniform(-2.5, -1.2), patch.uniform(0.1, 0.5) * (patch.random() < 0.15)
        self.people = int(patch.choice((1, 1, 1, 1, 2, 4)))
        self.consonants = patch.uniform(0, 0.9)
        self.twang = patch.uniform(0, 8) * (patch.random() < 0.5)
        self.odd = (
            patch.normal(0, 0.12, VOWELS.shape).astype(np.float32) if patch.random() < 0.4 else np.zeros_like(VOWELS)
        )

    def sing(self, notes: Sequence[Note], frames: int, rng: Generator) -> np.ndarray:
        if not notes:
            return np.zeros(frames, np.float32)
        return np.stack([self._one(notes, frames, rng, person) for person in range(self.people)]).sum(axis=0)

    def _one(self, notes: Sequence[Note], frames: int, rng: Generator, person: int) -> np.ndarray:
        hop = 256
        count = -(-frames // hop) + 4
        t = np.arange(count) * hop / SAMPLE_RATE
        pitch, level, noise = np.full(count, np.nan), np.zeros(count), np.zeros(count)
        vowel = np.zeros((count, len(VOWELS)))
        late = rng.normal(0, 0.02) if person else 0.0
        for index, note in enumerate(notes):
            start, stop = max(0.0, note.start + late), note.start + note.duration + late
            if index + 1 < len(notes):
                stop = min(stop, notes[index + 1].start + late)
            here = (t >= start) & (t < stop)
            if not here.any():
                continue
            x = t[here] - start
            swell = np.clip((x - self.delay) / 0.25, 0, 1)
            pitch[here] = note.pitch + (note.bend - self.scoop * rng.random()) * np.exp(-x / 0.06)
            pitch[here] += self.depth * swell * np.sin(2 * np.pi * self.rate * x * (1 + 0.03 * rng.standard_normal()))
            level[here] = note.velocity * np.minimum(1, x / 0.03) * np.minimum(1, (stop - t[here]) / 0.05)
            one, two = rng.integers(len(VOWELS), size=2)
            move = (
                np.clip(x / max(stop - start, 0.1) * rng.uniform(0.5, 2), 0, 1)
                if rng.random() < 0.5
                else np.zeros_like(x)
            )
            vowel[here, one] += 1 - move
            vowel[here, two] += move
            if rng.random() < self.consonants:
                opening = x < rng.uniform(0.04, 0.12)
                kind = rng.choice(("hiss", "stop", "hum"))
                at = np.flatnonzero(here)[opening]
                level[at] *= {"hiss": 0.1, "stop": 0.0, "hum": 0.5}[str(kind)]
                if kind == "hum":
                    vowel[at] = np.eye(len(VOWELS))[4]
                else:
                    noise[at if kind == "hiss" else at[-2:]] = note.velocity * rng.uniform(0.2, 0.7)
        known = ~np.isnan(pitch)
        pitch = np.interp(t, t[known], pitch[known]) if known.any() else np.full(count, 60.0)
        pitch = (
            _smooth(pitch, self.glide)
            + np.cumsum(rng.normal(0, 0.006, count)) * 0.3
            + rng.normal(0, 0.05 + 0.08 * (person > 0))
        )
        vowel, level = _smooth(vowel, 0.03), _smooth(level, 0.008)
        vowel /= vowel.sum(1, keepdims=True) + 1e-6
        samples = np.arange(frames)
        hz = frequency(np.interp(samples, t * SAMPLE_RATE, pitch)).astype(np.float64)
        hz *= (
            1
            + self.rough
            * np.interp(samples, samples[:: hop // 2], rng.standard_normal(len(samples[:: hop // 2])))
            * 0.3
        )
        step = hz / SAMPLE_RATE
        cycles = np.cumsum(step)
        source = _saw(cycles, step)
        if self.growl:
            source *= 1 + np.float32(self.growl) * _sine(cycles * 0.5)
        loud = np.interp(samples, t * SAMPLE_RATE, level).astype(np.float32)
        breath = (
            rng.standard_normal(frames).astype(np.float32)
            * np.float32(self.breath)
            * (0.5 + 0.5 * (cycles % 1)).astype(np.float32)
        )
        centres = VOWELS * (1 + self.odd) * self.tract
        levels = 10 ** (VOWEL_LEVELS_DB / 20)

        def response(f: np.ndarray, frame: np.ndarray) -> np.ndarray:
            mix = vowel[np.minimum(frame[:, 0], count - 1)]
            gain = np.full((len(mix), f.shape[1]), 0.004)
            for formant in range(centres.shape[1]):
                centre, height = mix @ centres[:, formant], mix @ levels[:, formant]
                peak = height * (1 + self.twang * (formant in (2, 3)))
                band = np.maximum(70.0, self.width * centre)
                gain += peak[:, None] / np.sqrt(1 + ((f - centre[:, None]) / band[:, None]) ** 2)
            return gain * (np.maximum(f, 80) / 200) ** (1 - self.tilt - 0.8)

        voiced = _shape((source + breath) * loud, response)
        if not noise.any():
            return voiced
        hiss = np.interp(samples, t * SAMPLE_RATE, _smooth(noise, 0.006)) * rng.standard_normal(frames)
        sos = butter(2, (2500, 9000), "bandpass", fs=SAMPLE_RATE, output="sos")
        return voiced + sosfilt(sos, hiss).astype(np.float32) * np.float32(0.5 * np.abs(voiced).max())


def _smooth(values: np.ndarray, seconds: float, hop: int = 256) -> np.ndarray:
    """Centred moving average (Hann) along the first axis of a control curve."""
    size = max(1, int(seconds * 2 * SAMPLE_RATE / hop)) | 1
    if size == 1:
        return values
    kernel = np.hanning(size + 2)[1:-1]
    kernel /= kernel.sum()
    flat = values.reshape(len(values), -1)
    wide = np.pad(flat, ((size // 2, size // 2), (0, 0)), mode="edge")
    return np.stack([np.convolve(column, kernel, "valid") for column in wide.T], 1).reshape(values.shape)


class _Effects:
    """What follows the instrument: sometimes tremolo, distortion, a short echo of itself."""

    def __init__(self, patch: Generator) -> None:
        self.tremolo, self.rate = (
            (patch.uniform(0.2, 0.7), patch.uniform(2.5, 9)) if patch.random() < 0.15 else (0.0, 1.0)
        )
        self.drive = 10 ** patch.uniform(0.3, 1.4) if patch.random() < 0.18 else 0.0
        self.delay = patch.uniform(0.004, 0.03) if patch.random() < 0.15 else 0.0

    def apply(self, signal: np.ndarray) -> np.ndarray:
        if self.drive:
            signal = np.tanh(np.float32(self.drive) * signal / np.float32(np.abs(signal).max() + 1e-6))
        if self.tremolo:
            t = np.arange(len(signal), dtype=np.float32) / SAMPLE_RATE
            signal = signal * (
                1 - np.float32(self.tremolo) * (0.5 + 0.5 * np.sin(np.float32(2 * np.pi * self.rate) * t))
            )
        lag = int(self.delay * SAMPLE_RATE)
        if lag:
            signal = signal.copy()
            signal[lag:] += 0.5 * signal[:-lag]
        return signal.astype(np.float32)
