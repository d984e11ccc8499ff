"""Joining overlapping slices into one signal, as they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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


def join(pieces: Iterable[Piece], fade: int) -> Iterator[Array]:
    """Crossfade pieces that follow each other without gap; the blocks given cover them exactly, in order.

    At a join the fades are a raised cosine, sum to 1, and reach at most `fade` samples to each side: less where a piece
    is short or its context ends. Two pieces are held at a time.
    """
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
        yield _part(held, done, edge - half)
        if half:
            rising = (0.5 - 0.5 * np.cos(np.pi * (np.arange(2 * half) + 0.5) / (2 * half))).astype(np.float32)
            yield _part(held, edge - half, edge + half) * (1 - rising) + _part(piece, edge - half, edge + half) * rising
        held, done, half_before = piece, edge + half, half
    if held is not None:
        yield _part(held, done, held.stop)


def _part(piece: Piece, start: int, stop: int) -> Array:
    return piece.samples[:, start - piece.offset : stop - piece.offset]
