from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fewshot_sep.loops.instruments.voices import InventedVoice, KitVoice, Voice
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_sep.errors import BadAudio
from fewshot_sep.loops import library
from fewshot_sep.loops.composing import bachata, make_library
from fewshot_sep.loops.composing.bachata import STYLES, Bachata
from fewshot_sep.loops.composing.ensemble import Part
from fewshot_sep.loops.instruments.material import Material, bundled_soundfont
from fewshot_sep.loops.library import SAMPLE_RATE, Library
from fewshot_sep.loops.score import Note, Sketch

SEEDS = st.integers(0, 2**31)


def song(seed: int, bars: int = 4) -> tuple[np.random.Generator, Sketch]:
    rng = np.random.default_rng(seed)
    return rng, bachata.sketch(rng, int(rng.integers(12)), "harmonic minor", float(rng.uniform(*bachata.BPM)), bars)


@pytest.mark.parametrize("style", STYLES.values())
@pytest.mark.parametrize(("part", "low", "high"), [("requinto", 57, 86), ("segunda", 43, 69), ("bajo", 28, 52)])
@settings(deadline=None, max_examples=25)
@given(seed=SEEDS)
def test_guitars_and_bass_stay_in_key_range_and_time(part: str, low: int, high: int, style: str, seed: int) -> None:
    rng, sketch = song(seed)
    notes = bachata._PITCHED[part](sketch, style, rng, low, high)
    assert len(notes) >= 8
    for note in notes:
        assert low <= note.pitch <= high and int(note.pitch) % 12 in sketch.scale
        assert 0 <= note.start < sketch.seconds and 0 < note.velocity <= 1


def steps(notes: list[Note], bpm: float) -> Counter[tuple[int, float]]:
    """How often each sixteenth of the bar is struck, by key."""
    return Counter((round(note.start * bpm / 60 * 4) % 16, note.pitch) for note in notes)


def test_martillo_strikes_the_high_drum_on_one_and_the_low_one_on_four() -> None:
    rng, sketch = song(0, bars=32)
    struck = steps(bachata.bongo(sketch, "derecho", rng, (60, 61)), sketch.bpm)
    assert struck[0, 60] >= 30 and struck[12, 61] >= 30
    assert struck[0, 61] + struck[12, 60] < 8


def test_the_bass_plays_the_root_on_one() -> None:
    rng, sketch = song(1, bars=16)
    notes = bachata.bajo(sketch, "derecho", rng, 28, 52)
    for chord in sketch.chords:
        first = min(notes, key=lambda note: abs(note.start - chord.start * 60 / sketch.bpm))
        assert int(first.pitch) % 12 == chord.tones[0]


def test_sections_are_played_differently() -> None:
    rng, sketch = song(2)
    for part in ("requinto", "segunda", "bajo"):
        voice = InventedVoice(part, "x", "x", "CC0", (), 40, 70, (), 0)
        played = {style: bachata.score(part, style, voice, sketch, rng) for style in STYLES.values()}
        rhythms = [tuple(steps(notes, sketch.bpm)) for notes in played.values()]
        assert len(set(rhythms)) == 3


def scraper(tmp_path: Path, instrument: str, *keys: int) -> bachata.GuiraVoice:
    t = np.arange(2205) / SAMPLE_RATE
    hits = []
    for key in keys:
        soundfile.write(
            tmp_path / f"{key}.wav", np.sin(2 * np.pi * (100 + 40 * key) * t) * np.exp(-60 * t), SAMPLE_RATE
        )
        hits.append((key, 1.0, 1.0, str(tmp_path / f"{key}.wav")))
    inner = KitVoice(instrument, "x", "percussion", "CC0", ("beat",), 0, 127, keys, tuple(hits))
    return bachata.GuiraVoice("guira", "x", "percussion", "CC0", ("guira",), 0, 127, (0, 1), inner, 900.0)


def test_a_long_stroke_of_the_guira_is_many_grains(tmp_path: Path) -> None:
    voice = scraper(tmp_path, "cabasa", 69)
    long, short = (voice.play([Note(0.1, 0.2, key, 0.9)], 22050, np.random.default_rng(0)) for key in (0, 1))
    sounding = [np.flatnonzero(np.abs(sound) > 0.1 * np.abs(sound).max()) for sound in (long, short)]
    lengths = [(index[-1] - index[0]) / SAMPLE_RATE for index in sounding]
    assert lengths[1] < 0.04 < lengths[0] < 0.15


def test_the_guira_has_no_low_sound(tmp_path: Path) -> None:
    voice = scraper(tmp_path, "guiro", 0, 60)
    sound = voice.play([Note(0.1, 0.2, 0, 0.9), Note(0.3, 0.2, 1, 0.9)], 22050, np.random.default_rng(0))
    power = np.abs(np.fft.rfft(sound)) ** 2
    below = power[: round(400 * len(sound) / SAMPLE_RATE)].sum() / power.sum()
    assert sound.any() and below < 0.1


