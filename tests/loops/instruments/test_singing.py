from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fewshot_sep import audio
from fewshot_sep.loops.instruments.singing import SungVoice, speech_voices, syllables
from fewshot_sep.loops.instruments.voice import Playable, Sound
from fewshot_sep.loops.library import SAMPLE_RATE
from fewshot_sep.loops.score import Note


def speech(hertz: float, seconds: float = 0.8) -> Sound:
    """Two vowels with a consonant's noise before each: a buzz of `hertz` with 1/k harmonics, through no vocal tract."""
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    buzz = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 30))
    noise = np.random.default_rng(0).normal(0, 0.2, len(time))
    place = time % 0.4
    sound = np.where(place < 0.08, noise, np.where(place < 0.3, buzz, 0.0))
    return (0.3 * sound).astype(np.float32)[None]


def midi(hertz: float) -> float:
    return float(69 + 12 * np.log2(hertz / 440))


def sung_pitch(sound: Sound) -> float:
    """MIDI pitch of the strongest period between 60 and 500 Hz, by autocorrelation."""
    spectrum = np.abs(np.fft.rfft(sound, 2 * len(sound))) ** 2
    first, last = SAMPLE_RATE // 500, SAMPLE_RATE // 60
    return midi(SAMPLE_RATE / (first + np.argmax(np.fft.irfft(spectrum)[first:last])))


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speech") / "anna"
    folder.mkdir()
    for number in range(10):
        audio.write(folder / f"{number}.wav", speech(110 + number), SAMPLE_RATE)
    return folder


def test_syllables_hold_a_consonant_and_a_vowel_at_the_spoken_pitch(speaker: Path) -> None:
    found = syllables(str(speaker / "0.wav"))
    assert len(found) == 2
    for syllable in found:
        assert syllable.envelope.shape == syllable.aperiodicity.shape == (len(syllable.envelope), 1025)
        assert 0 < syllable.onset < len(syllable.envelope)
        assert syllable.pitch == pytest.approx(midi(110), abs=0.5)


def test_a_folder_of_speakers_gives_singers_who_keep_to_the_notes(speaker: Path) -> None:
    (voice,) = speech_voices(speaker.parent)
    assert isinstance(voice, SungVoice)
    assert (voice.instrument, voice.kind, voice.source.split("/")[-1]) == ("vocals", "sung", "anna")
    pitches = [50, 55, 48]
    notes = [Note(0.1 + 1.0 * i, 0.9, pitch, 0.8) for i, pitch in enumerate(pitches)]
    sound = voice.play(notes, 4 * SAMPLE_RATE, np.random.default_rng(0))
    assert sound.shape == (4 * SAMPLE_RATE,)
    assert sound.dtype == np.float32
    assert np.abs(sound[-SAMPLE_RATE // 2 :]).max() < 1e-3 * np.abs(sound).max()
    sung = [sung_pitch(sound[round((0.5 + i) * SAMPLE_RATE) : round((0.9 + i) * SAMPLE_RATE)]) for i in range(3)]
    offset = np.array(sung) - pitches
    assert np.abs(offset - 12 * np.round(offset.mean() / 12)).max() < 0.8


def test_clips_without_a_voice_give_silence(tmp_path: Path) -> None:
    audio.write(tmp_path / "rest.wav", np.zeros((1, SAMPLE_RATE), np.float32), SAMPLE_RATE)
    voice = SungVoice(*Playable("vocals", "voice", ("vocal",)), "none", "CC0", (str(tmp_path / "rest.wav"),))
    assert not voice.play([Note(0.0, 1.0, 60, 0.8)], SAMPLE_RATE, np.random.default_rng(0)).any()


def test_a_folder_with_few_clips_is_no_speaker(tmp_path: Path) -> None:
    audio.write(tmp_path / "few" / "a.wav", speech(120), SAMPLE_RATE)
    assert speech_voices(tmp_path) == []
