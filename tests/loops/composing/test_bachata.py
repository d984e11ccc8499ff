from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_sep import audio
from fewshot_sep.loops.composing import bachata, bachata_parts, make_library
from fewshot_sep.loops.composing.bachata import STYLES, Bachata
from fewshot_sep.loops.composing.ensemble import Part
from fewshot_sep.loops.instruments.material import Material, bundled_soundfont
from fewshot_sep.loops.instruments.sampler import LONG, SHORT, GuiraVoice, Hit, KitVoice
from fewshot_sep.loops.instruments.synth import InventedVoice
from fewshot_sep.loops.instruments.voice import Playable, Voice
from fewshot_sep.loops.library import SAMPLE_RATE
from fewshot_sep.loops.score import Note, Sketch
from tests.loops.composing.voices import named

RANGES = {"requinto": (57, 86), "segunda": (43, 69), "bajo": (28, 52)}


def voice(role: str, seed: int = 5) -> Voice:
    return InventedVoice(*Playable(role, "x", (role,), *RANGES[role]), f"x/{role}", "CC0", seed)


def song(seed: int, bars: int = 4) -> tuple[np.random.Generator, Sketch]:
    rng = np.random.default_rng(seed)
    tonic, bpm = int(rng.integers(12)), float(rng.uniform(*bachata.BPM))
    return rng, bachata_parts.sketch(rng, tonic, "harmonic minor", bpm, bars)


@pytest.mark.parametrize("style", STYLES.values())
@pytest.mark.parametrize("part", RANGES)
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**31))
def test_guitars_and_bass_stay_in_key_range_and_time(part: str, style: str, seed: int) -> None:
    rng, sketch = song(seed)
    notes = bachata_parts.score(part, style, voice(part), sketch, rng)
    assert len(notes) >= 8
    for note in notes:
        assert RANGES[part][0] <= note.pitch <= RANGES[part][1] and int(note.pitch) % 12 in sketch.scale
        assert 0 <= note.start < sketch.seconds and 0 < note.velocity <= 1


def steps(notes: list[Note], bpm: float) -> Counter[tuple[int, float]]:
    """How often each sixteenth of the bar is struck, by key."""
    return Counter((round(note.start * bpm / 60 * 4) % 16, note.pitch) for note in notes)


def test_martillo_strikes_the_high_drum_on_one_and_the_low_one_on_four() -> None:
    rng, sketch = song(0, bars=32)
    drums = KitVoice(*Playable("bongo", "percussion", ("beat",), keys=(60, 61)), "x", "CC0", ())
    struck = steps(bachata_parts.score("bongo", "derecho", drums, sketch, rng), sketch.bpm)
    assert struck[0, 60] >= 30 and struck[12, 61] >= 30
    assert struck[0, 61] + struck[12, 60] < 8


def test_the_bass_plays_the_root_on_one() -> None:
    rng, sketch = song(1, bars=16)
    notes = bachata_parts.bajo(sketch, "derecho", rng, 28, 52)
    for chord in sketch.chords:
        first = min(notes, key=lambda note: abs(note.start - chord.start * 60 / sketch.bpm))
        assert int(first.pitch) % 12 == chord.tones[0]


@pytest.mark.parametrize("part", RANGES)
def test_sections_are_played_differently(part: str) -> None:
    rng, sketch = song(2)
    played = [bachata_parts.score(part, style, voice(part), sketch, rng) for style in STYLES.values()]
    assert len({tuple(steps(notes, sketch.bpm)) for notes in played}) == 3


def scraper(tmp_path: Path, instrument: str, *keys: int) -> GuiraVoice:
    t = np.arange(2205) / SAMPLE_RATE
    hits = []
    for key in keys:
        hit = np.sin(2 * np.pi * (100 + 40 * key) * t) * np.exp(-60 * t)
        audio.write(tmp_path / f"{key}.wav", hit, SAMPLE_RATE)
        hits.append(Hit(key, 1.0, str(tmp_path / f"{key}.wav")))
    played = Playable(instrument, "percussion", ("beat",), keys=keys)
    inner = KitVoice(*played, "x", "CC0", tuple(hits))
    return GuiraVoice(*played._replace(instrument="guira", keys=(LONG, SHORT)), "x", "CC0", inner, 900.0)


