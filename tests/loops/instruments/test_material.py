"""Folders of material: drum kits, recorded notes, strums, recordings, and where they are from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fewshot_sep.errors import BadAudio
from fewshot_sep.loops.instruments import drumkits, recorded_notes, recordings, sound_files
from fewshot_sep.loops.instruments.sampler import KitVoice
from fewshot_sep.loops.score import Note
from tests.loops.instruments import tones


@pytest.mark.parametrize("namespace", ["", ' xmlns="http://x.org/kit"'])
def test_drum_kit_is_read_from_its_sheet(tmp_path: Path, namespace: str) -> None:
    names = ("Kick", "Snare", "Closed HH", "Bongo Hi", "Waterglass", "Tom Low")
    tones.write(*(tmp_path / "My Kit" / f"{name}.wav" for name in names[:5]))
    instruments = "".join(
        f"<instrument><name>{n}</name><layer><filename>{n}.wav</filename><max>1</max></layer></instrument>"
        for n in names
    )
    (tmp_path / "My Kit" / "drumkit.xml").write_text(f"<drumkit_info{namespace}>{instruments}</drumkit_info>")
    voices = {voice.instrument: voice for voice in drumkits.drumkit_voices(tmp_path)}
    assert set(voices) == {"drums", "kick", "snare", "hi-hat", "bongo"}  # the tom's file is missing
    assert voices["drums"].licence == "unknown" and voices["drums"].source == "my-kit"
    assert voices["bongo"].play([Note(0, 0.1, 60, 1.0)], 4410, np.random.default_rng(0)).any()


def test_damaged_drum_kit_is_named(tmp_path: Path) -> None:
    (tmp_path / "drumkit.xml").write_text("<drumkit_info>")
    with pytest.raises(BadAudio, match=r"drumkit\.xml"):
        drumkits.drumkit_voices(tmp_path)


def test_single_hits_become_kits(tmp_path: Path) -> None:
    names = ("kick00", "kick01", "snare00", "snare01", "hihat_closed00", "hihat_closed01", "hihat_opened00", "zap00")
    tones.write(*(tmp_path / "lmms" / f"{name}.wav" for name in names))
    voices = drumkits.shot_voices(tmp_path / "lmms")
    kits = {voice.source: voice for voice in voices if isinstance(voice, KitVoice) and voice.instrument == "drums"}
    assert set(kits) == {"lmms/kit0", "lmms/kit1"} and {voice.licence for voice in voices} == {"GPL-2+"}
    assert [hit.key for hit in kits["lmms/kit0"].hits] == [42, 46, 36, 38]


def test_samples_become_kits_and_tabla(tmp_path: Path) -> None:
    names = ("bd_haus", "sn_dolf", "elec_blip2", "tabla_na", "tabla_ke1", "tabla_tas1")
    tones.write(*(tmp_path / "sonic-pi" / f"{name}.wav" for name in names))
    voices = {(voice.instrument, voice.source) for voice in drumkits.sample_kit_voices(tmp_path / "sonic-pi")}
    whole = {voice for voice in voices if voice[0] in ("drums", "tabla")}
    assert whole == {("drums", "sonic-pi/house"), ("tabla", "sonic-pi")}


def test_notes_and_struck_things_are_found_by_name_and_held_out_folders_are_not(tmp_path: Path) -> None:
    for instrument in ("oboe", "tuba", "glass harp"):
        names = (f"{instrument}_{letter}{octave}_1_forte_normal" for letter in "CDEFGAB" for octave in (4, 5))
        tones.write(*(tmp_path / instrument / f"{name}.wav" for name in names))
    tones.write(*(tmp_path / "triangle" / f"triangle__{name}.wav" for name in ("long_forte", "phrase_forte_rhythm")))
    voices = {voice.instrument: voice for voice in recorded_notes.note_voices(tmp_path)}
    families = {name: voice.family for name, voice in voices.items()}
    assert families == {"glass harp": "other", "oboe": "reed", "triangle": "percussion"}
    assert (voices["oboe"].low, voices["oboe"].high) == (60, 83)
    assert voices["triangle"].keys == (0,)


def test_folders_of_many_strums_are_guitars(tmp_path: Path) -> None:
    for number in range(8):
        names = ("many/Cmajor", "many/A minor", "many/Dsharp minor7b5", "few/Cmajor")
        tones.write(*(tmp_path / f"{name}_0{number}.wav" for name in names))
    (voice,) = recorded_notes.strum_voices(tmp_path)
    assert (voice.instrument, voice.source, voice.roles) == ("steel guitar", "many", ("strum",))


def test_phrases_are_found_and_odd_playing_is_left_out(tmp_path: Path) -> None:
    wanted = ("flute/flute_A4_phrase_forte_legato", "snare-drum/snare-drum__phrase_forte_rhythm")
    other = ("flute/flute_A4_05_forte_normal", "cello/cello_A2_phrase_pizz-tremolo", "banjo/banjo_A4_phrase_normal")
    tones.write(*(tmp_path / f"{name}.wav" for name in (*wanted, *other)))
    found = recordings.phrases(tmp_path)
    assert [recording.instrument for recording in found] == ["flute", "snare"]
    assert [recording.path for recording in found] == [str(tmp_path / f"{name}.wav") for name in wanted]


def test_loops_are_those_that_the_table_knows(tmp_path: Path) -> None:
    folder = tmp_path / "sonic-pi"
    tones.write(*(folder / f"{name}.wav" for name in ("loop_amen_full", "deeper/Xylo1", "loop_unheard_of")))
    found = {(each.instrument, each.source) for each in recordings.loops(folder)}
    assert found == {("drums", "sonic-pi/loop_amen_full"), ("xylophone", "sonic-pi/Xylo1")}


def test_every_known_source_has_a_licence_and_a_short_name() -> None:
    known = sound_files.known_sources()
    assert len({source.short for source in known.values()}) == len(known)
    assert all(source.licence and source.licence != "unknown" for source in known.values())


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("somewhere/FluidR3_GM.sf2", ("fluidr3", "MIT")),
        ("usr/share/sonic-pi/samples", ("sonic-pi", "CC0")),
        ("/usr/share/scratch/Media/Sounds", ("scratch", "CC-BY-SA-3.0")),
        ("/scratch/alice/mine.sf2", ("mine", "unknown")),  # only bears a known name
    ],
)
def test_a_source_is_known_by_its_file_or_a_folder_above(path: str, source: tuple[str, str]) -> None:
    assert sound_files.source_of(Path(path)) == source