@pytest.fixture
def rendered(tmp_path: Path) -> Library:
    parts = tuple(
        Part(InventedVoice(role, f"x/{role}", "x", "CC0", (role,), low, high, keys, seed), role)
        for role, low, high, keys, seed in (("segunda", 43, 69, (), 3), ("bajo", 28, 52, (), 5))
    )
    songs = [Bachata("b-0", "train", parts, 0.3, frozenset({"mambo"})), Bachata("b-1", "valid", parts)]
    return make_library.render(tmp_path / "set", songs, (), 7, workers=1)


def test_bars_of_a_song_are_aligned_and_labelled(rendered: Library) -> None:
    bars = defaultdict(list)
    for row in rendered:
        bars[row.song].append(row)
    assert {row.section for row in rendered} == set(STYLES)
    for name, rows in bars.items():
        frames = {soundfile.info(rendered.file(row)).frames for row in rows}
        assert frames == {round(rows[0].beats * 60 / rows[0].bpm * SAMPLE_RATE)}
        assert len({(row.bpm, row.beats, row.section, row.split, row.room) for row in rows}) == 1
        assert name.split("-")[2] == rows[0].section
        assert bachata.BPM[0] <= rows[0].bpm <= bachata.BPM[1]
    assert {row.beats for row in rendered if row.section == "mambo" and row.song.startswith("b-0")} == {2.0}
    assert {row.beats for row in rendered if row.section != "mambo" or row.song.startswith("b-1")} == {4.0}
    assert len(bars) == 3 * 4 + 4 + 3 * 4
    assert {row.split for row in rendered if row.song.startswith("b-1")} == {"valid"}


def test_bars_join_to_the_section_they_were_cut_from(tmp_path: Path) -> None:
    part = Part(InventedVoice("bajo", "x", "bass", "CC0", ("bajo",), 28, 52, (), 5), "bajo")
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 4 * SAMPLE_RATE).astype(np.float32)
    rows = Bachata("b", "train", (part,), half=frozenset({"verse"}), bars=2)._cut(tmp_path, "verse", part, sound, 120.0)
    assert [row.song for row in rows] == ["b-verse-0", "b-verse-0.5", "b-verse-1", "b-verse-1.5"]
    joined = np.concatenate([soundfile.read(tmp_path / row.path, dtype="float32")[0] for row in rows])
    assert len(joined) == len(sound)
    quiet = np.abs(joined - sound) > 1e-3
    assert quiet.mean() < 0.01


def voices(instrument: str, count: int, *keys: int) -> list[Voice]:
    return [
        InventedVoice(instrument, f"font{number}", "x", "CC0", ("melody",), 28, 90, keys, number)
        for number in range(count)
    ]


def test_valid_songs_have_voices_of_their_own() -> None:
    material = [*voices("nylon guitar", 6), *voices("fingered bass", 4), *voices("bongo", 1, 60, 61)]
    songs = bachata.plan([*material, *voices("cabasa", 3, 69)], 60, 0, 0.5)
    used = {
        split: {part.voice.source for song in songs if song.split == split for part in song.parts}
        for split in ("train", "valid")
    }
    assert not used["train"] & used["valid"]
    names = {
        split: {part.role for song in songs if song.split == split for part in song.parts}
        for split in ("train", "valid")
    }
    assert names == {"train": set(bachata.INSTRUMENTS), "valid": set(bachata.INSTRUMENTS) - {"bongo"}}
    assert 0.2 < np.mean([song.room > 0 for song in songs]) < 0.8


def test_held_out_sources_and_strums_are_not_cast() -> None:
    (plain,) = voices("nylon guitar", 1)
    assert bachata.cast([plain])["requinto"] and bachata.cast([plain])["segunda"]
    for other in (replace(plain, source="freepats"), replace(plain, roles=("strum",))):
        assert not any(bachata.cast([other]).values())


def test_material_without_a_guitar_or_drum_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadAudio, match="soundfont"):
        make_library.make_bachata(tmp_path / "out", Material(), songs=1)
    assert not (tmp_path / "out").exists()


def test_with_pip_alone_all_instruments_are_there(tmp_path: Path) -> None:
    pytest.importorskip("tinysoundfont")
    pytest.importorskip("pretty_midi")
    font = bundled_soundfont()
    assert font is not None
    made = make_library.make_bachata(tmp_path / "set", Material(soundfonts=(font,)), songs=1, workers=1)
    assert {row.instrument for row in made} == set(bachata.INSTRUMENTS)
    assert {row.licence for row in made} == {"GPL-2"}
    assert library.read(made.folder).rows == made.rows