def test_a_long_stroke_of_the_guira_is_many_grains(tmp_path: Path) -> None:
    guira, lengths = scraper(tmp_path, "cabasa", 69), []
    for key in (LONG, SHORT):
        sound = np.abs(guira.play([Note(0.1, 0.2, key, 0.9)], 22050, np.random.default_rng(0)))
        lengths.append(np.ptp(np.flatnonzero(sound > 0.1 * sound.max())) / SAMPLE_RATE)
    assert lengths[1] < 0.04 < lengths[0] < 0.15


def test_the_guira_has_no_low_sound(tmp_path: Path) -> None:
    notes = [Note(0.1, 0.2, LONG, 0.9), Note(0.3, 0.2, SHORT, 0.9)]
    sound = scraper(tmp_path, "guiro", 0, 60).play(notes, 22050, np.random.default_rng(0))
    power = np.abs(np.fft.rfft(sound)) ** 2
    assert sound.any() and power[: round(400 * len(sound) / SAMPLE_RATE)].sum() < 0.1 * power.sum()


def test_bars_of_a_song_are_aligned_and_labelled() -> None:
    parts = tuple(Part(voice(role, seed), role) for role, seed in (("segunda", 3), ("bajo", 5)))
    song = Bachata("b-0", "valid", parts, 0.3, frozenset({"mambo"}))
    bars = defaultdict(list)
    for row, sound in song.render(7):
        bars[row.song].append(row)
        assert (row.beats, row.split, row.room) == (2.0 if row.section == "mambo" else 4.0, "valid", 0.3)
        assert row.section == row.song.split("-")[2]
        assert sound.shape == (round(row.beats * 60 / row.bpm * SAMPLE_RATE),)
    assert len(bars) == 4 + 4 + 8 and {row.section for rows in bars.values() for row in rows} == set(STYLES)
    (bpm,) = {row.bpm for rows in bars.values() for row in rows}
    assert bachata.BPM[0] <= bpm <= bachata.BPM[1]


def test_bars_join_to_the_section_they_were_cut_from() -> None:
    part = Part(voice("bajo"), "bajo")
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 4 * SAMPLE_RATE).astype(np.float32)
    song = Bachata("b", "train", (part,), half=frozenset({"verse"}), bars=2)
    rows, pieces = zip(*song.cut("verse", part, sound, 120.0), strict=True)
    assert [row.song for row in rows] == ["b-verse-0", "b-verse-0.5", "b-verse-1", "b-verse-1.5"]
    joined = np.concatenate(pieces)
    assert len(joined) == len(sound)
    assert np.mean(joined != sound) < 0.01  # all but the short fades


def test_valid_songs_have_voices_of_their_own() -> None:
    material = [*named("nylon guitar", count=6), *named("fingered bass", count=4), *named("bongo", keys=(60, 61))]
    songs = bachata.plan([*material, *named("cabasa", count=3, keys=(69,))], 60, 0, 0.5)
    parts = {
        split: [part for song in songs if song.split == split for part in song.parts] for split in ("train", "valid")
    }
    sources = {split: {part.voice.source for part in some} for split, some in parts.items()}
    assert not sources["train"] & sources["valid"]
    assert {part.role for part in parts["train"]} == set(bachata.INSTRUMENTS)
    assert {part.role for part in parts["valid"]} == set(bachata.INSTRUMENTS) - {"bongo"}
    assert 0.2 < np.mean([song.room > 0 for song in songs]) < 0.8


def test_held_out_sources_and_strums_are_not_cast() -> None:
    (plain,) = named("nylon guitar")
    assert bachata.cast([plain])["requinto"] and bachata.cast([plain])["segunda"]
    for other in (replace(plain, source="freepats"), replace(plain, roles=("strum",))):
        assert not any(bachata.cast([other]).values())


def test_with_pip_alone_all_instruments_are_there(tmp_path: Path) -> None:
    pytest.importorskip("tinysoundfont")
    font = bundled_soundfont()
    assert font is not None
    material = Material(soundfonts=(font,))
    made = make_library.make(tmp_path / "set", material, kind="bachata", songs=1, workers=1)
    assert {row.instrument for row in made} == set(bachata.INSTRUMENTS)
    assert {row.licence for row in made} == {"GPL-2"}
