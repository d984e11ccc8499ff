from __future__ import annotations

import numpy as np
import pytest

from fewshot_sep.loops.instruments import oscillators, synth
from fewshot_sep.loops.instruments.synth import KINDS, InventedVoice, invented_voices, kind_of
from fewshot_sep.loops.instruments.voice import Playable, Sound
from fewshot_sep.loops.library import SAMPLE_RATE
from fewshot_sep.loops.score import Note

FRAMES = SAMPLE_RATE
SEEDS = {kind: [seed for seed in range(100) if kind_of(seed) == kind][:3] for kind in KINDS}


def play(seed: int, *notes: Note, frames: int = FRAMES) -> Sound:
    voice = InventedVoice(*Playable("x", "x", ()), "x", "CC0", seed)
    return voice.play(notes, frames, np.random.default_rng(0))


def test_every_kind_occurs_in_its_share() -> None:
    kinds = [kind_of(seed) for seed in range(1500)]
    for kind, share in zip(KINDS, synth.SHARES, strict=True):
        assert kinds.count(kind) / 1500 == pytest.approx(share, abs=0.04)


def test_voices_are_numbered_and_suit_their_kind() -> None:
    voices = invented_voices(60)
    assert [voice.instrument for voice in voices[:2]] == ["invented-00000", "invented-00001"]
    for seed, voice in enumerate(voices):
        assert voice.source == f"invented/{kind_of(seed)}" and voice.high - voice.low >= 14
        assert (voice.roles == ("beat",)) == bool(voice.keys) == (kind_of(seed) == "percussion")


@pytest.mark.parametrize("kind", KINDS)
def test_plays_finite_sound_in_time(kind: str) -> None:
    for seed in SEEDS[kind]:
        sound = play(seed, Note(0.1, 0.3, 57, 0.8), Note(0.5, 0.9, 60, 0.5), frames=FRAMES + 7)
        assert sound.shape == (FRAMES + 7,) and sound.dtype == np.float32
        assert np.isfinite(sound).all()
        assert np.sqrt(np.mean(sound[4410:] ** 2)) > 1e-3
        assert kind == "voice" or not sound[:4400].any()  # a voice slides and breathes
    assert not play(seed).any() and not play(seed, Note(1.5, 0.5, 60, 0.9)).any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_patch_is_its_seed_and_louder_notes_are_louder(kind: str) -> None:
    soft, loud = ([Note(0.0, 0.5, 60, velocity), Note(0.5, 0.4, 60, 1.0)] for velocity in (0.3, 1.0))
    one, other = SEEDS[kind][:2]
    sound = play(one, *loud)
    assert np.array_equal(sound, play(one, *loud))
    assert not np.allclose(sound, play(other, *loud), atol=1e-3)
    assert np.abs(sound[:20000]).mean() > 1.2 * np.abs(play(one, *soft)[:20000]).mean()


@pytest.mark.parametrize("kind", ["pluck", "voice"])
def test_octaves_sound_an_octave_apart(kind: str) -> None:
    hz = np.fft.rfftfreq(4 * FRAMES, 1 / SAMPLE_RATE)
    for seed in SEEDS[kind]:
        for pitch in (48, 60):
            sound, wanted = play(seed, Note(0.0, 1.0, pitch, 0.8)), 440 * 2 ** ((pitch - 69) / 12)
            power = np.abs(np.fft.rfft(sound * np.hanning(FRAMES), 4 * FRAMES)) * ((hz > 0.9 * wanted) & (hz < 500))
            harmonic = hz[np.argmax(power)] / wanted  # the fundamental, or one above it may be the stronger
            assert harmonic == pytest.approx(round(harmonic), abs=0.1)


def test_percussion_sounds_differ() -> None:
    hits = [play(SEEDS["percussion"][0], Note(0.0, 0.2, key, 0.9)) for key in range(synth.PERCUSSION_SOUNDS)]
    assert not np.allclose(hits[0], hits[1], atol=1e-3) and not np.allclose(hits[1], hits[2], atol=1e-3)


def test_filter_passes_what_it_should() -> None:
    noise = np.random.default_rng(0).standard_normal(30000).astype(np.float32)
    same = oscillators.shape(noise, lambda hz, frame: np.ones((len(frame), hz.shape[1])))
    np.testing.assert_allclose(same, noise, atol=1e-4)
    half = oscillators.shape(noise, lambda hz, frame: np.where(frame * 256 < 15000, 1.0, 0.0) * np.ones_like(hz))
    np.testing.assert_allclose(half[:13000], noise[:13000], atol=1e-4)
    assert not np.abs(half[17000:]).max() > 1e-4
