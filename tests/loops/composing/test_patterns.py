from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_sep.loops.composing import patterns
from fewshot_sep.loops.score import Chord, Note, Sketch

PITCHED = {
    "melody": patterns.melody,
    "chords": patterns.chords,
    "pad": patterns.pad,
    "arpeggio": patterns.arpeggio,
    "bass": patterns.bass,
    "line": patterns.line,
}
SEEDS = st.integers(0, 2**31)


def c_major(swing: float = 0.5) -> Sketch:
    return Sketch(0, "major", tuple(Chord(4.0 * bar, 4.0, (0, 4, 7)) for bar in range(4)), 120.0, swing)


@given(SEEDS)
def test_chords_fill_the_sketch_and_belong_to_the_key(seed: int) -> None:
    song = patterns.sketch(np.random.default_rng(seed))
    ends = [chord.start + chord.beats for chord in song.chords]
    assert song.chords[0].start == 0 and ends[-1] == song.beats
    assert [chord.start for chord in song.chords[1:]] == ends[:-1]
    assert all(set(chord.tones) <= set(song.scale) for chord in song.chords)
    assert song.seconds == pytest.approx(song.beats * 60 / song.bpm)


@pytest.mark.parametrize("part", PITCHED)
@settings(deadline=None)
@given(seed=SEEDS, low=st.integers(28, 60), span=st.integers(14, 40))
def test_parts_stay_in_the_song_the_key_and_the_range(part: str, seed: int, low: int, span: int) -> None:
    rng = np.random.default_rng(seed)
    song = patterns.sketch(rng)
    notes = PITCHED[part](song, rng, low, low + span)
    assert notes
    for note in notes:
        assert 0 <= note.start < song.seconds and note.duration > 0 and 0 < note.velocity <= 1
        assert low <= note.pitch <= low + span
        assert int(note.pitch) % 12 in song.scale


@settings(deadline=None)
@given(SEEDS)
def test_drum_parts_use_drum_keys_in_time(seed: int) -> None:
    rng = np.random.default_rng(seed)
    song = patterns.sketch(rng)
    kit = patterns.groove(song, rng)
    assert {note.pitch for note in kit} <= {36, 37, 38, 39, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 53}
    assert {note.pitch for note in patterns.beat(song, rng, (60, 61))} <= {60, 61}
    assert max(note.start for note in kit) < song.seconds


def test_a_held_chord_is_the_chord() -> None:
    notes = patterns.pad(c_major(), np.random.default_rng(0), 48, 72, most=4)
    by_bar = [{int(note.pitch) % 12 for note in notes if abs(note.start - 2.0 * bar) < 0.1} for bar in range(4)]
    assert all(classes and classes <= {0, 4, 7} for classes in by_bar)


def test_swing_moves_the_off_beats_only() -> None:
    def offbeats(swing: float) -> np.ndarray:
        spread = [patterns.groove(c_major(swing), np.random.default_rng(seed)) for seed in range(30)]
        parts = np.array([note.start / 0.5 % 1 for notes in spread for note in notes])
        return parts[(parts > 0.4) & (parts < 0.8)]

    # Grooves on triplets have hits at 0.67 of the beat already, the others move there from 0.5.
    assert np.median(offbeats(0.5)) == pytest.approx(0.5, abs=0.03)
    assert np.median(offbeats(0.66)) == pytest.approx(0.66, abs=0.03)


def test_bends_only_where_wanted() -> None:
    def bent(bends: bool) -> list[Note]:
        parts = [patterns.melody(c_major(), np.random.default_rng(n), 50, 70, bends=bends) for n in range(20)]
        return [note for notes in parts for note in notes if note.bend]

    assert bent(True) and not bent(False)


@given(SEEDS, st.sampled_from([1.0, 0.5, 0.25, 1 / 3]), st.floats(0.01, 1.0))
def test_rhythm_tiles_the_bar_after_its_first_note(seed: int, grid: float, density: float) -> None:
    steps = patterns.rhythm(np.random.default_rng(seed), grid, density)
    assert sum(length for _, length in steps) == pytest.approx(4 - steps[0][0])
    assert all(start / grid == pytest.approx(round(start / grid)) for start, _ in steps)
