from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fewshot_sep.loops.instruments import amplifier
from fewshot_sep.loops.instruments.recorded_notes import note_voices
from fewshot_sep.loops.instruments.sampler import slide
from fewshot_sep.loops.library import SAMPLE_RATE
from fewshot_sep.loops.score import Note
from tests.loops.instruments import tones


def test_a_recorded_guitar_is_played_clean_and_through_three_channels(tmp_path: Path) -> None:
    folder = tmp_path / "black_guitar"
    for octave in range(2, 6):
        for name, step in (("c", 0), ("e", 4), ("g", 7)):
            path = folder / f"ord_twang_{name}{octave}_f_rr1.flac"
            tones.write(path, pitch=12 * octave + step, seconds=1.0)  # an octave under what the name says
    voices = note_voices(folder)
    assert [voice.instrument for voice in voices] == [*["clean guitar"] * 2, "overdriven guitar", "distortion guitar"]
    assert [voice.kind for voice in voices] == ["sampled", "amp", "amp", "amp"]
    assert len({voice.source for voice in voices}) == 4 and {voice.licence for voice in voices} == {"CC0"}
    for voice in voices[:2]:
        sound = voice.play([Note(0.0, 0.9, 52, 0.9)], SAMPLE_RATE, np.random.default_rng(4))
        assert tones.pitch_of(sound[4000:]) == pytest.approx(52, abs=0.3)


def test_a_bent_note_slides_to_its_pitch() -> None:
    tone = tones.make(69, 1.0)
    bent = slide(tone, -2.0)
    assert tones.pitch_of(bent[:2000]) < 68 and tones.pitch_of(bent[8000:30000]) == pytest.approx(69, abs=0.1)
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
