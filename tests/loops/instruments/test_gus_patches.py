from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewshot_sep.errors import BadAudio
from fewshot_sep.loops.instruments import gus_patches
from fewshot_sep.loops.library import SAMPLE_RATE, is_held_out
from fewshot_sep.loops.score import Note

RATE, ROOT = 22050, 220.5  # 100 frames a cycle: loops of whole cycles are seamless
LOOPED = 4 | 32 | 64
FAST = ((63, 63, 63, 63, 63, 63), (246, 246, 246, 0, 0, 0))


def patch(
    path: Path, modes: int, rates: tuple[int, ...] = FAST[0], levels: tuple[int, ...] = FAST[1], cycles: int = 20
) -> Path:
    """A patch of one sine at `ROOT` Hz, the second half of which is the loop."""
    sound = np.sin(2 * np.pi * np.arange(100 * cycles) / 100) * 0.5
    scale, offset, code = ((127, 0, "<i1"), (32767, 0, "<i2"), (127, 128, "<u1"), (32767, 32768, "<u2"))[modes & 3]
    body = np.round(sound * scale + offset).astype(code).tobytes()
    head = (b"GF1PATCH110\0ID#000002\0" + bytes(60) + bytes([1, 1, 0])).ljust(198, b"\0") + b"\1" + bytes(40)
    hz = [round(1000 * value) for value in (20.0, 20000.0, ROOT)]
    sample = struct.pack("<7sB3IH3I", b"sine", 0, len(body), len(body) // 2, len(body), RATE, *hz)
    tail = struct.pack("<HB6B6B6BB2H36x", 0, 7, *rates, *levels, *bytes(6), modes, 60, 1024)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + sample + tail + body)
    return path


@pytest.mark.parametrize("coding", range(4))
@pytest.mark.parametrize("pitch", [45, 76.5])
def test_notes_sound_at_their_pitch_while_they_are_held(tmp_path: Path, tones: Any, coding: int, pitch: float) -> None:
    samples = gus_patches.read(str(patch(tmp_path / "a.pat", LOOPED | coding)))
    sound = gus_patches.tone(samples, 440 * 2 ** ((pitch - 69) / 12), 0.7, SAMPLE_RATE)
    middle = sound[4410 : round(0.65 * SAMPLE_RATE)]
    assert tones.pitch(middle) == pytest.approx(pitch, abs=0.1)
    blocks = np.abs(middle[: len(middle) // 2205 * 2205].reshape(-1, 2205)).max(1)
    assert blocks.max() == pytest.approx(0.5 * 2 ** ((246 / 255 - 1) * 6), rel=0.05)
    assert blocks.min() == pytest.approx(blocks.max(), rel=0.05)
    assert np.abs(sound[round(0.72 * SAMPLE_RATE) :]).max(initial=0.0) == 0


def test_a_slow_release_dies_away_over_the_time_that_it_says(tmp_path: Path) -> None:
    # rate 0b10_001010: 10 << 3 = 80 a step, so from 246 to 0 in 246 * 8192 / 80 samples, 0.571 s
    samples = gus_patches.read(str(patch(tmp_path / "a.pat", LOOPED, (63, 63, 63, 0b10001010, 63, 63))))
    gain = gus_patches.envelope(samples[0], 0.2, 2 * SAMPLE_RATE)
    end = np.flatnonzero(gain)[-1] / SAMPLE_RATE
    assert end == pytest.approx(0.2 + 246 * 8192 / 80 / 44100, abs=0.01)
    half = gain[round((0.2 + 0.2856) * SAMPLE_RATE)]
    assert 20 * np.log10(half) == pytest.approx(20 * np.log10(2) * 6 * (123 / 255 - 1), abs=0.5)


def test_a_note_that_ends_early_is_released_from_where_it_is(tmp_path: Path) -> None:
    # rate 0b11_000001: 1 a step, so after 0.1 s the attack has come to 4410 / 8192 of a level
    samples = gus_patches.read(str(patch(tmp_path / "a.pat", LOOPED, (0b11000001, 63, 63, 63, 63, 63))))
    gain = gus_patches.envelope(samples[0], 0.1, SAMPLE_RATE)
    assert gain.max() == pytest.approx(2.0 ** ((4410 / 8192 / 255 - 1) * 6), rel=0.01)
    assert not gain[round(0.12 * SAMPLE_RATE) :].any()


def test_without_a_loop_the_recording_plays_once(tmp_path: Path) -> None:
    samples = gus_patches.read(str(patch(tmp_path / "a.pat", 64, (63,) * 6, (246,) * 6)))
    sound = gus_patches.tone(samples, ROOT, 2.0, 3 * SAMPLE_RATE)
    assert len(sound) == pytest.approx(2000 * SAMPLE_RATE / RATE, abs=8)


def test_a_loop_there_and_back_has_twice_the_length(tmp_path: Path) -> None:
    (sample,) = gus_patches.read(str(patch(tmp_path / "a.pat", LOOPED | 8)))
    assert sample.loop == (1000, 3000)
    np.testing.assert_array_equal(sample.sound[2000:], sample.sound[1000:2000][::-1])


def test_a_set_has_programs_and_a_kit_and_is_held_out(tmp_path: Path, tones: Any) -> None:
    folder = tmp_path / "freepats"
    for name in ("Tone_000/073_Flute", "Tone_000/058_Tuba", "Drum_000/036_Kick", "Drum_000/038_Snare"):
        patch(folder / f"{name}.pat", LOOPED)
    voices = {voice.instrument: voice for voice in gus_patches.patch_voices(folder)}
    assert set(voices) == {"flute", "tuba", "drums", "kick", "snare"}
    assert {(voice.source, voice.kind) for voice in voices.values()} == {("freepats", "soundfont")}
    assert all(is_held_out(voice.instrument, voice.source) for voice in voices.values())
    rng = np.random.default_rng(0)
    sound = voices["flute"].play([Note(0.5, 0.5, 72, 0.8)], 2 * SAMPLE_RATE, rng)
    assert not sound[: SAMPLE_RATE // 2].any()
    assert tones.pitch(sound[SAMPLE_RATE // 2 : SAMPLE_RATE]) == pytest.approx(72, abs=0.1)
    kick, nothing = (voices["drums"].play([Note(0.0, 0.1, key, 0.8)], SAMPLE_RATE, rng) for key in (36, 51))
    assert kick.any() and not nothing.any()


def test_what_is_no_patch_is_refused(tmp_path: Path) -> None:
    whole = patch(tmp_path / "whole.pat", LOOPED).read_bytes()
    for name, data in (("text", b"x" * 500), ("empty", b""), ("half", whole[: len(whole) // 2]), ("head", whole[:250])):
        path = tmp_path / f"{name}.pat"
        path.write_bytes(data)
        with pytest.raises(BadAudio, match=name):
            gus_patches.read(str(path))
    with pytest.raises(BadAudio, match="Tone_000"):
        gus_patches.patch_voices(tmp_path)
