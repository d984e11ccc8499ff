"""What a WAV file's `acid` and `smpl` chunks say of a loop: its tempo, its beats, where it begins and ends.

Fields of `acid`: as libsndfile reads them (src/wav.c, wav_read_acid_chunk); of `smpl`: "Multiple channel audio data and
WAVE files", RIFF MCI 1.0. Chunks are walked tolerantly: what is damaged or missing says nothing.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path

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
    found = _chunks(path)
    return LoopInfo(*_acid(found.get(b"acid", b"")), _loop(found.get(b"smpl", b"")))


def _chunks(path: Path) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] not in (b"RIFF", b"RF64", b"BW64") or head[8:] != b"WAVE":
            return found
        while file.tell() < size and len(header := file.read(8)) == 8:
            name, length = header[:4], struct.unpack("<I", header[4:])[0]
            start = file.tell()
            if name in (b"acid", b"smpl"):
                found.setdefault(name, file.read(min(length, _MAX_BYTES)))
            file.seek(start + length + length % 2)
    return found


def _acid(data: bytes) -> tuple[float | None, float | None, bool]:
    if len(data) < 24:
        return None, None, False
    flags, beats, tempo = struct.unpack("<I8xI4xf", data[:24])
    if flags & _ONE_SHOT:
        return None, None, True
    sane = math.isfinite(tempo) and 30 <= tempo <= 300
    return (float(tempo) if sane else None), (float(beats) if 0 < beats <= 1024 else None), False


def _loop(data: bytes) -> tuple[int, int] | None:
    if len(data) < 60 or not struct.unpack("<I", data[28:32])[0]:
        return None
    first, last = struct.unpack("<II", data[44:52])
    return (first, last) if last > first else None
