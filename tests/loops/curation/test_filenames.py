from __future__ import annotations

import pytest

from fewshot_sep.loops import tables
from fewshot_sep.loops.curation import filenames
from fewshot_sep.loops.library import is_held_out


@pytest.mark.parametrize("case", tables.beside(__file__, "filenames.csv"), ids=lambda case: case["path"])
def test_names_say_tempo_and_instrument(case: dict[str, str]) -> None:
    """An empty cell says nothing of what is to be found, "none" says that nothing is."""
    tempo, found = filenames.tempo(case["path"]), filenames.instrument(case["path"])
    if case["bpm"]:
        assert f"{tempo:g}" == case["bpm"] if tempo else case["bpm"] == "none"
    if case["instrument"] == "none":
        assert found is None
    elif case["instrument"]:
        assert found is not None and found.confidence >= 0.9
        assert (found.name, found.family) == (case["instrument"], case["family"])


def test_a_pack_named_after_an_instrument_is_not_proof() -> None:
    found = filenames.instrument("Street Beats Vol 2/riff.wav")
    assert found is not None and found.confidence < 0.5


def test_held_out_instruments_are_recognised() -> None:
    for path in ("a/Bandoneon 3.wav", "a/Accordian.wav", "Tuba/t.wav", "x/Banjo_110.wav", "Sitar/1.wav"):
        found = filenames.instrument(path)
        assert found is not None and is_held_out(found.name)
