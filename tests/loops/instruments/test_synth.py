from __future__ import annotations

import numpy as np
import pytest

from fewshot_sep.loops.instruments import synth
from fewshot_sep.loops.instruments.synth import KINDS, Patch, kind_of
from fewshot_sep.loops.library import SAMPLE_RATE
from fewshot_sep.loops.score import Note

FRAMES = SAMPLE_RATE


def seeds_of(kind: str, count: int = 3) -> list[int]:
    return [seed for seed in range(400) if kind_of(seed) == kind][:count]


def play(seed: int, *notes: Note, frames: int = FRAMES, player: int = 0) -> np.ndarray:
    return Patch(seed).play(notes, frames, np.random.default_rng(player))


def strongest(sound: np.ndarray, low: float, high: float) -> float:
    """Frequency of the strongest bin between two frequencies, in Hz."""
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 4 * len(sound)))
    hz = np.fft.rfftfreq(4 * len(sound), 1 / SAMPLE_RATE)
    inside = (hz >= low) & (hz <= high)
    return float(hz[inside][np.argmax(power[inside])])


def test_every_kind_occurs_in_its_share() -> None:
    kinds = [kind_of(seed) for seed in range(1500)]
    for kind, share in zip(KINDS, synth.SHARES, strict=True):
        assert kinds.count(kind) / 1500 == pytest.approx(share, abs=0.04)
    assert kinds.count("voice") / 1500 >= 0.15


@pytest.mark.parametrize("kind", KINDS)
def test_plays_finite_sound_of_the_length_asked_for(kind: str) -> None:
    for seed in seeds_of(kind):
        sound = play(seed, Note(0.1, 0.3, 57, 0.8), Note(0.5, 0.9, 60, 0.5), frames=FRAMES + 7)
        assert sound.shape == (FRAMES + 7,) and sound.dtype == np.float32
        assert np.isfinite(sound).all()
        assert np.sqrt(np.mean(sound[4410:] ** 2)) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_a_patch_is_its_seed(kind: str) -> None:
    one, two = seeds_of(kind, 2)
    note = Note(0.0, 0.5, 60, 0.8)
    assert np.array_equal(play(one, note), play(one, note))
    assert not np.allclose(play(one, note), play(two, note), atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_no_notes_no_sound(kind: str) -> None:
    assert not play(seeds_of(kind)[0]).any()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "voice"])
def test_silent_before_the_first_note(kind: str) -> None:
    sound = play(seeds_of(kind)[0], Note(0.5, 0.4, 60, 0.9))
    assert not sound[: SAMPLE_RATE // 2 - 1].any()
    assert sound[SAMPLE_RATE // 2 :].any()


@pytest.mark.parametrize("kind", ["pluck", "voice"])
def test_octaves_sound_an_octave_apart(kind: str) -> None:
    for seed in seeds_of(kind):
        hz = [
            strongest(play(seed, Note(0.0, 1.0, pitch, 0.8)), 0.9 * 440 * 2 ** ((pitch - 69) / 12), 500)
            for pitch in (48, 60)
        ]
        # The fundamental or the octave above it may be the stronger; both are octaves of the note.
        octaves = np.log2(np.array(hz) / (440 * 2 ** ((np.array([48, 60]) - 69) / 12)))
        assert np.abs(2.0**octaves - np.round(2.0**octaves)).max() < 0.1


def test_louder_notes_are_louder() -> None:
    for kind in KINDS:
        seed = seeds_of(kind)[0]
        soft, loud = (
            np.abs(play(seed, Note(0.0, 0.5, 60, v), Note(0.5, 0.4, 60, 1.0))[:20000]).mean() for v in (0.3, 1)
        )
        assert loud > 1.2 * soft, kind


def test_percussion_sounds_differ() -> None:
    seed = seeds_of("percussion")[0]
    hits = [play(seed, Note(0.0, 0.2, key, 0.9)) for key in range(synth.PERCUSSION_SOUNDS)]
    assert not np.allclose(hits[0], hits[1], atol=1e-3) and not np.allclose(hits[1], hits[2], atol=1e-3)


def test_a_note_past_the_end_is_ignored() -> None:
    for kind in KINDS:
        seed = seeds_of(kind)[0]
        assert not play(seed, Note(1.5, 0.5, 60, 0.9)).any(), kind


def test_filter_passes_what_it_should() -> None:
    noise = np.random.default_rng(0).standard_normal(30000).astype(np.float32)
    same = synth._shape(noise, lambda hz, frame: np.ones((len(frame), hz.shape[1])))
    np.testing.assert_allclose(same, noise, atol=1e-4)
    half = synth._shape(noise, lambda hz, frame: np.where(frame * 256 < 15000, 1.0, 0.0) * np.ones_like(hz))
    np.testing.assert_allclose(half[:13000], noise[:13000], atol=1e-4)
    assert not np.abs(half[17000:]).max() > 1e-4
