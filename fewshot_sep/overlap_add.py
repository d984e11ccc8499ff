"""Joining overlapping slices into one signal, as they come."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class Piece(NamedTuple):
    """Samples (channels, n) of the song from `offset` on, to stand for `start` to `stop`; what is beyond is context."""

    start: int
    stop: int
    offset: int
    samples: Array


def first_needed(stops: Sequence[int], start: int) -> int:
    """Index of the piece to begin with, for `join` to give what is from `start` on as if it had begun with the first.

    stops: where each piece ends. Two pieces before the one that holds `start`: how far a join reaches depends on the
    join before it.

    >>> first_needed([10, 20, 30, 40, 50], 35), first_needed([10, 20], 5)
    (1, 0)
    """
    return max(bisect.bisect_right(stops, start) - 2, 0)


def join(pieces: Iterable[Piece], fade: int, start: int = 0) -> Iterator[Array]:
    """Crossfade pieces that follow each other without gap; the blocks given cover them exactly, in order.

    start: what comes before this sample is left out.

    At a join the fades are a raised cosine, sum to 1, and reach at most `fade` samples to each side: less where a piece
    is short or its context ends. Two pieces are held at a time.
    """
    for position, block in _joined(pieces, fade):
        if position + block.shape[1] > start or not start:
            yield block[:, max(start - position, 0) :]


def _joined(pieces: Iterable[Piece], fade: int) -> Iterator[tuple[int, Array]]:
    """Blocks and the sample that each begins at."""
    held: Piece | None = None
    done = 0
    half_before = 0
    for piece in pieces:
        if held is None:
            held, done = piece, piece.start
            continue
        if piece.start != held.stop:
            raise ValueError(f"a piece ends at sample {held.stop}, the next begins at {piece.start}")
        edge = held.stop
        half = min(
            fade,
            edge - held.start - half_before,
            (piece.stop - edge) // 2,
            held.offset + held.samples.shape[1] - edge,
            edge - piece.offset,
        )
        half = max(half, 0)
        yield done, _part(held, done, edge - half)
        if half:
            rising = (0.5 - 0.5 * np.cos(np.pi * (np.arange(2 * half) + 0.5) / (2 * half))).astype(np.float32)
            faded = _part(held, edge - half, edge + half) * (1 - rising)
            yield edge - half, faded + _part(piece, edge - half, edge + half) * rising
        held, done, half_before = piece, edge + half, half
    if held is not None:
        yield done, _part(held, done, held.stop)


def _part(piece: Piece, start: int, stop: int) -> Array:
    return piece.samples[:, start - piece.offset : stop - piece.offset]
