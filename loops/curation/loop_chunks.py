"""What a WAV file's `acid` and `smpl` chunks say of a loop: its tempo, its beats, where it begins and ends.

Fields of `acid`: as libsndfile reads them (src/wav.c, wav_read_acid_chunk); of `smpl`: "Multiple channel audio data and
WAVE files", RIFF MCI 1.0. What is damaged or missing says nothing.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from pathlib import Path

from fewshot_sep.audio import riff

_MAX_BYTES = 4096  # of one chunk: these two are 24 and at least 36 bytes long
_ONE_SHOT = 1


@dataclass(frozen=True)
class LoopInfo:
    """What the chunks say; None where they don't.

    bpm: beats a minute. beats: in the loop. one_shot: meant to sound once. loop: first and last frame (last included).
    """

    bpm: float | None = None
    beats: float | None = None
    one_shot: bool = False
    loop: tuple[int, int] | None = None


def read(path: Path) -> LoopInfo:
    """The `acid` and `smpl` chunks of a WAV file, wherever they stand in it; nothing for any other file.

    Raises OSError where the file cannot be opened.
    """
    found = LoopInfo()
    with path.open("rb") as file:
        for chunk in riff.chunks(file):
            data = chunk.read(file, _MAX_BYTES) if chunk.name in (b"acid", b"smpl") else b""
            if chunk.name == b"acid" and len(data) >= 24:
                found = _acid(found, *struct.unpack(chunk.order + "I8xI4xf", data[:24]))
            elif chunk.name == b"smpl" and len(data) >= 60:
                loops, first, last = struct.unpack(chunk.order + "28xI12x2I", data[:52])
                found = replace(found, loop=(first, last) if loops and last > first else None)
    return found


def _acid(found: LoopInfo, flags: int, beats: int, tempo: float) -> LoopInfo:
    if flags & _ONE_SHOT:
        return replace(found, one_shot=True)
    bpm = tempo if 30 <= tempo <= 300 else None  # never true of what is no number
    return replace(found, bpm=bpm, beats=float(beats) if 0 < beats <= 1024 else None)
