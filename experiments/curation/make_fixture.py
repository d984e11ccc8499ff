"""Makes a fixture of loops out of unpacked packages: producers' names, odd formats and rates, broken files.

`truth.csv` says for each file what it is made of, how, and what is true of it; it was written before `curate` ran.
`make` is a list of words: the format (or `copy`, `empty`, `text`, `header`), then `rate=`, `gain=`, `subtype=`, `mono`,
`nan`, `acid=` (a tempo to put into an acid chunk) and `cut=` (the share of the bytes that is left).
"""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np

from fewshot_sep import audio
from fewshot_sep.loops import tables

TRUTH = tables.beside(__file__, "truth.csv")
_CLUTTER = {"Thumbs.db": b"\0" * 64, "Downloads/._loop 120bpm.wav": b"\0\5\x16\7", "Downloads/prices.txt": b"10 EUR\n"}


def build(folder: Path, packages: dict[str, Path], hide_tempo: bool = False) -> None:
    """Write the fixture; `packages` says where the first part of each `original` lies.

    With `hide_tempo` names and acid chunks do not tell the tempo.
    """
    for row in TRUTH:
        path = folder / row["hidden_path" if hide_tempo else "path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        package, _, rest = row["original"].partition("/")
        words = row["make"].split()
        settings = dict(word.split("=") for word in words if "=" in word)
        if hide_tempo:
            settings.pop("acid", None)
        _one(path, packages[package] / rest if package else Path(), words, settings)
    for name, data in _CLUTTER.items():
        (folder / name).write_bytes(data)


def _one(path: Path, original: Path, words: list[str], settings: dict[str, str]) -> None:
    kind = words[0]
    if kind == "copy":
        shutil.copyfile(original, path)
    elif kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("Thank you for buying these loops.\n", encoding="utf-8")
    elif kind == "header":
        path.write_bytes(audio.encode(np.zeros((1, 0), np.float32), 44100, "WAV"))
    else:
        samples, rate = audio.read(original)
        samples = samples.mean(0, keepdims=True) if "mono" in words else samples
        wanted = int(settings.get("rate", rate))
        samples = audio.resample(samples, rate, wanted) * np.float32(settings.get("gain", 1))
        if "nan" in words:
            samples[0, 1000] = np.nan
        usual = "PCM_16" if kind in ("wav", "flac", "aiff") else None
        path.write_bytes(audio.encode(samples, wanted, kind.upper(), settings.get("subtype", usual)))
        if "acid" in settings:
            _acidise(path, float(settings["acid"]), samples.shape[1] / wanted)
    if "cut" in settings:
        data = path.read_bytes()
        path.write_bytes(data[: round(len(data) * float(settings["cut"]))])


def _acidise(path: Path, bpm: float, seconds: float) -> None:
    """Append an acid chunk; its fields are those that libsndfile reads (src/wav.c, wav_read_acid_chunk)."""
    chunk = b"acid" + struct.pack("<IIHHfIHHf", 24, 0, 60, 0x8000, 0.0, round(seconds * bpm / 60), 4, 4, bpm)
    data = path.read_bytes() + chunk
    path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])
