"""Guitars and basses as records have them: through an amplifier, doubled, with chorus and echo."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.signal import butter, resample_poly, sosfilt

from fewshot_sep.loops.instruments.oscillators import Curve
from fewshot_sep.loops.instruments.voice import Sound, Voice, rms
from fewshot_sep.loops.library import SAMPLE_RATE
from fewshot_sep.loops.score import Note


class Channel(NamedTuple):
    """A channel of an amplifier: the instrument it makes of a guitar, its gain in dB and the parts that suit it."""

    instrument: str
    drive_db: tuple[float, float]
    roles: tuple[str, ...]


CHANNELS = {
    "guitar": (
        Channel("clean guitar", (-6.0, 6.0), ("strum", "strum", "arpeggio", "melody")),
        Channel("overdriven guitar", (10.0, 24.0), ("strum", "riff", "riff", "lead")),
        Channel("distortion guitar", (28.0, 46.0), ("riff", "riff", "lead")),
    ),
    "bass": (Channel("driven bass", (6.0, 30.0), ("bass",)),),
}
AMPLIFIED = frozenset({"clean guitar", "jazz guitar", "muted guitar", "steel guitar", "picked bass", "fingered bass"})
DOUBLED, CHORUS, ECHO, LOOSE_S = 0.4, 0.3, 0.3, 0.012
"""Chances of a second performance, of a chorus and of an echo, and by how much the second performance is apart."""


@dataclass(frozen=True)
class AmplifiedVoice(Voice):
    """`inner` through an amplifier; `seed` is its settings, the effects are the player's."""

    inner: Voice
    drive_db: tuple[float, float]
    seed: int

    kind = "amp"

    def play(self, notes: Sequence[Note], frames: int, rng: Generator) -> Sound:
        sound = amplify(self.inner.play(notes, frames, rng), self.seed, self.drive_db)
        if rng.random() < DOUBLED:
            loose = [note._replace(start=max(0.0, note.start + rng.normal(0, LOOSE_S))) for note in notes]
            again = amplify(self.inner.play(loose, frames, rng), self.seed + 1, self.drive_db)
            sound = sound + again * np.float32(rms(sound) / (rms(again) + 1e-9) * rng.uniform(0.5, 1.0))
        if rng.random() < CHORUS:
            sound = chorus(sound, rng.uniform(0.2, 1.5), rng.uniform(0.001, 0.004), rng.uniform(0.3, 0.8))
        if rng.random() < ECHO:
            sound = echo(sound, rng.uniform(0.09, 0.5), rng.uniform(0.1, 0.4), rng.uniform(0.1, 0.5))
        return sound


def amplified(plain: Voice) -> list[Voice]:
    """A recorded guitar or bass through each channel of an amplifier of its own; nothing for other instruments."""
    if plain.instrument not in AMPLIFIED:
        return []
    voices: list[Voice] = []
    for channel in CHANNELS[plain.family]:
        name = channel.instrument.replace(" ", "-")
        seed = zlib.crc32(f"{plain.source}/{plain.instrument}/{name}".encode())
        roles = ("riff",) if plain.instrument == "muted guitar" else channel.roles
        about = (channel.instrument, plain.family, roles, plain.low, plain.high, plain.keys)
        source = f"{plain.source}/{plain.instrument.replace(' ', '-')}+{name}"
        voices.append(AmplifiedVoice(*about, source, plain.licence, plain, channel.drive_db, seed))
    return voices


def chorus(sound: Sound, rate_hz: float, depth_s: float, mix: float) -> Sound:
    """`sound` and, `mix` times as loud, itself some 12 ms late, by `depth_s` more and less in turn."""
    at = np.arange(len(sound), dtype=np.float64)
    late = SAMPLE_RATE * (0.012 + depth_s * np.sin(2 * np.pi * rate_hz * at / SAMPLE_RATE))
    return np.asarray(sound + mix * np.interp(at - late, at, sound, left=0.0), np.float32)


def echo(sound: Sound, delay_s: float, feedback: float, mix: float, repeats: int = 5) -> Sound:
    """`sound` and `repeats` echoes of it, the first `mix` times as loud, each next one `feedback` times as loud."""
    out, lag = sound.copy(), round(delay_s * SAMPLE_RATE)
    for number in range(1, repeats + 1):
        if number * lag < len(sound):
            out[number * lag :] += np.float32(mix * feedback ** (number - 1)) * sound[: len(sound) - number * lag]
    return out


def amplify(signal: Sound, seed: int, drive_db: tuple[float, float] = (6.0, 46.0)) -> Sound:
    """A guitar or bass amplifier: tone before, an uneven tanh at twice the rate, a speaker cabinet after.

    The settings follow from `seed`; `drive_db` is the range of gain from the signal's RMS to the bend of the curve.
    """
    knobs = np.random.default_rng((13, seed))
    drive = 10 ** (knobs.uniform(*drive_db) / 20)
    low_cut, mid, lift = knobs.uniform(40, 220), knobs.uniform(500, 1600), knobs.uniform(0.3, 2.5)
    bias, blend = knobs.uniform(0, 0.5), 0.0 if knobs.random() < 0.75 else knobs.uniform(0.2, 0.5)
    cabinet, order = knobs.uniform(3200, 6500), int(knobs.integers(2, 5))
    peak, peak_gain = knobs.uniform(1200, 3500), knobs.uniform(0.2, 1.8)

    def filtered(sound: NDArray[np.floating], order: int, hz: float | tuple[float, float], kind: str) -> Curve:
        return np.asarray(sosfilt(butter(order, hz, kind, fs=SAMPLE_RATE, output="sos"), sound))

    tight = filtered(signal / (rms(signal) + 1e-9), 1, low_cut, "highpass")
    tight = tight + lift * filtered(tight, 1, (mid / 1.6, mid * 1.6), "bandpass")
    wide = resample_poly(tight * 0.3 * drive, 2, 1)
    bent = resample_poly(np.tanh(wide + bias) - np.tanh(bias), 1, 2)[: len(signal)]
    out = filtered((1 - blend) * bent + blend * tight * 0.3, order, cabinet, "lowpass")
    out = out + peak_gain * filtered(out, 1, (peak / 1.4, peak * 1.4), "bandpass")
    return filtered(out, 2, 65 if low_cut > 60 else 30, "highpass").astype(np.float32)
