"""Overlap-add: overlapping chunks become one signal, as they come."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class Span(NamedTuple):
    """Samples `start` to `stop` of the song, to be kept, and `offset` to `end`, which are looked at."""

    start: int
    stop: int
    offset: int
    end: int


class Chunk(NamedTuple):
    """Samples (channels, n) of the song from `offset` on; `start` to `stop` are kept, the others are context."""

    start: int
    stop: int
    offset: int
    samples: Array


def needed(spans: Sequence[Span], start: int) -> Sequence[Span]:
    """Those whose chunks `crossfade` needs for the same output from `start` on as with all.

    The first is the one before that which holds `start`, as the crossfade between the two may reach over `start`.

    >>> spans = [Span(at, at + 10, at, at + 10) for at in range(0, 50, 10)]
    >>> len(needed(spans, 35)), len(needed(spans, 5))
    (3, 5)
    """
    return spans[max(bisect.bisect_right([span.stop for span in spans], start) - 1, 0) :]


def chunks_of(
    spans: Sequence[Span], samples: Iterable[Array], progress: Callable[[float], None] | None = None
) -> Iterator[Chunk]:
    """What was made of each span, in order, for `crossfade`; `progress` is told how far it is, 0 to 1."""
    for span, made in zip(spans, samples, strict=True):
        yield Chunk(*span[:3], made)
        if progress:
            progress(span.stop / spans[-1].stop)


def crossfade(chunks: Iterable[Chunk], fade: int, start: int = 0) -> Iterator[Array]:
    """Crossfade chunks that follow each other without gap; the blocks cover them exactly, in order.

    At a boundary the fades are a raised cosine, sum to 1, and reach at most `fade` samples to each side: less where a
    chunk is short or its context ends. A fade takes at most half of a chunk, so that it depends on its two chunks
    alone. Two chunks are in memory at a time.

    Args:
        start: samples before this one are left out.
    """
    for position, block in _crossfaded(chunks, fade):
        if position + block.shape[1] > start or not start:
            yield block[:, max(start - position, 0) :]


def _crossfaded(chunks: Iterable[Chunk], fade: int) -> Iterator[tuple[int, Array]]:
    """Blocks and the sample that each begins at."""
    previous: Chunk | None = None
    done = 0
    for chunk in chunks:
        if previous is None:
            previous, done = chunk, chunk.start
            continue
        if chunk.start != previous.stop:
            raise ValueError(f"a chunk ends at sample {previous.stop}, the next begins at {chunk.start}")
        edge = previous.stop
        half = min(
            fade,
            (edge - previous.start) // 2,
            (chunk.stop - edge) // 2,
            previous.offset + previous.samples.shape[1] - edge,
            edge - chunk.offset,
        )
        half = max(half, 0)
        yield done, _part(previous, done, edge - half)
        if half:
            rising = (0.5 - 0.5 * np.cos(np.pi * (np.arange(2 * half) + 0.5) / (2 * half))).astype(np.float32)
            faded = _part(previous, edge - half, edge + half) * (1 - rising)
            yield edge - half, faded + _part(chunk, edge - half, edge + half) * rising
        previous, done = chunk, edge + half
    if previous is not None:
        yield done, _part(previous, done, previous.stop)


def _part(chunk: Chunk, start: int, stop: int) -> Array:
    return chunk.samples[:, start - chunk.offset : stop - chunk.offset]
