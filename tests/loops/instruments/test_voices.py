from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from fewshot_sep.loops.instruments.voices import KitVoice, SampledVoice, StrumVoice
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_sep.errors import BadAudio
from fewshot_sep.loops.instruments import collections, voices
from fewshot_sep.loops.instruments.general_midi import PROGRAMS, defines_timbre
from fewshot_sep.loops.library import SAMPLE_RATE, is_held_out
from fewshot_sep.loops.score import Note

RNG = np.random.default_rng


def tone(pitch: float, seconds: float) -> np.ndarray:
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (0.5 * np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * t)).astype(np.float32)


def pitch_of(sound: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 8 * len(sound)))
    return 69 + 12 * np.log2(np.argmax(power) / (8 * len(sound)) * SAMPLE_RATE / 440)


def sampled(folder: Path, *pitches: int, seconds: float = 1.0) -> SampledVoice:
    files = []
    for pitch in pitches:
        path = folder / f"note{pitch}.wav"
        soundfile.write(path, tone(pitch, seconds), SAMPLE_RATE)
        files.append((pitch, 0.5, str(path)))
    return SampledVoice("horn", "here", "brass", "CC0", ("melody",), min(pitches), max(pitches), (), tuple(files))


@pytest.mark.parametrize("pitch", [58.0, 60.0, 61.0, 63.7, 66.0])
def test_sampled_notes_sound_at_their_pitch(tmp_path: Path, pitch: float) -> None:
    voice = sampled(tmp_path, 60, 64)
    sound = voice.play([Note(0.0, 0.8, pitch, 0.9)], SAMPLE_RATE, RNG(0))
    assert pitch_of(sound[: round(0.7 * SAMPLE_RATE)]) == pytest.approx(pitch, abs=0.1)


def test_sampled_voice_leaves_out_what_is_too_far(tmp_path: Path) -> None:
    assert not sampled(tmp_path, 60).play([Note(0.0, 0.8, 67, 0.9)], SAMPLE_RATE, RNG(0)).any()


def test_sampled_notes_start_and_stop_on_time(tmp_path: Path) -> None:
    sound = sampled(tmp_path, 60).play([Note(0.25, 0.3, 60, 0.9)], SAMPLE_RATE, RNG(0))
    sounding = np.flatnonzero(np.abs(sound) > 1e-4) / SAMPLE_RATE
    assert sounding[0] == pytest.approx(0.25, abs=0.01)
    assert sounding[-1] == pytest.approx(0.25 + 0.3 + 0.08, abs=0.02)


def test_a_longer_recording_is_preferred_for_a_long_note(tmp_path: Path) -> None:
    paths = {seconds: tmp_path / f"{seconds}.wav" for seconds in (0.2, 2.0)}
    for seconds, path in paths.items():
        soundfile.write(path, tone(60, seconds), SAMPLE_RATE)
    files = tuple((60, 0.5, str(path)) for path in paths.values())
    voice = SampledVoice("horn", "here", "brass", "CC0", ("melody",), 60, 60, (), files)
    sound = voice.play([Note(0.0, 1.5, 60, 0.9)], 2 * SAMPLE_RATE, RNG(0))
    assert np.abs(sound[SAMPLE_RATE : SAMPLE_RATE + 4410]).max() > 0.1


def test_kit_plays_the_hit_of_each_key_and_layer(tmp_path: Path) -> None:
    for name, pitch in (("kick", 36), ("soft", 60), ("hard", 84)):
        soundfile.write(tmp_path / f"{name}.wav", tone(pitch, 0.3), SAMPLE_RATE)
    hits = tuple(
        (key, top, 1.0, str(tmp_path / f"{name}.wav"))
        for key, top, name in ((36, 1.0, "kick"), (38, 0.5, "soft"), (38, 1.0, "hard"))
    )
    voice = KitVoice("drums", "here", "drums", "CC0", ("groove",), 0, 127, (), hits)
    for key, velocity, pitch in ((36, 0.9, 36), (38, 0.3, 60), (38, 0.9, 84)):
        sound = voice.play([Note(0.0, 0.2, key, velocity)], SAMPLE_RATE, RNG(0))
        assert pitch_of(sound[:12000]) == pytest.approx(pitch, abs=0.5)
    assert not voice.play([Note(0.0, 0.2, 42, 0.9)], SAMPLE_RATE, RNG(0)).any()


