from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fewshot_sep.loops.instruments.voices import InventedVoice, Voice

from fewshot_sep.loops.composing import chamber, make_library, patterns
from fewshot_sep.loops.composing.arrange import invented_voices, is_valid
from fewshot_sep.loops.composing.ensemble import Part
from fewshot_sep.loops.instruments import collections
from fewshot_sep.loops.library import SAMPLE_RATE
from fewshot_sep.loops.score import Note

ROLES = ("melody", "counter")


class Recorded(InventedVoice):
    """An invented instrument that counts as recorded notes."""

    @property
    def kind(self) -> str:
        return "sampled"


class Font(InventedVoice):
    """An invented instrument that counts as one of a soundfont."""

    @property
    def kind(self) -> str:
        return "soundfont"


def voices(kind: type[InventedVoice] = Font) -> list[Voice]:
    """Orchestral ones, of forty collections each."""
    named = [("flute", "pipe"), ("oboe", "reed"), ("violin", "strings"), ("trumpet", "brass"), ("tuba", "brass")]
    return [
        kind(name, f"font{source}", family, "CC0", ROLES, 55, 79, (), seed)
        for seed, (name, family) in enumerate(named)
        for source in range(40)
    ]


def piano() -> Voice:
    return Font("piano", "font", "piano", "CC0", ("chords", "melody"), 40, 80, (), 9)


def test_winds_and_strings_play_together_each_once_and_none_that_is_held_out() -> None:
    songs = chamber.plan([*voices(), *invented_voices(30)], 100, 0)
    assert len(songs) == 100
    for song in songs:
        names = [part.voice.instrument for part in song.parts]
        assert 2 <= len(names) == len(set(names))
        assert set(names) <= {"flute", "oboe", "violin", "trumpet"}
        assert {part.role for part in song.parts} == {chamber.LINE}
        assert {is_valid(part.voice) for part in song.parts} == {song.split == "valid"}
    assert 0 < sum(song.split == "valid" for song in songs) < 20


def test_some_are_accompanied_but_not_by_a_melody() -> None:
    songs = [song for song in chamber.plan([*voices(), piano()], 100, 0) if song.split == "train"]
    last = [song.parts[-1] for song in songs if song.parts[-1].voice.instrument == "piano"]
    assert 0.1 < len(last) / len(songs) < 0.5
    assert {part.role for part in last} == {"chords"}
    assert all(part.voice.instrument != "piano" for song in songs for part in song.parts[:-1])


def test_recorded_notes_play_half_of_what_they_can() -> None:
    both = [replace(voice, source="notes") for voice in voices(Recorded)[::40]] + voices()
    parts = [part for song in chamber.plan(both, 200, 0) if song.split == "train" for part in song.parts]
    assert 0.4 < np.mean([part.voice.kind == "sampled" for part in parts]) < 0.65


def test_without_two_such_instruments_there_are_no_songs() -> None:
    assert not chamber.plan([*invented_voices(30), *voices()[:40]], 50, 0)


def test_the_share_of_rooms_follows_the_setting() -> None:
    shares = [np.mean([song.room > 0 for song in chamber.plan(voices(), 200, 0, room)]) for room in (0.0, 0.4, 1.0)]
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
def test_lines_alone_are_shaped(role: str) -> None:
    part, song = Part(piano(), role), chamber.Chamber("song", "train", ())
    notes = [Note(0.0, 1.5, 60, 0.8)]
    bare = part.voice.play(notes, SAMPLE_RATE * 2, np.random.default_rng(0))
    shaped = song.dry(part, notes, SAMPLE_RATE * 2, np.random.default_rng(0))
    assert shaped.shape == bare.shape
    assert np.array_equal(shaped, bare) == (role == "chords")


def test_parts_of_a_song_are_equally_long_and_the_library_holds_them(tmp_path: Path) -> None:
    song = next(song for song in chamber.plan(voices(), 5, 0) if song.split == "train")
    rows = song.render(tmp_path, 0)
    assert len(rows) >= 2
    assert {row.song for row in rows} == {song.name}
    assert len({soundfile.info(tmp_path / row.path).frames for row in rows}) == 1
    assert all(row.beats == 16 and chamber.BPM[0] <= row.bpm <= chamber.BPM[1] for row in rows)


def test_phrases_are_cut_and_odd_playing_is_left_out(tmp_path: Path) -> None:
    names = {
        "flute/flute_A4_phrase_forte_legato": True,
        "flute/flute_A4_05_forte_normal": False,
        "cello/cello_A2_phrase_forte_pizz-tremolo": False,
        "snare-drum/snare-drum__phrase_forte_rhythm": True,
        "banjo/banjo_A4_phrase_forte_normal": False,
    }
    sound = 0.3 * np.sin(np.arange(4 * SAMPLE_RATE) * 0.05)
    for name in names:
        path = tmp_path / "notes" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, sound.astype(np.float32), SAMPLE_RATE)
    takes = collections.phrase_takes(tmp_path / "notes")
    assert [take.instrument for take in takes] == ["flute", "snare"]
    assert [Path(take.path).stem for take in takes] == [Path(name).stem for name, wanted in names.items() if wanted]
    rows = make_library.render(tmp_path / "out", [], takes, 0, workers=1).rows
    assert len(rows) == 4
    assert all(soundfile.info(tmp_path / "out" / row.path).frames == 2 * SAMPLE_RATE for row in rows)
