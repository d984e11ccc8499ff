from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fewshot_sep import audio
from fewshot_sep.loops.instruments import amplifier
from fewshot_sep.loops.instruments.recorded_notes import note_voices
from fewshot_sep.loops.instruments.sampler import slide
from fewshot_sep.loops.library import SAMPLE_RATE
from fewshot_sep.loops.score import Note


def pitch_of(sound: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 19))
    return float(69 + 12 * np.log2(np.argmax(spectrum) * SAMPLE_RATE / (1 << 19) / 440))


def test_a_recorded_guitar_is_played_clean_and_through_three_channels(tmp_path: Path) -> None:
    folder = tmp_path / "black_guitar"
    folder.mkdir()
    for octave in range(2, 6):
        for name, step in (("c", 0), ("e", 4), ("g", 7)):
            hertz = 440 * 2 ** ((12 * octave + step - 69) / 12)  # an octave under what the name says
            tone = np.sin(2 * np.pi * hertz * np.arange(SAMPLE_RATE) / SAMPLE_RATE)[None]
            audio.write(folder / f"ord_twang_{name}{octave}_f_rr1.flac", (0.3 * tone).astype(np.float32), SAMPLE_RATE)
    voices = note_voices(folder)
    assert [voice.instrument for voice in voices] == [
        "clean guitar",
        "clean guitar",
        "overdriven guitar",
        "distortion guitar",
    ]
    assert [voice.kind for voice in voices] == ["sampled", "amp", "amp", "amp"]
    assert len({voice.source for voice in voices}) == 4 and {voice.licence for voice in voices} == {"CC0"}
    for voice in voices[:2]:
        sound = voice.play([Note(0.0, 0.9, 52, 0.9)], SAMPLE_RATE, np.random.default_rng(4))
        assert abs(pitch_of(sound[4000:]) - 52) < 0.3


def test_a_bent_note_slides_to_its_pitch() -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(SAMPLE_RATE) / SAMPLE_RATE).astype(np.float32)
    bent = slide(tone, -2.0)
    assert pitch_of(bent[:2000]) < 68 and abs(pitch_of(bent[8000:30000]) - 69) < 0.1
    assert slide(tone, 0.0) is tone


@pytest.mark.parametrize("delay", [0.1, 5.0])
def test_an_echo_comes_late_and_keeps_the_length(delay: float) -> None:
    click = np.zeros(SAMPLE_RATE, np.float32)
    click[0] = 1
    out = amplifier.echo(click, delay, 0.5, 0.4)
    expected = {0: 1.0} | {round(delay * n * SAMPLE_RATE): 0.4 * 0.5 ** (n - 1) for n in range(1, 6)}
    assert {int(at): round(float(out[at]), 4) for at in np.flatnonzero(out)} == {
        at: round(gain, 4) for at, gain in expected.items() if at < SAMPLE_RATE
    }