def test_hits_are_read_from_their_onset_at_full_level(tmp_path: Path) -> None:
    path = tmp_path / "late.wav"
    soundfile.write(path, np.concatenate([np.zeros(20000), 0.1 * tone(60, 0.3)]), SAMPLE_RATE, subtype="FLOAT")
    sound = voices.load_hit(str(path))
    assert np.abs(sound).max() == pytest.approx(1.0, rel=1e-3)
    assert np.flatnonzero(np.abs(sound) > 0.1)[0] < 0.01 * SAMPLE_RATE


def test_other_rates_and_stereo_become_mono_at_the_library_rate(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([tone(69, 1.0)[:22050]] * 2, 1), 22050)
    sound = voices.read_mono(path)
    assert sound.shape == (44100,)
    assert pitch_of(sound) == pytest.approx(69 - 12, abs=0.1)


def test_what_is_not_audio_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_text("no sound")
    with pytest.raises(BadAudio, match=r"x\.wav"):
        voices.read_mono(tmp_path / "x.wav")


@settings(deadline=None)
@given(st.integers(0, 1000), st.floats(-60, 20), st.integers(20000, 60000))
def test_level_sets_the_active_rms_and_never_clips(seed: int, gain_db: float, frames: int) -> None:
    rng = RNG(seed)
    sound = (rng.standard_normal(frames) * 10 ** (gain_db / 20)).astype(np.float32)
    sound[rng.integers(1000, frames - 1000)] *= float(rng.choice((1, 100)))
    out = voices.level(sound)
    peak, rms = float(np.abs(out).max()), voices.activity(out)[1]
    assert out.dtype == np.float32 and out.shape == sound.shape
    assert peak <= 0.951
    assert 20 * np.log10(rms) < -19.5
    assert peak > 0.94 or 20 * np.log10(rms) == pytest.approx(-20, abs=0.5)
    assert out[0] == 0 and out[-1] == 0


def test_level_measures_only_where_there_is_sound() -> None:
    sound = np.zeros(4 * SAMPLE_RATE, np.float32)
    sound[:SAMPLE_RATE] = tone(60, 1.0)
    assert np.sqrt(np.mean(voices.level(sound)[1000:40000] ** 2)) == pytest.approx(0.1, rel=0.03)
    assert not voices.level(np.zeros(1000, np.float32)).any()


def test_amplifier_distorts_and_is_its_seed() -> None:
    clean = tone(45, 0.5)
    one = voices.amplify(clean, 1, drive_db=(30, 31))
    assert np.array_equal(one, voices.amplify(clean, 1, drive_db=(30, 31)))
    assert not np.allclose(one, voices.amplify(clean, 2, drive_db=(30, 31)), atol=1e-2)
    power = np.abs(np.fft.rfft(one * np.hanning(len(one)))) ** 2
    hz = np.fft.rfftfreq(len(one), 1 / SAMPLE_RATE)
    harmonics = power[(hz > 165) & (hz < 3000)].sum() / power[(hz > 80) & (hz < 165)].sum()
    assert harmonics > 0.05
    assert power[hz > 15000].sum() < 1e-4 * power.sum()


@pytest.mark.parametrize("db", [-40.0, 0.0])
def test_amplifier_answers_to_the_playing_not_to_the_level(db: float) -> None:
    clean = tone(45, 0.3)
    np.testing.assert_allclose(voices.amplify(clean * 10 ** (db / 20), 3), voices.amplify(clean, 3), atol=1e-4)


def test_general_midi_table_is_whole() -> None:
    assert {program for pool, program in PROGRAMS if pool == 0} == set(range(128)) - {113, *range(115, 128)}
    assert {key for key, sound in PROGRAMS.items() if is_held_out(sound.instrument)} == {
        (0, program) for program in (12, 21, 23, 58, 70, 104, 105)
    }
    assert all(sound.high - sound.low >= 12 for sound in PROGRAMS.values())
    assert not any(defines_timbre(PROGRAMS[0, program]) for program in range(80, 104))


def test_drum_kit_is_read_from_its_sheet(tmp_path: Path) -> None:
    folder = tmp_path / "My Kit"
    folder.mkdir()
    names = ("Kick", "Snare", "Closed HH", "Bongo Hi", "Waterglass", "Tom Low")
    for name in names[:5]:
        soundfile.write(folder / f"{name}.wav", tone(50, 0.1), SAMPLE_RATE)
    instruments = "".join(
        f"<instrument><name>{n}</name><layer><filename>{n}.wav</filename><max>1</max></layer></instrument>"
        for n in names
    )
    (folder / "drumkit.xml").write_text(f'<drumkit_info xmlns="http://x.org/kit">{instruments}</drumkit_info>')
    voices = {voice.instrument: voice for voice in collections.drumkit_voices(tmp_path)}
    assert set(voices) == {"drums", "kick", "snare", "hi-hat", "bongo"}  # the tom's file is missing
    assert voices["drums"].licence == "unknown" and voices["drums"].source == "my-kit"
    assert voices["bongo"].play([Note(0, 0.1, 60, 1.0)], 4410, RNG(0)).any()


