"""Crossfading what was cut gives back what was there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_sep.overlap_add import Chunk, Span, crossfade, needed
from tests.sounds import noise


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
    start=st.integers(0, 699),
)
def test_chunks_of_a_sound_give_back_the_sound_from_any_start(
    frames: int, channels: int, cuts: list[int], context: int, fade: int, start: int
) -> None:
    samples, start = noise(channels, frames, frames), start % frames
    chunks = cut(samples, [0, *sorted(c for c in cuts if c < frames), frames], context)
    whole = np.concatenate(list(crossfade(iter(chunks), fade)), axis=1)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(whole, samples, rtol=0, atol=1e-6)
    scaled = [chunk._replace(samples=number * chunk.samples) for number, chunk in enumerate(chunks)]
    first = len(chunks) - len(needed([Span(*chunk[:3], 0) for chunk in chunks], start))
    np.testing.assert_array_equal(
        np.concatenate(list(crossfade(scaled[first:], fade, start)), axis=1),
        np.concatenate(list(crossfade(scaled, fade)), axis=1)[:, start:],
    )


def test_fades_sum_to_one_and_stay_within_reach() -> None:
    low, high = np.zeros((1, 500), np.float32), np.ones((1, 500), np.float32)
    chunks = [Chunk(0, 250, 0, low[:, :350]), Chunk(250, 500, 150, high[:, 150:])]
    joined = np.concatenate(list(crossfade(chunks, 40)), axis=1)[0]
    assert (joined[:210] == 0).all() and (joined[290:] == 1).all()
    rise = joined[210:290]
    assert (np.diff(rise) > 0).all()
    np.testing.assert_allclose(rise + rise[::-1], 1, atol=1e-6)


def test_blocks_come_before_all_chunks_are_read() -> None:
    read: list[int] = []

    def chunks() -> Iterator[Chunk]:
        for chunk in cut(np.zeros((1, 1000), np.float32), list(range(0, 1001, 100)), 20):
            read.append(chunk.start)
            yield chunk

    next(crossfade(chunks(), 10))
    assert read == [0, 100]


def test_a_gap_is_refused_and_nothing_gives_nothing() -> None:
    block = np.zeros((1, 10), np.float32)
    with pytest.raises(ValueError, match=r"sample 10.*at 11"):
        list(crossfade([Chunk(0, 10, 0, block), Chunk(11, 21, 11, block)], 2))
    assert list(crossfade([], 10)) == []
