"""Instruments invented while training runs: a batched synthesiser on the training device.

`fewshot_sep.loops.instruments.synth` renders instruments into a library, so there are as many as were rendered. Here
every task can hold one that never existed and never will again. All patches of a batch are played at once: partials
with free ratios, gains and decays, phase modulation, noise, and a body that colours whatever is played on it. Additive
and FM synthesis after Moore 1990, "Elements of Computer Music", chapter 3; no more of it is physical.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from fewshot_sep.loops.composing import patterns
from fewshot_sep.loops.score import Note
from fewshot_sep.loops.tasks.augment import equalisers

Floats = NDArray[np.float64]

PARTIALS = 24
PERCUSSION = 0.2
"""Share of patches that are struck and have no pitch."""
_KEYS = (0, 5, 12)  # semitones between the sounds of a struck patch
_AT_ONCE = 6  # notes; bounds memory
_ROLES = ("melody", "counter", "lead", "chords", "strum", "arpeggio", "pad", "riff", "bass")


class Patches(NamedTuple):
    """A batch of instruments, as numbers.

    Shape:
        ratio, gain, decay: `(count, PARTIALS)`; frequency re the fundamental, amplitude, decay in 1/s.
        attack, release: seconds, `(count,)`. vibrato: `(count, 2)`, depth as a share of the frequency and rate in Hz.
        modulation: `(count, 3)`, ratio, index and decay of the index in 1/s.
        noise: `(count, 2)`, level and decay in 1/s. body: seed of the resonances. low, high: range as MIDI pitches.
        struck: `(count,)`; without pitch.
    """

    ratio: Floats
    gain: Floats
    decay: Floats
    attack: Floats
    release: Floats
    vibrato: Floats
    modulation: Floats
    noise: Floats
    body: list[int]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    struck: NDArray[np.bool_]


def invent(random: Generator, count: int) -> Patches:
    """`count` instruments.

    >>> patches = invent(np.random.default_rng(0), 5)
    >>> patches.ratio.shape, bool((patches.ratio[:, 0] == 1).all())
    ((5, 24), True)
    """
    number = np.arange(1, PARTIALS + 1)
    struck = random.random(count) < PERCUSSION
    stiffness = np.where(random.random(count) < 0.4, 10 ** random.uniform(-5, -2.5, count), 0)[:, None]
    harmonic = number * np.sqrt(1 + stiffness * number**2)
    scattered = np.cumsum(random.uniform(0.15, 1.1, (count, PARTIALS)), axis=1)
    ratio = np.where(struck[:, None], scattered, harmonic)
    slope = random.uniform(0.3, 2.2, (count, 1))
    gain = number**-slope * 10 ** (random.normal(0, 6, (count, PARTIALS)) / 20)
    odd = (random.random(count) < 0.2) & ~struck
    gain[odd, 1::2] *= 0.05
    dying = struck | (random.random(count) < 0.45)
    ringing = np.where(struck, 10 ** random.uniform(0.5, 1.6, count), 10 ** random.uniform(-0.2, 1, count))
    base = np.where(dying, ringing, 0)
    decay = base[:, None] * (1 + random.uniform(0, 0.6, (count, 1)) * (number - 1))
    attack = np.where(dying, random.uniform(0.001, 0.01, count), 10 ** random.uniform(-2.5, -0.8, count))
    sways = (random.random(count) < 0.4) & ~dying
    vibrato = np.stack([np.where(sways, random.uniform(0.002, 0.012, count), 0), random.uniform(4, 7, count)], 1)
    modulated = random.random(count) < 0.35
    index = np.where(modulated, 10 ** random.uniform(-0.7, 0.7, count), 0)
    relation, settling = random.choice((0.5, 1, 1.41, 2, 3, 3.5), count), 10 ** random.uniform(-1, 1, count)
    modulation = np.stack([relation, index, settling], 1)
    breath = np.where(random.random(count) < 0.3, random.uniform(0, 0.3, count), 0)
    noise = np.stack([np.where(struck, random.uniform(0, 1.5, count), breath), np.where(dying, 3 * base + 5, 0)], 1)
    low = random.integers(30, 62, count)
    body = [int(seed) for seed in random.integers(2**31, size=count)]
    release, high = random.uniform(0.02, 0.3, count), low + random.integers(14, 34, count)

    return Patches(
        ratio / ratio[:, :1], gain, decay, attack, release, vibrato, modulation, noise, body, low, high, struck
    )


def scores(random: Generator, patches: Patches, seconds: float) -> list[list[Note]]:
    """For each patch a part that suits it, of a song of its own, from a random place; none is empty."""
    found = []
    for low, high, struck in zip(patches.low, patches.high, patches.struck, strict=True):
        song = patterns.sketch(random)
        if struck:
            beats = patterns.beat(song, random, range(len(_KEYS)))
            part = [note._replace(pitch=float(low) + _KEYS[int(note.pitch)]) for note in beats]
        else:
            part = patterns.pitched(str(random.choice(_ROLES)), song, random, float(low), float(high))
        first = part[int(random.integers(len(part)))].start if part else 0.0
        shown = [note._replace(start=note.start - first) for note in part if 0 <= note.start - first < seconds - 0.05]
        found.append(shown or [Note(0.0, seconds / 2, float(low), 0.8)])
    return found


def play(
    patches: Patches,
    parts: Sequence[Sequence[Note]],
    samples: int,
    sample_rate: int,
    seed: int,
    device: str | torch.device = "cpu",
) -> Tensor:
    """Every patch its part, all at an RMS of 1: `(count, samples)` float32; `seed` is that of the noise."""
    notes = sorted(
        ((owner, note) for owner, part in enumerate(parts) for note in part if note.start * sample_rate < samples),
        key=lambda pair: pair[1].duration,
    )
    out = torch.zeros(len(parts), samples, device=device)
    generator = torch.Generator(device).manual_seed(seed)
    for place in range(0, len(notes), _AT_ONCE):
        group = notes[place : place + _AT_ONCE]
        sound = _notes(patches, group, samples, sample_rate, generator)
        for (owner, note), wave in zip(group, sound, strict=True):
            start = max(0, round(note.start * sample_rate))
            out[owner, start : start + len(wave)] += wave[: samples - start]
    curves = torch.cat([equalisers(1, samples, sample_rate, body, depth_db=8.0) for body in patches.body]).to(device)
    out = torch.fft.irfft(torch.fft.rfft(out) * curves, samples)
    normalised: Tensor = out / out.square().mean(1, keepdim=True).sqrt().clamp(min=1e-6)
    return normalised


def _notes(
    patches: Patches, group: Sequence[tuple[int, Note]], samples: int, sample_rate: int, generator: torch.Generator
) -> Tensor:
    """A few notes at once, each from its own start: `(notes, longest)`."""
    device, owners = generator.device, [owner for owner, _ in group]

    def columns(values: Floats, of: Sequence[int] | slice = owners) -> Tensor:
        """`(columns, notes, 1)`"""
        return torch.as_tensor(values[of], dtype=torch.float32, device=device).T.unsqueeze(2)

    score = np.array([(note.duration, note.pitch, note.velocity) for _, note in group])
    length, pitch, velocity = columns(score, slice(None))
    attack, release = columns(np.stack([patches.attack, patches.release], 1))
    longest = min(samples, int((float(length.max()) + float(release.max())) * sample_rate) + 1)
    time = torch.arange(longest, device=device)[None] / sample_rate
    hertz = 440 * 2 ** ((pitch - 69) / 12)
    depth, rate = columns(patches.vibrato)
    # The integral of a frequency that sways as a cosine.
    phase = 2 * torch.pi * hertz * (time + depth / (2 * torch.pi * rate) * torch.sin(2 * torch.pi * rate * time))
    relation, index, fading = columns(patches.modulation)
    modulator = index * torch.exp(-fading * time) * torch.sin(relation * phase)
    ratio = columns(patches.ratio)
    weights = columns(patches.gain) * (ratio * hertz < 0.45 * sample_rate).float()
    weights = weights / weights.abs().sum(0).clamp(min=1e-6)
    wave = torch.zeros_like(phase)
    for weight, partial, fall in zip(weights, ratio, columns(patches.decay), strict=True):
        wave += weight * torch.exp(-fall * time) * torch.sin(partial * phase + modulator)
    level, dying = columns(patches.noise)
    if bool((level > 0).any()):
        wave += 0.3 * level * torch.exp(-dying * time) * torch.randn(wave.shape, device=device, generator=generator)
    envelope = (time / attack).clamp(max=1) * ((length + release - time) / release).clamp(0, 1)
    shaped: Tensor = wave * envelope * velocity
    return shaped
