from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fewshot_sep import audio
from fewshot_sep.loops.instruments.sampler import Hit, KitVoice, RecordedNote, SampledVoice, StrumVoice, load_hit
from fewshot_sep.loops.instruments.sound_files import read_mono
from fewshot_sep.loops.instruments.voice import Playable
from fewshot_sep.loops.library import SAMPLE_RATE
from fewshot_sep.loops.score import Note
from tests.loops.instruments import tones

RNG = np.random.default_rng


def horn(*files: RecordedNote) -> SampledVoice:
    return SampledVoice(*Playable("horn", "brass", ("melody",), 60, 64), "here", "CC0", files)


@pytest.fixture
def recorded(tmp_path: Path) -> SampledVoice:
    paths = {pitch: tones.write(tmp_path / f"{pitch}.wav", pitch=pitch, seconds=1.0) for pitch in (60, 64)}
    return horn(*(RecordedNote(pitch, 0.5, path) for pitch, path in paths.items()))


@pytest.mark.parametrize("pitch", [58.0, 60.0, 61.0, 63.7, 66.0])
def test_recorded_notes_sound_at_their_pitch(recorded: SampledVoice, pitch: float) -> None:
    sound = recorded.play([Note(0.0, 0.8, pitch, 0.9)], SAMPLE_RATE, RNG(0))
    assert tones.pitch_of(sound[: round(0.7 * SAMPLE_RATE)]) == pytest.approx(pitch, abs=0.1)


def test_a_note_is_left_out_where_no_recording_is_near(recorded: SampledVoice) -> None:
    assert not recorded.play([Note(0.0, 0.8, 69, 0.9)], SAMPLE_RATE, RNG(0)).any()


def test_recorded_notes_start_and_stop_on_time(recorded: SampledVoice) -> None:
    sound = recorded.play([Note(0.25, 0.3, 60, 0.9), Note(2.0, 0.3, 60, 0.9)], SAMPLE_RATE, RNG(0))
    sounding = np.flatnonzero(np.abs(sound) > 1e-4) / SAMPLE_RATE
    assert sounding[0] == pytest.approx(0.25, abs=0.01)
    assert sounding[-1] == pytest.approx(0.25 + 0.3 + 0.08, abs=0.02)


def test_a_longer_recording_is_preferred_for_a_long_note(tmp_path: Path) -> None:
    paths = [tones.write(tmp_path / f"{seconds}.wav", seconds=seconds) for seconds in (0.2, 2.0)]
    voice = horn(*(RecordedNote(60, 0.5, path) for path in paths))
    sound = voice.play([Note(0.0, 1.5, 60, 0.9)], 2 * SAMPLE_RATE, RNG(0))
    assert np.abs(sound[SAMPLE_RATE : SAMPLE_RATE + 4410]).max() > 0.1


def test_a_kit_plays_the_hit_of_each_key_and_layer(tmp_path: Path) -> None:
    layers = {36: (36, 1.0), 60: (38, 0.5), 84: (38, 1.0)}
    paths = {pitch: tones.write(tmp_path / f"{pitch}.wav", pitch=pitch, seconds=0.3) for pitch in layers}
    hits = tuple(Hit(*layers[pitch], path) for pitch, path in paths.items())
    voice = KitVoice(*Playable("drums", "drums", ("groove",)), "here", "CC0", hits)
    for key, velocity, pitch in ((36, 0.9, 36), (38, 0.3, 60), (38, 0.9, 84)):
        sound = voice.play([Note(0.0, 0.2, key, velocity)], SAMPLE_RATE, RNG(0))
        assert tones.pitch_of(sound[:12000]) == pytest.approx(pitch, abs=0.5)
    assert not voice.play([Note(0.0, 0.2, 42, 0.9)], SAMPLE_RATE, RNG(0)).any()


def strummer(*strums: tuple[tuple[int, ...], str]) -> StrumVoice:
    return StrumVoice(*Playable("steel guitar", "guitar", ("strum",), 40, 79), "x", "CC0", strums)


@pytest.mark.parametrize(
    ("pitches", "expected"), [((48, 55, 64), 60), ((57, 60, 64, 69), 69), ((51, 57, 66), 75)], ids=["C", "Am", "Ebm7b5"]
)
def test_strums_are_played_by_the_nearest_chord(tmp_path: Path, pitches: tuple[int, ...], expected: int) -> None:
    chords = {60: (0, 4, 7), 69: (9, 0, 4), 75: (3, 6, 9, 1)}
    paths = {pitch: tones.write(tmp_path / f"{pitch}.wav", pitch=pitch, seconds=1.0) for pitch in chords}
    voice = strummer(*((chord, paths[pitch]) for pitch, chord in chords.items()))
    strum = [Note(0.1 + 0.02 * string, 0.5, pitch, 0.8) for string, pitch in enumerate(pitches)]
    sound = voice.play(strum, SAMPLE_RATE, RNG(0))
    sounding = np.flatnonzero(np.abs(sound) > 1e-3) / SAMPLE_RATE
    assert sounding[0] == pytest.approx(0.1, abs=0.01) and sounding[-1] == pytest.approx(0.66, abs=0.02)
    assert tones.pitch_of(sound[8820:22050]) == pytest.approx(expected, abs=0.2)


def test_strums_end_where_the_next_begins(tmp_path: Path) -> None:
    voice = strummer(((0, 4, 7), tones.write(tmp_path / "a.wav", seconds=2.0)))
    sound = voice.play([Note(0.0, 2.0, 60, 0.8), Note(0.5, 0.1, 60, 0.1)], SAMPLE_RATE, RNG(0))
    early, late = (np.abs(sound[start : start + 2205]).max() for start in (19845, 26460))
    assert late < 0.3 * early


def test_hits_are_read_from_their_onset_at_full_level(tmp_path: Path) -> None:
    path = tmp_path / "late.wav"
    audio.write(path, np.concatenate([np.zeros(20000, np.float32), 0.1 * tones.make(60, 0.3)]), SAMPLE_RATE)
    sound = load_hit(str(path))
    assert np.abs(sound).max() == pytest.approx(1.0, rel=1e-3)
    assert np.flatnonzero(np.abs(sound) > 0.1)[0] < 0.01 * SAMPLE_RATE


def test_other_rates_and_stereo_become_mono_at_the_library_rate(tmp_path: Path) -> None:
    audio.write(tmp_path / "stereo.wav", np.stack([tones.make(69, 0.5)] * 2), SAMPLE_RATE // 2)
    sound = read_mono(tmp_path / "stereo.wav")
    assert sound.shape == (SAMPLE_RATE,)
    assert tones.pitch_of(sound) == pytest.approx(69 - 12, abs=0.1)
