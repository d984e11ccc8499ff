from __future__ import annotations

import numpy as np
import pytest

from fewshot_sep.loops.instruments.amplifier import amplify
from fewshot_sep.loops.instruments.general_midi import DRUM_PARTS, OPEN_NAMES, PROGRAMS
from fewshot_sep.loops.instruments.material import bundled_soundfont
from fewshot_sep.loops.instruments.soundfonts import soundfont_voices
from fewshot_sep.loops.instruments.voice import Sound, Voice
from fewshot_sep.loops.library import SAMPLE_RATE, is_held_out
from fewshot_sep.loops.score import Note
from tests.loops.instruments import tones


@pytest.fixture(scope="module")
def voices() -> list[Voice]:
    pytest.importorskip("tinysoundfont")
    font = bundled_soundfont()
    assert font is not None
    return soundfont_voices(font, amps=1)


def play(voice: Voice, *notes: Note) -> Sound:
    return voice.play(notes, SAMPLE_RATE, np.random.default_rng(0))


def test_a_soundfont_has_programs_drums_and_amplified_guitars(voices: list[Voice]) -> None:
    names = {voice.instrument for voice in voices}
    assert {"flute", "violin", "drums", "bongo", *DRUM_PARTS, "distortion guitar", "driven bass"} <= names
    assert {voice.kind for voice in voices} == {"soundfont", "amp"}
    assert "synth lead 1 (timgm6mb)" in names  # a name that leaves the sound open


def test_a_melody_keeps_pitch_and_time_and_slides_where_a_note_is_bent(voices: list[Voice]) -> None:
    flute = next(voice for voice in voices if voice.instrument == "flute")
    straight, bent = (play(flute, Note(0.3, 0.5, 72, 0.9, bend)) for bend in (0.0, -2.0))
    start, end = slice(13500, 15500), slice(24000, 34000)
    assert not straight[: round(0.29 * SAMPLE_RATE)].any()
    assert tones.pitch_of(straight[end]) == pytest.approx(72, abs=0.3) == tones.pitch_of(bent[end])
    assert not np.allclose(straight[start], bent[start], atol=1e-3)


def test_a_drum_part_plays_its_own_keys(voices: list[Voice]) -> None:
    kick = next(voice for voice in voices if voice.instrument == "kick")
    assert kick.keys == DRUM_PARTS["kick"]
    assert play(kick, Note(0.0, 0.2, kick.keys[0], 0.9)).any()


def test_amplifier_distorts_and_is_its_seed() -> None:
    clean = tones.make(45, 0.5)
    one = amplify(clean, 1, drive_db=(30, 31))
    assert np.array_equal(one, amplify(clean, 1, drive_db=(30, 31)))
    assert not np.allclose(one, amplify(clean, 2, drive_db=(30, 31)), atol=1e-2)
    power = np.abs(np.fft.rfft(one * np.hanning(len(one)))) ** 2
    hz = np.fft.rfftfreq(len(one), 1 / SAMPLE_RATE)
    assert power[(hz > 165) & (hz < 3000)].sum() > 0.05 * power[(hz > 80) & (hz < 165)].sum()
    assert power[hz > 15000].sum() < 1e-4 * power.sum()


@pytest.mark.parametrize("db", [-40.0, 0.0])
def test_amplifier_answers_to_the_playing_not_to_the_level(db: float) -> None:
    clean = tones.make(45, 0.3)
    np.testing.assert_allclose(amplify(clean * 10 ** (db / 20), 3), amplify(clean, 3), atol=1e-4)


def test_general_midi_knows_what_is_held_out_and_which_names_leave_the_sound_open() -> None:
    held_out = {key for key, program in PROGRAMS.items() if is_held_out(program.instrument)}
    assert held_out == {(0, program) for program in (12, 21, 23, 58, 70, 104, 105)}
    assert (0, 73) not in OPEN_NAMES and {(0, number) for number in range(80, 104)} <= OPEN_NAMES
    assert all(program.high - program.low >= 12 for program in PROGRAMS.values())
