from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

from fewshot_sep import audio
from fewshot_sep.errors import BadAudio, BadLibrary
from fewshot_sep.loops import cli, library
from fewshot_sep.loops.composing import make_library
from fewshot_sep.loops.composing.arrange import FourBars, plan, plan_all
from fewshot_sep.loops.composing.ensemble import Part
from fewshot_sep.loops.instruments import recordings
from fewshot_sep.loops.instruments.loudness import activity
from fewshot_sep.loops.instruments.material import Material
from fewshot_sep.loops.instruments.synth import InventedVoice, invented_voices
from fewshot_sep.loops.instruments.voice import Playable, Sound, Voice
from fewshot_sep.loops.library import SAMPLE_RATE, Library
from fewshot_sep.loops.score import Note
from tests.loops.composing.voices import named


def fingerprints(made: Library) -> dict[str, str]:
    return {row.path: hashlib.sha256(made.file(row).read_bytes()).hexdigest() for row in made}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return make_library.make(tmp_path_factory.mktemp("small") / "library", songs=2, seed=3, workers=2)


def test_what_is_returned_is_on_disk_and_rows_of_a_song_are_equally_long_and_level(small: Library) -> None:
    assert library.read(small.folder).rows == small.rows
    files = {path.relative_to(small.folder).as_posix() for path in small.folder.rglob("*") if path.is_file()}
    assert files == {row.path for row in small} | {"library.csv", "make.json"}
    assert len({row.song for row in small}) == 2
    for row in small:
        sound, rate = audio.read(small.file(row))
        assert (rate, sound.shape) == (SAMPLE_RATE, (1, round(row.beats * 60 / row.bpm * SAMPLE_RATE)))
        active, rms = activity(sound[0])
        assert active >= 0.5 and np.abs(sound).max() <= 0.96 and rms < 0.105


