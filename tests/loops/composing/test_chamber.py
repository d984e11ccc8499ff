from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from fewshot_sep.loops.composing import chamber, patterns
from fewshot_sep.loops.composing.arrange import by_split
from fewshot_sep.loops.composing.ensemble import Part
from fewshot_sep.loops.instruments.synth import invented_voices
from fewshot_sep.loops.instruments.voice import Voice
from fewshot_sep.loops.library import SAMPLE_RATE
from fewshot_sep.loops.score import Note
from tests.loops.composing.voices import named

FAMILIES = {"flute": "pipe", "oboe": "reed", "violin": "strings", "trumpet": "brass", "tuba": "brass"}


@pytest.fixture
def orchestra() -> list[Voice]:
    return [voice for name, family in FAMILIES.items() for voice in named(name, family, 40)]


@pytest.fixture
def piano() -> Voice:
    return named("piano", "piano", roles=("chords", "melody"))[0]


def test_winds_and_strings_play_together_each_once_and_none_that_is_held_out(orchestra: list[Voice]) -> None:
    songs = chamber.plan([*orchestra, *invented_voices(30)], 100, 0)
    pools = by_split(orchestra)
    assert len(songs) == 100
    for song in songs:
        names = [part.voice.instrument for part in song.parts]
        assert 2 <= len(names) == len(set(names))
        assert set(names) <= {"flute", "oboe", "violin", "trumpet"}
        assert {part.role for part in song.parts} == {chamber.LINE}
        assert all(part.voice in pools[song.split] for part in song.parts)
    assert 0 < sum(song.split == "valid" for song in songs) < 20


def test_some_are_accompanied_but_not_by_a_melody(orchestra: list[Voice], piano: Voice) -> None:
    songs = [song for song in chamber.plan([*orchestra, piano], 100, 0) if song.split == "train"]
    last = [song.parts[-1] for song in songs if song.parts[-1].voice.instrument == "piano"]
    assert 0.1 < len(last) / len(songs) < 0.5
    assert {part.role for part in last} == {"chords"}
    assert all(part.voice.instrument != "piano" for song in songs for part in song.parts[:-1])


def test_recorded_notes_play_half_of_what_they_can(orchestra: list[Voice]) -> None:
    recorded = [voice for name, family in FAMILIES.items() for voice in named(name, family, kind="sampled")]
    songs = chamber.plan([*recorded, *orchestra], 200, 0)
    kinds = [part.voice.kind for song in songs if song.split == "train" for part in song.parts]
    assert 0.4 < kinds.count("sampled") / len(kinds) < 0.65


def test_without_two_such_instruments_there_are_no_songs() -> None:
    assert not chamber.plan([*invented_voices(30), *named("flute", "pipe", 40)], 50, 0)


def test_the_share_of_rooms_follows_the_setting(orchestra: list[Voice]) -> None:
    shares = [np.mean([song.room > 0 for song in chamber.plan(orchestra, 200, 0, room)]) for room in (0.0, 0.4, 1.0)]
    assert shares[0] == 0 and 0.6 < shares[1] < 0.8 and shares[2] == 1


def test_lines_are_bound_and_do_not_leap() -> None:
    held, leaps = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        notes = patterns.line(patterns.sketch(rng, bpm=chamber.BPM), rng, 55, 79)
        held += [one.duration / (two.start - one.start) for one, two in pairwise(notes)]
        leaps += [abs(two.pitch - one.pitch) for one, two in pairwise(notes)]
    assert np.median(held) > 0.9
    assert np.mean(np.array(leaps) <= 4) > 0.9 and max(leaps) <= 12


@pytest.mark.parametrize("role", ["line", "chords"])
def test_lines_alone_are_shaped(piano: Voice, role: str) -> None:
    part, song = Part(piano, role), chamber.Chamber("song", "train", ())
    notes = [Note(0.0, 1.5, 60, 0.8)]
    bare = part.voice.play(notes, SAMPLE_RATE * 2, np.random.default_rng(0))
    shaped = song.dry(part, notes, SAMPLE_RATE * 2, np.random.default_rng(0))
    assert shaped.shape == bare.shape
    assert np.array_equal(shaped, bare) == (role == "chords")


def test_parts_of_a_song_are_equally_long(orchestra: list[Voice]) -> None:
    song = next(song for song in chamber.plan(orchestra, 5, 0) if song.split == "train")
    rows, sounds = zip(*song.render(0), strict=True)
    assert len(rows) >= 2
    assert {row.song for row in rows} == {song.name}
    assert len({sound.shape for sound in sounds}) == 1
    assert all(row.beats == 16 and chamber.BPM[0] <= row.bpm <= chamber.BPM[1] for row in rows)
