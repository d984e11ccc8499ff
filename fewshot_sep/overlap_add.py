"""Overlap-add: overlapping chunks become one signal, as they come."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class Chunk(NamedTuple):
    """Samples (channels, n) of the song from `offset` on, to stand for `start` to `stop`; what is beyond is context."""

    start: int
    stop: int
    offset: int
    samples: Array


def first_needed(stops: Sequence[int], start: int) -> int:
    """Index of the chunk to begin with, for `crossfade` to give what is from `start` on as if it had begun with the first.

    stops: where each chunk ends. Two chunks before the one that holds `start`: how far a crossfade reaches depends on the
    one before it.

    >>> first_needed([10, 20, 30, 40, 50], 35), first_needed([10, 20], 5)
    (1, 0)
    """
    return max(bisect.bisect_right(stops, start) - 2, 0)


def crossfade(chunks: Iterable[Chunk], fade: int, start: int = 0) -> Iterator[Array]:
    """Crossfade chunks that follow each other without gap; the blocks given cover them exactly, in order.

    start: what comes before this sample is left out.

    At a boundary the fades are a raised cosine, sum to 1, and reach at most `fade` samples to each side: less where a
    chunk is short or its context ends. Two chunks are held at a time.
    """
    for position, block in _crossfaded(chunks, fade):
        if position + block.shape[1] > start or not start:
            yield block[:, max(start - position, 0) :]


def _crossfaded(chunks: Iterable[Chunk], fade: int) -> Iterator[tuple[int, Array]]:
    """Blocks and the sample that each begins at."""
    held: Chunk | None = None
    done = 0
    half_before = 0
    for chunk in chunks:
        if held is None:
            held, done = chunk, chunk.start
            continue
        if chunk.start != held.stop:
            raise ValueError(f"a chunk ends at sample {held.stop}, the next begins at {chunk.start}")
        edge = held.stop
        half = min(
            fade,
            edge - held.start - half_before,
            (chunk.stop - edge) // 2,
            held.offset + held.samples.shape[1] - edge,
            edge - chunk.offset,
        )
        half = max(half, 0)
        yield done, _part(held, done, edge - half)
        if half:
            rising = (0.5 - 0.5 * np.cos(np.pi * (np.arange(2 * half) + 0.5) / (2 * half))).astype(np.float32)
            faded = _part(held, edge - half, edge + half) * (1 - rising)
            yield edge - half, faded + _part(chunk, edge - half, edge + half) * rising
        held, done, half_before = chunk, edge + half, half
    if held is not None:
        yield done, _part(held, done, held.stop)


def _part(chunk: Chunk, start: int, stop: int) -> Array:
    return chunk.samples[:, start - chunk.offset : stop - chunk.offset]
