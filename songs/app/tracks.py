"""Sound on its way to the page: raw samples on disk, what is left of a song without its stems, peaks, spectrograms."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewshot_sep import audio, files
from fewshot_sep.errors import OutputError

Array = NDArray[np.float32]

MIN_FREE = 500_000_000  # bytes that are left alone on a disk
BLOCK = 1 << 20  # frames that are read at a time
PEAK_HOP = 256  # frames to a pair of peaks
TILE_COLUMNS, BANDS, N_FFT = 256, 96, 4096
LOWEST_HZ, FLOOR_DB = 40.0, -90.0


class RawTrack:
    """Samples in a file of raw 32-bit floats, `(frames, channels)`: an `audio.Source` that can be written too.

    What was not written is silence, and takes no room where the file system can leave holes.
    """

    def __init__(self, path: Path, sample_rate: int, channels: int, frames: int) -> None:
        self.path, self.sample_rate, self.channels, self.frames = path, sample_rate, channels, frames
        self._bytes = 4 * channels

    def clear(self) -> None:
        """Make it silent. Raises OutputError."""
        with files.explained(self.path):
            taken = getattr(self.path.stat(), "st_blocks", 0) * 512 if self.path.exists() else 0  # comes free
            check_room(self.path.parent, self.frames * self._bytes - taken)
            with self.path.open("wb") as file:
                file.truncate(self.frames * self._bytes)

    def write(self, at: int, block: Array) -> None:
        """Samples `(channels, n)` from frame `at` on. Raises OutputError."""
        with files.explained(self.path), self.path.open("r+b") as file:
            file.seek(at * self._bytes)
            file.write(np.ascontiguousarray(block.T, dtype="<f4").data)

    def read(self, start: int, stop: int) -> Array:
        start, stop = (min(max(frame, 0), self.frames) for frame in (start, stop))
        found = np.fromfile(
            self.path, "<f4", max(stop - start, 0) * self.channels, offset=min(start, stop) * self._bytes
        )
        return np.ascontiguousarray(found.reshape(-1, self.channels).T, dtype=np.float32)


class Remainder:
    """The song without some of its stems; an `audio.Source`. The order of the stems decides the rounding."""

    def __init__(self, song: audio.Source, stems: Sequence[audio.Source]) -> None:
        self.song, self.stems = song, stems
        self.sample_rate, self.channels, self.frames = song.sample_rate, song.channels, song.frames

    def read(self, start: int, stop: int) -> Array:
        left = self.song.read(start, stop)
        for stem in self.stems:
            left = left - stem.read(start, stop)
        return left


def peaks(source: audio.Source, start: int, stop: int) -> NDArray[np.int8]:
    """Least and largest sample of every `PEAK_HOP` frames of a part of a source, over the channels.

    Shape: `(n, 2)`, bytes; 127 is full scale.
    """
    found = np.zeros((max(-(-(stop - start) // PEAK_HOP), 0), 2), np.int8)
    for at in range(start, stop, BLOCK):
        block = source.read(at, min(at + BLOCK, stop))
        bins = np.pad(block, ((0, 0), (0, -block.shape[1] % PEAK_HOP))).reshape(len(block), -1, PEAK_HOP)
        ends = np.stack([bins.min((0, 2)), bins.max((0, 2))], axis=1).clip(-1, 1)
        found[(at - start) // PEAK_HOP :][: len(ends)] = np.rint(ends * 127)
    return found


def tile(source: audio.Source, level: int, index: int) -> bytes:
    """A piece of a spectrogram: `BANDS` rows (lowest first) of `TILE_COLUMNS` bytes, 0 for -90 dB to 255 for 0 dB.

    A column lasts `PEAK_HOP * 2**level` frames, and shows the spectrum at its middle, so that every tile takes the same
    short time, of however long a song.
    """
    hop = PEAK_HOP << level
    middles = (np.arange(TILE_COLUMNS) + index * TILE_COLUMNS) * hop + hop // 2
    rate = source.sample_rate
    first = int(middles[0]) - N_FFT // 2
    windows = np.zeros((TILE_COLUMNS, N_FFT), np.float32)
    if hop <= N_FFT:  # they overlap: read once
        span = _read(source, first, int(middles[-1]) + N_FFT // 2)
        windows[:] = np.lib.stride_tricks.sliding_window_view(span, N_FFT)[::hop]
    else:
        for column, middle in enumerate(middles):
            if middle - N_FFT // 2 >= source.frames:
                break
            windows[column] = _read(source, int(middle) - N_FFT // 2, int(middle) + N_FFT // 2)
    window = np.hanning(N_FFT).astype(np.float32)
    power = np.abs(np.fft.rfft(windows * window)) ** 2 / (window.sum() / 2) ** 2
    top = min(rate / 2, 16000.0)
    edges = np.geomspace(LOWEST_HZ, top, BANDS + 1) / rate * N_FFT
    low = np.floor(edges[:-1]).astype(int)
    high = np.maximum(np.ceil(edges[1:]).astype(int), low + 1)
    bands = np.stack([power[:, a:b].max(1) for a, b in zip(low, high, strict=True)])
    db = 10 * np.log10(np.maximum(bands, 1e-12))
    shades: NDArray[np.uint8] = np.rint((db / -FLOOR_DB + 1).clip(0, 1) * 255).astype(np.uint8)
    return shades.tobytes()


def _read(source: audio.Source, start: int, stop: int) -> Array:
    """Mono, silence before the start and after the end."""
    mono = source.read(max(start, 0), max(stop, 0)).mean(0)
    return np.pad(mono, (max(-start, 0), stop - start - max(-start, 0) - len(mono)))


def check_room(folder: Path, wanted: int) -> None:
    """Raises OutputError where the disk has no room for so many bytes."""
    free = shutil.disk_usage(folder).free
    if free - wanted < MIN_FREE:
        raise OutputError(
            f"the disk with {folder} has {free / 1e9:.1f} GB left and {(wanted + MIN_FREE) / 1e9:.1f} GB are needed: "
            "make room, or choose another folder"
        )
