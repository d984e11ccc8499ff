from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from fewshot_sep.experiments.flagship import midi


def test_grooves_are_whole_ones_and_few_of_each_file(tmp_path: Path) -> None:
    names = ("Salsa", "SalsaIntro", "SalsaSus", "SalsaFill", "SalsaEnd", "SalsaPlus", "SalsaSusPlus")
    (tmp_path / "salsa.mma").write_text("".join(f"\nDefGroove {name}  About it.\nSeqClear" for name in names))
    assert list(midi.grooves(tmp_path)) == [
        (tmp_path / "salsa.mma", name) for name in ("Salsa", "SalsaSus", "SalsaPlus")
    ]


def test_a_sheet_has_every_bar_and_names_its_groove() -> None:
    keys = set()
    for seed in range(20):
        lines = midi.sheet(Path("salsa.mma"), "SalsaSus", np.random.default_rng(seed)).splitlines()
        assert lines[1] == "Groove stdlib/salsa:SalsaSus"
        assert [int(line.split()[0]) for line in lines[2:]] == list(range(1, midi.BARS + 1))
        keys.add(lines[2].split()[1])
    assert len(keys) > 5


def test_midi_files_are_found_in_a_wad() -> None:
    songs = {"D_E1M1": b"MThd one", "D_E1M2": b"MThd two and more", "PLAYPAL": b"not music"}
    body, table, at = b"", b"", 12
    for name, data in songs.items():
        table += struct.pack("<2i8s", at + len(body), len(data), name.encode())
        body += data
    wad = b"IWAD" + struct.pack("<2i", len(songs), at + len(body)) + body + table
    assert dict(midi.midi_lumps(wad)) == {"d_e1m1": b"MThd one", "d_e1m2": b"MThd two and more"}
