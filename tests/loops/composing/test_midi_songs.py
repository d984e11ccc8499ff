from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fewshot_sep.loops.instruments.voices import InventedVoice, Voice
from hypothesis import given
from hypothesis import strategies as st

from fewshot_sep.errors import BadAudio
from fewshot_sep.loops.composing import make_library, midi_songs
from fewshot_sep.loops.composing.arrange import invented_voices
from fewshot_sep.loops.library import SAMPLE_RATE, is_held_out
from fewshot_sep.loops.score import Note

mido = pytest.importorskip("mido")


def midi(path: Path, notes: dict[tuple[int, int], list[tuple[float, float, int]]], bpm: float = 120.0) -> Path:
    """A file with, for each (channel, program), notes of (start and length in beats, key)."""
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
    return midi(
        path,
        {
            (0, 73): [(beat, 0.45, 60 + index % 12) for index, beat in enumerate(beats)],
            (1, 33): [(beat, 0.9, 33 + index % 5) for index, beat in enumerate(beats[::2])],
            (9, 0): [(beat, 0.1, key) for key in (36, 60) for beat in beats],
            (2, 40): [(4.0, 1.0, 70)],
        },
    )


def test_notes_are_read_in_seconds_with_their_instruments(tmp_path: Path) -> None:
    path = midi(tmp_path / "a.mid", {(0, 73): [(1.0, 2.0, 60)], (9, 0): [(0.5, 0.1, 36), (2.0, 0.1, 61)]}, bpm=90.0)
    tracks, bpm = midi_songs.read(str(path))
    beat = 60 / 90
    assert bpm == 90.0
    assert [(track.program, track.percussion) for track in tracks] == [(73, ""), (0, "drums"), (0, "bongo")]
    (note,) = tracks[0].notes
    assert note == pytest.approx((beat, 2 * beat, 60, 64 / 127, 0.0), abs=2e-3)
    assert [track.notes[0].start for track in tracks[1:]] == pytest.approx([0.5 * beat, 2 * beat], abs=2e-3)


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


def band() -> list[Voice]:
    about: dict[str, tuple[str, tuple[str, ...], tuple[int, ...]]] = {
        "flute": ("pipe", ("melody",), ()),
        "recorder": ("pipe", ("melody",), ()),
        "fingered bass": ("bass", ("bass",), ()),
        "drums": ("drums", ("groove",), ()),
        "bongo": ("percussion", ("beat",), (60, 61)),
        "steel guitar": ("pipe", ("strum",), ()),
        "tuba": ("brass", ("bass", "melody"), ()),
    }
    return [
        InventedVoice(name, "font", family, "CC0", roles, 28, 90, keys, seed)
        for seed, (name, (family, roles, keys)) in enumerate(about.items())
    ]


def test_each_track_has_a_suitable_voice(tmp_path: Path) -> None:
    path = tune(tmp_path / "openmsx" / "tune.mid")
    for seed in range(12):
        (song,) = midi_songs.plan([replace(voice, source=f"f{seed}") for voice in band()], [path], seed, 0.0)
        tracks, _ = midi_songs.read(str(path))
        names = [part.voice.instrument for part in song.parts]
        assert len(names) == len(set(names)) and not any(is_held_out(name) for name in names)
        for part in song.parts:
            track = tracks[int(part.role)]
            assert track.program != 40  # one note is too few
            if track.percussion:
                assert part.voice.instrument == track.percussion
            elif track.program == 33:
                assert part.voice.instrument == "fingered bass"
            else:
                assert part.voice.instrument in ("flute", "recorder")


def test_pieces_of_a_file_are_aligned_and_carry_both_licences(tmp_path: Path) -> None:
    path = tune(tmp_path / "openmsx" / "tune.mid")
    voices = [voice for voice in invented_voices(40) if voice.source != "invented/percussion"]
    (song,) = midi_songs.plan(voices, [path], 0, 0.0)
    made = make_library.render(tmp_path / "out", [song], (), 0, workers=1)
    pieces = defaultdict(list)
    for row in made:
        pieces[row.song].append(row)
        assert soundfile.info(made.file(row)).frames == 8 * SAMPLE_RATE
        assert row.licence == "CC0; score GPL-2" and row.bpm == 120.0 and row.beats == 16.0
    assert len(pieces) == midi_songs.PIECES
    assert all(len(rows) == len(song.parts) for rows in pieces.values())


def test_humanised_notes_are_moved_a_little(tmp_path: Path) -> None:
    notes = [Note(index / 4, 0.2, 60.0, 0.5) for index in range(200)]
    moved = midi_songs.humanised(notes, np.random.default_rng(0))
    late = np.array([new.start - old.start for old, new in zip(notes, moved, strict=True)])
    assert 0.0005 < late.std() < 0.012
    assert 0.01 < np.std([note.velocity for note in moved]) < 0.06
