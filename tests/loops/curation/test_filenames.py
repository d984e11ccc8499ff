from __future__ import annotations

import pytest

from fewshot_sep.loops.curation import filenames
from fewshot_sep.loops.library import is_held_out


@pytest.mark.parametrize(
    ("path", "bpm"),
    [
        ("Pack/KSHMR_Drum_Loop_07_128.wav", 128),
        ("Pack/140_Dm_Reese_Bass.wav", 140),
        ("Pack/loop (90 bpm).wav", 90),
        ("Pack/BPM120_Gtr.wav", 120),
        ("Pack/Gtr 92.5bpm.wav", 92.5),
        ("Pack/174BPM-Amen.wav", 174),
        ("Loops 110 BPM/Congas/c1.wav", 110),
        ("Pack/98/conga.wav", 98),
        ("Pack 100bpm/conga 98bpm.wav", 98),
        ("Pack/TR-909 hats.wav", None),
        ("Pack/conga_01.wav", None),
        ("Pack/conga_064.wav", None),
        ("Pack 1992/conga_16bit_44.wav", None),
        ("Pack/riff 90 120.wav", None),
        ("Pack/take 999bpm.wav", None),
    ],
)
def test_tempo(path: str, bpm: float | None) -> None:
    assert filenames.tempo(path) == bpm


@pytest.mark.parametrize(
    ("path", "name", "family"),
    [
        ("Bachata/Guira/g1.wav", "guira", "percussion"),
        ("Bachata/Güira 147.wav", "guira", "percussion"),
        ("Bachata/Segunda_2bars.wav", "segunda", "guitar"),
        ("Latin/Bongos 03.wav", "bongo", "percussion"),
        ("x/DS_Kick_Loop.wav", "kick", "drums"),
        ("x/OpenHiHat.wav", "hi-hat", "drums"),
        ("x/Drums - Shaker 90.wav", "shaker", "percussion"),
        ("x/Techno_SynthBass.wav", "synth bass", "bass"),
        ("x/Drum & Bass Pad.wav", "synth pad", "synth"),
        ("x/Rhodes_Am.wav", "electric piano", "piano"),
        ("x/Spanish Guitar 4.wav", "nylon guitar", "guitar"),
        ("x/female_vox_adlib.wav", "vocals", "voice"),
        ("x/Tenor Sax riff.wav", "tenor saxophone", "reed"),
        ("x/Claves.wav", "claves", "percussion"),
        ("Piano/riff.wav", "piano", "piano"),
    ],
)
def test_instrument(path: str, name: str, family: str) -> None:
    found = filenames.instrument(path)
    assert found is not None and found.confidence >= 0.9
    assert (found.name, found.family) == (name, family)


@pytest.mark.parametrize("path", ["x/untitled.wav", "x/Funky Town.wav", "x/Piano and Flute.wav", "x/brassiere.wav"])
def test_no_instrument(path: str) -> None:
    assert filenames.instrument(path) is None


def test_a_pack_named_after_an_instrument_is_not_proof() -> None:
    found = filenames.instrument("Street Beats Vol 2/riff.wav")
    assert found is not None and found.confidence < 0.5


@pytest.mark.parametrize(
    "path", ["a/Bandoneon 3.wav", "a/Accordian.wav", "Tuba/t.wav", "x/Banjo_110.wav", "Sitar/1.wav"]
)
def test_held_out_instruments_are_recognised(path: str) -> None:
    found = filenames.instrument(path)
    assert found is not None and is_held_out(found.name)
