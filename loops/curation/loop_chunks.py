"""What a WAV file's `acid` and `smpl` chunks say of a loop: its tempo, its beats, where it begins and ends.

Fields of `acid`: as libsndfile reads them (src/wav.c, wav_read_acid_chunk); of `smpl`: "Multiple channel audio data and
WAVE files", RIFF MCI 1.0. What is damaged or missing says nothing.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
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
    acid, loop = _acid(b"", "<"), _loop(b"", "<")
    with path.open("rb") as file:
        for chunk in riff.chunks(file):
            if chunk.name == b"acid":
                acid = _acid(chunk.read(file, _MAX_BYTES), chunk.order)
            elif chunk.name == b"smpl":
                loop = _loop(chunk.read(file, _MAX_BYTES), chunk.order)
    return LoopInfo(*acid, loop)


def _acid(data: bytes, order: str) -> tuple[float | None, float | None, bool]:
    if len(data) < 24:
        return None, None, False
    flags, beats, tempo = struct.unpack(order + "I8xI4xf", data[:24])
    if flags & _ONE_SHOT:
        return None, None, True
    sane = math.isfinite(tempo) and 30 <= tempo <= 300
    return (float(tempo) if sane else None), (float(beats) if 0 < beats <= 1024 else None), False


def _loop(data: bytes, order: str) -> tuple[int, int] | None:
    if len(data) < 60:
        return None
    loops, first, last = struct.unpack(order + "28xI12x2I", data[:52])
    return (first, last) if loops and last > first else None