def test_damaged_drum_kit_is_named(tmp_path: Path) -> None:
    (tmp_path / "drumkit.xml").write_text("<drumkit_info>")
    with pytest.raises(BadAudio, match=r"drumkit\.xml"):
        collections.drumkit_voices(tmp_path)


def test_notes_are_found_by_name_and_held_out_folders_are_not(tmp_path: Path) -> None:
    for instrument in ("oboe", "tuba"):
        (tmp_path / instrument).mkdir()
        for letter in "CDEFGAB":
            for octave in (4, 5):
                name = f"{instrument}_{letter}{octave}_1_forte_normal.wav"
                soundfile.write(tmp_path / instrument / name, tone(60, 0.1), SAMPLE_RATE)
    (voice,) = collections.note_voices(tmp_path)
    assert (voice.instrument, voice.family, voice.low, voice.high) == ("oboe", "reed", 60, 83)


def test_every_known_source_has_a_licence_and_a_short_name() -> None:
    known = collections.known_sources()
    assert len({source.short for source in known.values()}) == len(known)
    assert all(source.licence and source.licence != "unknown" for source in known.values())
    assert collections.source_of(Path("somewhere/FluidR3_GM.sf2")).licence == "MIT"
    assert collections.source_of(Path("usr/share/sonic-pi/samples")).licence == "CC0"


def test_strums_are_played_by_the_nearest_chord(tmp_path: Path) -> None:
    chords = {"Cmajor": 60, "Aminor": 69, "Dsharp minor7b5": 75}
    for name, pitch in chords.items():
        for number in range(8):
            soundfile.write(tmp_path / f"{name}_0{number}.wav", tone(pitch, 1.0), SAMPLE_RATE)
    (tmp_path / "noise.txt").touch()
    (voice,) = collections.strum_voices(tmp_path)
    assert isinstance(voice, StrumVoice) and voice.roles == ("strum",)
    for pitches, expected in (((48, 55, 64), 60), ((57, 60, 64, 69), 69), ((51, 57, 66), 75)):
        strum = [Note(0.1 + 0.02 * string, 0.5, pitch, 0.8) for string, pitch in enumerate(pitches)]
        sound = voice.play(strum, SAMPLE_RATE, RNG(0))
        sounding = np.flatnonzero(np.abs(sound) > 1e-3) / SAMPLE_RATE
        assert sounding[0] == pytest.approx(0.1, abs=0.01) and sounding[-1] == pytest.approx(0.66, abs=0.02)
        assert pitch_of(sound[8820:22050]) == pytest.approx(expected, abs=0.2)


def test_strums_end_where_the_next_begins(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(60, 2.0), SAMPLE_RATE)
    voice = StrumVoice(
        "steel guitar", "x", "guitar", "CC0", ("strum",), 40, 79, (), (((0, 4, 7), str(tmp_path / "a.wav")),)
    )
    sound = voice.play([Note(0.0, 2.0, 60, 0.8), Note(0.5, 0.1, 60, 0.1)], SAMPLE_RATE, RNG(0))
    early, late = (np.abs(sound[start : start + 2205]).max() for start in (19845, 26460))
    assert late < 0.3 * early


def test_single_hits_become_kits(tmp_path: Path) -> None:
    folder = tmp_path / "lmms"
    folder.mkdir()
    for name in (
        "kick01",
        "kick02",
        "snare01",
        "snare02",
        "hihat_closed01",
        "hihat_closed02",
        "hihat_opened01",
        "zap01",
    ):
        soundfile.write(folder / f"{name}.wav", tone(60, 0.1), SAMPLE_RATE)
    voices = collections.shot_voices(folder)
    kits = {voice.source: voice for voice in voices if voice.instrument == "drums"}
    assert set(kits) == {"lmms/kit0", "lmms/kit1"} and {voice.licence for voice in voices} == {"GPL-2+"}
    assert [hit[0] for hit in kits["lmms/kit0"].hits] == [42, 46, 36, 38]
