"""Joining what was cut gives back what was there."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_sep.overlap_add import Chunk, join


def cut(samples: np.ndarray, edges: list[int], context: int) -> list[Chunk]:
    return [
        Chunk(start, stop, max(start - context, 0), samples[:, max(start - context, 0) : stop + context])
        for start, stop in pairwise(edges)
    ]


@settings(max_examples=150, deadline=None)
@given(
    frames=st.integers(1, 700),
    channels=st.integers(1, 2),
    cuts=st.lists(st.integers(1, 699), max_size=12, unique=True),
    context=st.integers(0, 60),
    fade=st.integers(0, 80),
)
def test_identity_slices_join_to_their_input(
    frames: int, channels: int, cuts: list[int], context: int, fade: int
) -> None:
    samples = np.random.default_rng(frames).standard_normal((channels, frames)).astype(np.float32)
    edges = [0, *sorted(c for c in cuts if c < frames), frames]
    joined = np.concatenate(list(join(iter(cut(samples, edges, context)), fade)), axis=1)
    assert joined.dtype == np.float32
    np.testing.assert_allclose(joined, samples, rtol=0, atol=1e-6)


def test_fades_sum_to_one_and_stay_within_reach() -> None:
    low, high = np.zeros((1, 500), np.float32), np.ones((1, 500), np.float32)
    pieces = [Chunk(0, 250, 0, low[:, :350]), Chunk(250, 500, 150, high[:, 150:])]
    joined = np.concatenate(list(join(pieces, 40)), axis=1)[0]
    assert (joined[:210] == 0).all() and (joined[290:] == 1).all()
    rise = joined[210:290]
    assert (np.diff(rise) > 0).all()
    np.testing.assert_allclose(rise + rise[::-1], 1, atol=1e-6)


def test_blocks_come_while_pieces_go_by() -> None:
    taken: list[int] = []
    samples = np.zeros((1, 1000), np.float32)

    def pieces():  # type: ignore[no-untyped-def]
        for piece in cut(samples, list(range(0, 1001, 100)), 20):
            taken.append(piece.start)
            yield piece

    blocks = join(pieces(), 10)
    next(blocks)
    assert taken == [0, 100]


def test_a_gap_is_refused() -> None:
    block = np.zeros((1, 10), np.float32)
    with pytest.raises(ValueError, match=r"sample 10.*at 11"):
        list(join([Chunk(0, 10, 0, block), Chunk(11, 21, 11, block)], 2))


def test_nothing_joins_to_nothing() -> None:
    assert list(join([], 10)) == []
