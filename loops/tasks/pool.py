"""A library's sound in memory, with what is needed to draw from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewshot_sep import audio, levels
from fewshot_sep.errors import BadLibrary
from fewshot_sep.loops.library import Library, Row

Ints = NDArray[np.int64]

FULL_SCALE = 32767
READ_AT_ONCE = 64
ACTIVE_WINDOW_S = 0.25
ACTIVE_RANGE_DB = 25.0
MARGIN = 2**20
"""Samples of silence behind the last row, so that what reads past its end reads silence."""
BLOCK = 32
"""Samples whose places are counted from a common one, as single precision is right to 1e-5 of one no farther."""


class AudioPool:
    """A library's sound as one flat 16-bit tensor, so that a step of the training waits for no file.

    Args:
        library: rows of split `unseen` are left out: they are for evaluation only.
        split: rows to take.
        sample_rate: in Hz; files of another rate are resampled.

    Attributes:
        rows: what the sounds are; the lists below are in their order.
        lengths: in samples. loudness: RMS. active: where something sounds, as starts of windows of a quarter second.
        by_instrument: numbers of rows, of instruments that have two or more: a single row cannot be queried.
        instruments: their names, sorted. songs: numbers of the rows of each song that has two or more.

    Raises:
        BadLibrary: no instrument has two different rows, so that no query can be drawn.
    """

    def __init__(self, library: Library, split: str, sample_rate: int, device: str | torch.device = "cpu") -> None:
        rows = [row for row in library.rows if row.split == split]
        self.name, self.sample_rate = f"{library.folder}: split '{split}'", sample_rate
        self._index(rows)  # first, so that nothing is read of a split that is too small
        lengths: list[int] = []
        loudness: list[float] = []
        self.active: list[NDArray[np.int64]] = []
        sound, gap = np.empty(0, np.int16), np.zeros(1, np.int16)  # a row's last sample is followed by silence
        # A few at a time: what is decoded and not yet joined would take the memory a second time.
        with ThreadPoolExecutor() as threads:
            for first in range(0, len(rows), READ_AT_ONCE):
                files = [library.file(row) for row in rows[first : first + READ_AT_ONCE]]
                decoded = list(threads.map(lambda file: _read_mono(file, sample_rate), files))
                filled = len(sound)
                sound.resize(filled + sum(map(len, decoded)) + len(decoded), refcheck=False)
                np.concatenate([part for mono in decoded for part in (mono, gap)], out=sound[filled:])
                lengths += map(len, decoded)
                loudness += (float(np.sqrt(np.mean((mono / FULL_SCALE) ** 2)) + 1e-6) for mono in decoded)
                self.active += (_active_starts(mono, sample_rate) for mono in decoded)
        sound.resize(len(sound) + MARGIN, refcheck=False)
        self.lengths, self.loudness = np.array(lengths, np.int64), np.array(loudness)
        self.starts = np.cumsum(self.lengths + 1) - (self.lengths + 1)
        self.sound = torch.from_numpy(sound).to(device)
        self.device = self.sound.device

    def _index(self, rows: list[Row]) -> None:
        self.rows = rows
        by_instrument = defaultdict[str, list[int]](list)
        by_song = defaultdict[str, list[int]](list)
        for index, row in enumerate(rows):
            by_instrument[row.instrument].append(index)
            if row.song:
                by_song[row.song].append(index)
        self.by_instrument = {name: indices for name, indices in by_instrument.items() if len(indices) > 1}
        self.instruments = sorted(self.by_instrument)
        self.songs = [indices for _, indices in sorted(by_song.items()) if len(indices) > 1]
        if len(self.instruments) < 2:
            raise BadLibrary(f"{self.name} needs two instruments with two loops each to draw tasks")

    def only(self, keep: Callable[[Row], bool]) -> AudioPool:
        """A pool of the rows that `keep` accepts; the sound is shared, not copied.

        Raises:
            BadLibrary: as above.
        """
        part = copy(self)
        places = [index for index, row in enumerate(self.rows) if keep(row)]
        part.starts = self.starts[places]
        part.lengths, part.loudness = self.lengths[places], self.loudness[places]
        part.active = [self.active[index] for index in places]
        part._index([self.rows[index] for index in places])
        return part

    def read(self, row: Ints, start: Ints, ratio: NDArray[np.float64], out: Tensor) -> None:
        """Stretches of rows, each `ratio` times as fast by linear interpolation, silence where the row has ended.

        Arguments: one number each per stretch; those of ratio 1 must come first. Samples are as stored.

        Shape:
            out: `(stretches, samples)` float32, filled.

        Raises:
            ValueError: a stretch is longer than `MARGIN`.
        """
        samples, unshifted = out.shape[1], int((ratio == 1).sum())
        if samples * max(1.0, ratio.max(initial=1.0)) >= MARGIN or (ratio[:unshifted] != 1).any():
            raise ValueError(f"{samples} samples are too many to read at once, or what is not shifted does not lead")
        begin = torch.as_tensor(self.starts[row] + start, device=self.device)
        if unshifted:
            out[:unshifted] = self.sound.unfold(0, samples, 1)[begin[:unshifted]]
        if unshifted < len(row):
            index, share = self._places(begin[unshifted:], ratio[unshifted:, None], samples)
            here, there = (one.index_select(0, index).view(share.shape) for one in (self.sound, self.sound[1:]))
            torch.lerp(here[:, :samples].float(), there[:, :samples].float(), share[:, :samples], out=out[unshifted:])
        end = np.ceil((self.lengths[row] - start) / ratio).astype(np.int64)
        if len(ending := np.flatnonzero(end < samples)):
            kept = torch.arange(samples, device=self.device) < torch.as_tensor(end[ending, None], device=self.device)
            out[torch.as_tensor(ending, device=self.device)] *= kept

    def _places(self, begin: Tensor, ratio: NDArray[np.float64], samples: int) -> tuple[Tensor, Tensor]:
        """Where sounds of speed `ratio` `(n, 1)` are at each sample: index, flat, and share of the next, `(n, any)`."""
        blocks = np.arange(0, samples, BLOCK) * ratio
        whole, rest, speed = (
            torch.as_tensor(numbers, device=self.device)[:, :, None]
            for numbers in (blocks.astype(np.int64), (blocks % 1).astype(np.float32), ratio.astype(np.float32))
        )
        share = torch.arange(BLOCK, device=self.device) * speed + rest
        low = share.floor()
        index = low.long().add_(whole.add_(begin[:, None, None]))
        return index.flatten(), share.sub_(low).flatten(1)


def _read_mono(path: Path, sample_rate: int) -> NDArray[np.int16]:
    samples, rate = audio.read(path)
    mono = audio.resample(levels.downmix(samples)[None], rate, sample_rate)[0]
    # Quieter where it goes beyond full scale: levels are drawn anyway, and clipping would be heard.
    return np.asarray(mono / max(1.0, np.abs(mono).max(initial=0.0)) * FULL_SCALE, np.int16)


def _active_starts(mono: NDArray[np.int16], sample_rate: int) -> NDArray[np.int64]:
    """Starts of the active windows; the beginning alone if none is."""
    window = max(1, int(ACTIVE_WINDOW_S * sample_rate))
    power = levels.frame_power(mono[: len(mono) // window * window] / FULL_SCALE, window)
    starts = np.flatnonzero(levels.active(power, ACTIVE_RANGE_DB)) * window
    return starts if len(starts) else np.zeros(1, np.int64)
