"""MIDI files for the library: accompaniments by MMA in some 340 grooves, and the music of Freedoom."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from fewshot_sep import cli
from fewshot_sep.loops.score import SCALES

GROOVES_PER_FILE, BARS = 3, 16
_NAMES = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
_DEGREES = {"major": ("", "m", "m", "", "7", "m", "dim"), "minor": ("m", "dim", "", "m", "7", "", "")}
_PROGRESSIONS = {"major": ("0534", "0345", "0514", "1400"), "minor": ("0340", "0563", "0526", "0653")}


def grooves(library: Path) -> Iterator[tuple[Path, str]]:
    """The first grooves that each file of MMA's library defines, without introductions, fills and endings."""
    for path in sorted(library.glob("*.mma")):
        text = path.read_text(encoding="latin-1")
        names = re.findall(r"^\s*DefGroove\s+(\S+)", text, re.MULTILINE | re.IGNORECASE)
        whole = [name for name in dict.fromkeys(names) if not re.search("intro|end|fill", name, re.IGNORECASE)]
        yield from ((path, name) for name in whole[:GROOVES_PER_FILE])


def sheet(path: Path, groove: str, rng: np.random.Generator) -> str:
    """A chord sheet of `BARS` bars for MMA, in any key, two progressions in turn."""
    mode, tonic = str(rng.choice(["major", "minor"])), int(rng.integers(12))
    lines = [f"Tempo {int(rng.integers(80, 160))}", f"Groove stdlib/{path.stem}:{groove}"]
    chosen = rng.choice(_PROGRESSIONS[mode], 2, replace=False)
    for bar in range(BARS):
        degree = int(chosen[bar // 4 % 2][bar % 4])
        root = _NAMES[(tonic + SCALES[mode][degree]) % 12]
        lines.append(f"{bar + 1} {root}{_DEGREES[mode][degree]}")
    return "\n".join(lines) + "\n"


def midi_lumps(wad: bytes) -> Iterator[tuple[str, bytes]]:
    """The MIDI files in a Doom WAD file with their names."""
    count, at = struct.unpack_from("<2i", wad, 4)
    for index in range(count):
        start, size, name = struct.unpack_from("<2i8s", wad, at + 16 * index)
        data = wad[start : start + size]
        if data[:4] == b"MThd":
            yield name.rstrip(b"\0").decode("ascii").lower(), data


def midi(
    sounds: Annotated[Path, typer.Argument(help="Folder into which fetch.sh unpacked its packages.")],
    max_grooves: Annotated[int, typer.Option("--max-grooves", "--most", min=0)] = 1000,
) -> None:
    """Write SOUNDS/midi/mma-grooves and SOUNDS/midi/freedoom-music from the packages in SOUNDS.

    Example:
    python -m fewshot_sep.experiments.flagship.midi sounds
    """
    share, rng = sounds / "usr/share", np.random.default_rng(0)
    out = sounds / "midi/mma-grooves"
    out.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "MMA_HOME": str((share / "mma").resolve())}
    failed = 0
    for path, groove in list(grooves(share / "mma/lib/stdlib"))[:max_grooves]:
        text = sheet(path, groove, rng)
        target = out / f"{path.stem}-{groove}.mid".lower()
        if target.is_file():
            continue
        source = target.with_suffix(".mma")
        source.write_text(text)
        command = [sys.executable, str(sounds / "usr/bin/mma"), "-f", str(target), str(source)]
        failed += subprocess.run(command, env=environment, capture_output=True, check=False).returncode != 0
        source.unlink()
    typer.echo(f"{out}: {len(list(out.glob('*.mid')))} files, {failed} grooves failed")
    out = sounds / "midi/freedoom-music"
    out.mkdir(parents=True, exist_ok=True)
    for wad in sorted((share / "games/doom").glob("freedoom?.wad")):
        for name, data in midi_lumps(wad.read_bytes()):
            (out / f"{wad.stem}-{name}.mid").write_bytes(data)
    typer.echo(f"{out}: {len(list(out.glob('*.mid')))} files")


if __name__ == "__main__":
    cli.run(midi)
