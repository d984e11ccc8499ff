"""A tiny tracker module that tests write."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

SAMPLES, ROWS, CHANNELS = 3, 64, 4
PATTERNS = 4


def write_mod(path: Path, seed: int = 0) -> Path:
    """A ProTracker module: a square wave, a saw and noise, each on a channel of its own, four patterns."""
    rng = np.random.default_rng(seed)
    turn = np.arange(4000)
    sounds = [np.where(turn % 64 < 32, 60, -60), turn % 50 * 2 - 50, rng.integers(-60, 60, 4000)]
    head = b"test".ljust(20, b"\0")
    for number in range(31):
        words = len(turn) // 2 if number < SAMPLES else 0
        head += bytes(22) + struct.pack(">HBBHH", words, 0, 64 if words else 0, 0, words if number < 2 else 1)
    head += bytes([PATTERNS, 127]) + bytes([*range(PATTERNS)]).ljust(128, b"\0") + b"M.K."
    cells = b""
    for _ in range(PATTERNS):
        for row in range(ROWS):
            for channel in range(CHANNELS):
                struck = channel < SAMPLES and row % (4 << channel) == 0
                period = (428, 339, 285)[row // 8 % 3]
                cells += struct.pack(">BBBB", period >> 8, period & 255, (channel + 1) << 4, 0) if struck else bytes(4)
    path.write_bytes(head + cells + b"".join(sound.astype(np.int8).tobytes() for sound in sounds))
    return path
