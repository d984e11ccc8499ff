from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_sep.errors import BadAudio
from fewshot_sep.loops.composing import midi_songs
from fewshot_sep.loops.instruments.synth import invented_voices
from fewshot_sep.loops.library import SAMPLE_RATE, is_held_out
from fewshot_sep.loops.score import Note
from tests.loops.composing.voices import named

mido = pytest.importorskip("mido")
pytest.importorskip("pretty_midi")

Beats = list[tuple[float, float, int]]
"""Notes: start and length in beats, key."""


def midi(path: Path, notes: dict[tuple[int, int], Beats], bpm: float = 120.0) -> Path:
    """A file with the notes of each (channel, program), written event by event."""
    file = mido.MidiFile(ticks_per_beat=480)
    file.tracks.append(mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=round(60e6 / bpm))]))
    for (channel, program), some in notes.items():
        track = mido.MidiTrack([mido.Message("program_change", channel=channel, program=program)])
        events = [(start, "note_on", key) for start, _, key in some]
        events += [(start + length, "note_off", key) for start, length, key in some]
        now = 0.0
        for at, kind, key in sorted(events):
            track.append(mido.Message(kind, channel=channel, note=key, velocity=64, time=round((at - now) * 480)))
            now = at
        file.tracks.append(track)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save(path)
    return path


def tune(path: Path) -> Path:
    """Half a minute of a tune on a flute, a bass, a kit and bongos, a bar of nothing at its start."""
    beats = [4 + beat * 0.5 for beat in range(120)]
    parts: dict[tuple[int, int], Beats] = {
        (0, 73): [(beat, 0.45, 60 + index % 12) for index, beat in enumerate(beats)],
        (1, 33): [(beat, 0.9, 33 + index % 5) for index, beat in enumerate(beats[::2])],
        (9, 0): [(beat, 0.1, key) for key in (36, 60) for beat in beats],
        (2, 40): [(4.0, 1.0, 70)],
    }
    return midi(path, parts)


_PARTS = st.lists(st.tuples(st.integers(0, 127), st.integers(1, 8), st.integers(1, 8)), min_size=1, max_size=12)


@settings(deadline=None, max_examples=30)
@given(flute=_PARTS, bass=_PARTS, bongo=_PARTS, bpm=st.integers(40, 240))
def test_a_written_file_reads_back_as_the_same_notes(
    tmp_path_factory: pytest.TempPathFactory, flute: list, bass: list, bongo: list, bpm: int
) -> None:
    written: dict[tuple[int, int], Beats] = {}
    for place, part in {(0, 73): flute, (1, 33): bass, (9, 0): bongo}.items():
        at, written[place] = 0.0, []
        for key, rest, length in part:  # in quarter beats
            written[place].append((at + rest / 4, length / 4, 60 + key % 2 if place == (9, 0) else key))
            at += (rest + length) / 4
    tracks, tempo = midi_songs.read(str(midi(tmp_path_factory.mktemp("m") / "a.mid", written, bpm)))
    assert tempo == pytest.approx(bpm, abs=0.1)
    assert [(track.program, track.percussion) for track in tracks] == [(73, ""), (33, ""), (0, "bongo")]
    for track, notes in zip(tracks, written.values(), strict=True):
        expected = [(start * 60 / bpm, length * 60 / bpm, key, 64 / 127, 0.0) for start, length, key in notes]
        np.testing.assert_allclose(track.notes, expected, atol=2e-3)


def test_a_kit_and_percussion_are_told_apart_and_what_is_held_too_short_is_kept(tmp_path: Path) -> None:
    tracks, _ = midi_songs.read(str(midi(tmp_path / "a.mid", {(9, 0): [(0.5, 0.01, 36), (2.0, 0.1, 61)]})))
    assert [(track.percussion, len(track.notes)) for track in tracks] == [("drums", 1), ("bongo", 1)]
    assert tracks[0].notes[0].duration == midi_songs.MIN_NOTE_S


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    whole = tune(tmp_path / "tune.mid").read_bytes()
    for name, data in (("text", b"hello"), ("empty", b""), ("half", whole[: len(whole) // 2])):
        (tmp_path / f"{name}.mid").write_bytes(data)
        with pytest.raises(BadAudio, match=name):
            midi_songs.read(str(tmp_path / f"{name}.mid"))
    (tmp_path / "none").mkdir()
    with pytest.raises(BadAudio, match="none"):
        midi_songs.midi_files(tmp_path / "none")


@given(st.lists(st.integers(0, 127), min_size=1, max_size=20), st.integers(20, 60), st.integers(12, 50))
def test_fitted_notes_keep_their_names_and_lie_in_the_range(pitches: list[int], low: int, span: int) -> None:
    notes = [Note(float(index), 1.0, float(pitch), 0.5) for index, pitch in enumerate(pitches)]
    fitted = midi_songs.fitted(notes, low, low + span)
    assert [note.pitch % 12 for note in fitted] == [pitch % 12 for pitch in pitches]
    assert all(low <= note.pitch <= low + span for note in fitted)


def test_each_track_has_a_suitable_voice(tmp_path: Path) -> None:
    band = [
        *named("flute", "pipe"),
        *named("recorder", "pipe"),
        *named("fingered bass", "bass", roles=("bass",)),
        *named("drums", "drums", roles=("groove",)),
        *named("bongo", "percussion", roles=("beat",), keys=(60, 61)),
        *named("steel guitar", "pipe", roles=("strum",)),
        *named("tuba", "brass", roles=("bass", "melody")),
    ]
    path = tune(tmp_path / "openmsx" / "tune.mid")
    tracks, _ = midi_songs.read(str(path))
    for seed in range(12):
        (song,) = midi_songs.plan([replace(voice, source=f"f{seed}") for voice in band], [path], seed, 0.0)
        names = [part.voice.instrument for part in song.parts]
        assert len(names) == len(set(names)) and not any(is_held_out(name) for name in names)
        for part in song.parts:
            track = tracks[int(part.role)]
            assert track.program != 40  # one note is too few
            fit = [track.percussion] if track.percussion else ["flute", "recorder"]
            assert part.voice.instrument in (["fingered bass"] if track.program == 33 else fit)


def test_pieces_of_a_file_are_aligned_and_carry_both_licences(tmp_path: Path) -> None:
    path = tune(tmp_path / "openmsx" / "tune.mid")
    voices = [voice for voice in invented_voices(40) if voice.source != "invented/percussion"]
    (song,) = midi_songs.plan(voices, [path], 0, 0.0)
    pieces = defaultdict(list)
    for row, sound in song.render(0):
        pieces[row.song].append(row)
        assert sound.shape == (8 * SAMPLE_RATE,)
        assert row.licence == "CC0; score GPL-2" and row.bpm == 120.0 and row.beats == 16.0
    assert len(pieces) == midi_songs.PIECES
    assert all(len(rows) == len(song.parts) for rows in pieces.values())


def test_humanised_notes_are_moved_a_little() -> None:
    notes = [Note(index / 4, 0.2, 60.0, 0.5) for index in range(200)]
    moved = midi_songs.humanised(notes, np.random.default_rng(0))
    late = np.array([new.start - old.start for old, new in zip(notes, moved, strict=True)])
    assert 0.0005 < late.std() < 0.012
    assert 0.01 < np.std([note.velocity for note in moved]) < 0.06