def test_goes_on_where_it_stopped_and_the_same_seed_is_the_same_library(small: Library, tmp_path: Path) -> None:
    def stop(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_library.make(tmp_path, songs=2, seed=3, workers=1, progress=stop)
    kept = library.read(tmp_path)
    assert 0 < len(kept) < len(small)
    before = {row.path: kept.file(row).stat().st_mtime_ns for row in kept}
    done = make_library.make(tmp_path, songs=2, seed=3, workers=1)
    assert fingerprints(done) == fingerprints(small)
    assert {path: (done.folder / path).stat().st_mtime_ns for path in before} == before


def test_another_plan_does_not_mix_into_a_library(small: Library) -> None:
    before = fingerprints(small)
    with pytest.raises(BadLibrary, match="other material or settings"):
        make_library.make(small.folder, songs=3, seed=3, workers=1)
    assert fingerprints(small) == before


def test_a_library_of_another_origin_is_left_alone(tmp_path: Path) -> None:
    library.write(tmp_path, [])
    with pytest.raises(BadLibrary, match="another folder"):
        make_library.make(tmp_path, songs=1, workers=1)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"material": Material(notes=(Path("nowhere"),))}, "nowhere"),
        ({"invented": 0.0}, "--invented"),
        ({"kind": "bachata"}, "soundfont"),
    ],
)
def test_missing_material_is_named(tmp_path: Path, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(BadAudio, match=says):
        make_library.make(tmp_path / "out", songs=1, **settings)
    assert not (tmp_path / "out").exists()


def test_stems_stay_aligned_and_silence_is_left_out(tmp_path: Path) -> None:
    t = np.arange(24 * SAMPLE_RATE) / SAMPLE_RATE
    for name, hz, start in (("vox_lead", 300, 0), ("bass", 60, 8)):
        audio.write(tmp_path / f"{name}.wav", 0.2 * np.sin(2 * np.pi * hz * t) * (t >= start), SAMPLE_RATE)
    bass, vocals = (stem.render(0) for stem in recordings.stems(tmp_path))
    assert [row.instrument for row, _ in vocals] == ["vocals"] * 3 and bass[0][0].instrument.startswith("synth bass")
    assert [row.song for row, _ in bass] == [row.song for row, _ in vocals[1:]]
    assert all(sound.shape == (8 * SAMPLE_RATE,) for _, sound in (*bass, *vocals))


def test_every_voice_of_a_plan_can_be_queried_from_another_row() -> None:
    songs = plan(invented_voices(80), 80, np.random.default_rng(0), "song", "train")
    plays = Counter((part.voice.instrument, part.voice.source) for song in songs for part in song.parts)
    often = [count for count in plays.values() if count >= 2]
    assert len(often) >= 0.97 * len(plays)
    assert np.mean(list(plays.values())) >= 3


def test_no_instrument_twice_in_a_song() -> None:
    voices = [*invented_voices(20), *named("oboe", count=4), *named("flute", count=4)]
    for song in plan(voices, 30, np.random.default_rng(1), "song", "train"):
        names = [part.voice.instrument for part in song.parts]
        assert len(names) == len(set(names))


def test_splits_have_voices_of_their_own_and_what_is_held_out_is_unseen() -> None:
    """Held-out instruments are guests of the valid split's voices; held-out sources do not play."""
    held = [voice for name in ("tuba", "banjo") for voice in named(name, count=3)]
    strange = [replace(voice, source="freepats") for n in range(9) for voice in named(f"horn {n}")]
    songs = plan_all([*invented_voices(200), *named("oboe", count=3), *held, *strange], 100, 0)
    voices: dict[str, set[Voice]] = defaultdict(set)
    for song in songs:
        voices[song.name.split("-")[0]].update(part.voice for part in song.parts)
    assert Counter(song.split for song in songs)["train"] >= 85
    assert voices["song"] and voices["valid"] and not voices["song"] & voices["valid"]
    assert voices["unseen"] & {*held} and not (voices["song"] | voices["valid"]) & {*held}
    assert not set().union(*voices.values()) & {*strange}
    rows = [row for row, _ in next(song for song in songs if song.name.startswith("unseen")).render(0)]
    assert {row.split for row in rows if row.instrument in library.HELD_OUT} == {"unseen"}


@pytest.mark.parametrize("soundfont", [False, True])
def test_command_makes_a_library_of_what_pip_brings_and_says_so(tmp_path: Path, soundfont: bool) -> None:
    if soundfont:
        pytest.importorskip("tinysoundfont")
        pytest.importorskip("pretty_midi")
    app = Typer()
    app.command()(cli.make_library)
    options = ("--songs", "2", "--workers", "1", "--invented", "0" if soundfont else "1")
    result = CliRunner().invoke(app, [str(tmp_path / "new"), *options])
    assert result.exit_code == 0, result.output
    output, made = " ".join(result.output.split()), library.read(tmp_path / "new")
    assert f"{len(made)} files" in output
    assert f"material: {'soundfonts TimGM6mb.sf2' if soundfont else 'invented instruments'}" in output
    assert {row.licence for row in made} == {"GPL-2" if soundfont else "CC0"}


@pytest.mark.parametrize("command", [cli.make_library, cli.inspect, cli.train])
def test_a_negative_seed_is_refused(command: Any) -> None:
    app = Typer()
    app.command()(command)
    result = CliRunner().invoke(app, ["library", "--seed", "-1"])
    assert result.exit_code == 2 and "--seed" in result.output


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_the_share_of_invented_instruments_is_a_setting(share: float) -> None:
    known = [
        named(f"horn {n}", roles=voice.roles, keys=voice.keys, kind="kit" if voice.keys else "sampled")[0]
        for n, voice in enumerate(invented_voices(60))
    ]
    songs = plan([*invented_voices(60), *known], 80, np.random.default_rng(0), "s", "train", share)
    drawn = [part.voice.kind for song in songs for part in song.parts]
    assert np.mean([kind == "invented" for kind in drawn]) == pytest.approx(share, abs=0.08)


class Loud(InventedVoice):
    """Plays single samples of full scale and far over it."""

    def play(self, notes: object, frames: int, rng: np.random.Generator) -> Sound:
        sound = rng.normal(0, 0.01, frames).astype(np.float32)
        sound[rng.integers(0, frames, 400)] = 30.0
        return sound


class Drum(InventedVoice):
    """Plays noise, but nothing the first `seed` times; `heard`: the notes of each time."""

    heard: ClassVar[dict[str, list[Sequence[Note]]]] = {}

    def play(self, notes: Sequence[Note], frames: int, rng: np.random.Generator) -> Sound:
        times = self.heard.setdefault(self.instrument, [])
        times.append(notes)
        return np.float32(len(times) > self.seed) * rng.normal(0, 0.1, frames).astype(np.float32)


def test_the_parts_of_a_kit_share_a_groove_though_one_is_tried_again() -> None:
    keys = {"kick": (36,), "snare": (38, 40), "hi-hat": (42, 46)}
    heard = []
    for refused in (0, 1):
        Drum.heard.clear()
        parts = [
            Part(
                Drum(*Playable(name, "drums", ("part",), keys=keys[name]), "x", "CC0", refused * (name == "kick")),
                "part",
            )
            for name in keys
        ]
        assert len(list(FourBars("song", "train", tuple(parts)).render(0))) == 3
        heard.append(dict(Drum.heard))
    once, again = heard
    assert len(again["kick"]) == 2 and again["kick"][0] == once["kick"][0] != again["kick"][1]
    assert (again["snare"], again["hi-hat"]) == (once["snare"], once["hi-hat"])


@pytest.mark.parametrize("room", [0.0, 0.6])
def test_nothing_is_clipped_and_the_loudness_is_recorded(tmp_path: Path, room: float) -> None:
    loud = Loud(*Playable("horn", "brass", ("melody",), 40, 70), "x", "CC0", 0)
    song = FourBars("song", "train", (Part(loud, "melody"), Part(invented_voices(1)[0], "melody")), room)
    rows = [make_library.store(tmp_path, *piece) for piece in song.render(0)]
    assert [row.room for row in rows] == [room, room]
    for row in rows:
        sound = audio.read(tmp_path / row.path)[0][0]
        assert np.abs(sound).max() <= 0.96
        assert row.loudness == pytest.approx(20 * np.log10(activity(sound)[1]), abs=0.1)
    assert rows[0].loudness < -20.5 < rows[1].loudness


def test_rooms_are_a_share_of_the_songs_and_change_nothing_else() -> None:
    voices = invented_voices(60)
    dry, some = (plan_all(voices, 60, 0, room=share) for share in (0.0, 0.4))
    assert {song.room for song in dry} == {0.0}
    assert 0.2 < np.mean([song.room > 0 for song in some]) < 0.6
    assert [replace(song, room=0.0) for song in some] == dry
