"""Bar grids: they cover the song, begin at downbeats, and give way where the beats are not to be trusted."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_sep.beats import Beats
from fewshot_sep.songs.grid import GRIDS, BarGrid, bar_grid, credible, irregularity
from fewshot_sep.songs.tempo import pieces

RATE = 1000


def beats_at(times: np.ndarray | list[float], first: int = 1, meter: int = 4, strength: float = 0.6) -> Beats:
    times = np.asarray(times, dtype=np.float64)
    positions = (np.arange(len(times)) + first - 1) % meter + 1
    return Beats(times, positions, np.full(len(times), strength), meter, "test")


def covers(grid: BarGrid, frames: int) -> None:
    assert grid.slices[0].start == 0 and grid.slices[-1].stop == frames
    assert all(a.stop == b.start for a, b in pairwise(grid.slices))
    assert all(s.stop > s.start for s in grid)


HALVES = np.arange(0, 20, 0.5)
RESTART = Beats(HALVES[:24], np.concatenate([np.arange(10), np.arange(14)]) % 4 + 1, np.full(24, 0.6), 4, "test")
GAP = Beats(
    np.concatenate([HALVES[:12], HALVES[16:32]]),
    np.concatenate([np.arange(12), np.arange(16)]) % 4 + 1,
    *(np.full(28, 0.6), 4, "test"),
)


@pytest.mark.parametrize(
    ("beats", "kind", "frames", "boundaries", "lengths"),
    [
        pytest.param(
            *(beats_at(HALVES[:18] + 0.25, first=3), "auto", 9700),
            *([1250, 3250, 5250, 7250, 9250], [2.5, 4, 4, 4, 4, 0.9]),
            id="pickup and ending",
        ),
        pytest.param(beats_at(HALVES + 7), "auto", 9000, [1000, 3000, 5000, 7000], [2, 4, 4, 4, 4], id="intro"),
        pytest.param(
            *(beats_at(HALVES[1:], first=2), "beat", 10000),
            *([500, 2500, 4500, 6500, 8500], [1, 4, 4, 4, 4, 3]),
            id="beat grid counts from the first beat whatever the downbeats",
        ),
        pytest.param(
            RESTART, "auto", 12000, [2000, 4000, 5000, 7000, 9000, 11000], [4, 4, 2, 4, 4, 4, 2], id="restart in a bar"
        ),
        pytest.param(GAP, "auto", 16000, list(range(2000, 16000, 2000)), [4] * 8, id="gap filled at the usual tempo"),
        pytest.param(beats_at(HALVES, meter=3), "auto", 12000, list(range(1500, 12000, 1500)), [3] * 8, id="three"),
        pytest.param(
            beats_at(HALVES[:17] + 0.003), "auto", 8010, [2003, 4003, 6003], [4, 4, 4, 4], id="slivers go to neighbours"
        ),
        pytest.param(beats_at(HALVES), "none", 8000, [], [0], id="none is one slice"),
    ],
)
def test_bars(beats: Beats, kind: str, frames: int, boundaries: list[int], lengths: list[float]) -> None:
    grid = bar_grid(beats, frames, RATE, kind)
    covers(grid, frames)
    assert grid.kind == ("downbeat" if kind == "auto" else kind) and grid.reason == ""
    assert grid.boundaries == boundaries
    assert [bar.beats for bar in grid] == pytest.approx(lengths, abs=0.02)
    assert grid.bpm == pytest.approx(120 if boundaries else 0)


def test_bars_that_were_filled_in_have_no_confidence() -> None:
    assert [round(bar.confidence, 2) for bar in bar_grid(GAP, 16000, RATE)] == [0.6, 0.6, 0.6, 0, 0.6, 0.6, 0.6, 0.6]


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_cutting_beats_from_the_start_moves_no_bar_line(cut: int) -> None:
    times = np.arange(0.0, 20, 0.5)
    whole = bar_grid(beats_at(times), 20000, RATE)
    rest = bar_grid(beats_at(times[cut:] - 0.5 * cut, first=1 + cut), 20000 - 500 * cut, RATE)
    assert rest.boundaries == [join - 500 * cut for join in whole.boundaries]


@pytest.mark.parametrize(
    ("beats", "reason"),
    [
        (beats_at([]), "only 0 beats"),
        (beats_at(np.arange(0, 3, 0.5)), "only 6 beats"),
        (beats_at(np.arange(0, 20, 0.5), strength=0.05), "unsure"),
        (beats_at(np.cumsum([0.3, 0.9] * 12)), "irregular"),
    ],
)
def test_auto_gives_way_and_says_why(beats: Beats, reason: str) -> None:
    grid = bar_grid(beats, 20000, RATE, "auto")
    assert grid.kind == "none" and reason in grid.reason
    assert reason in credible(beats)


def test_a_grid_given_by_name_is_made_of_doubtful_beats() -> None:
    assert bar_grid(beats_at(np.arange(0, 20, 0.5), strength=0.05), 20000, RATE, "downbeat").kind == "downbeat"
    lone = bar_grid(beats_at([1.0]), 20000, RATE, "downbeat")
    assert lone.kind == "none" and "fewer than two" in lone.reason


def test_steady_and_slowing_beats_are_regular() -> None:
    assert irregularity(beats_at(np.arange(0, 20, 0.5))) == 0
    assert irregularity(beats_at(np.cumsum(np.linspace(0.4, 0.7, 60)))) == 0


def test_an_unknown_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="auto, downbeat, beat, none"):
        bar_grid(beats_at([]), 100, RATE, "waltz")


@settings(max_examples=150, deadline=None)
@given(
    gaps=st.lists(st.floats(0.28, 3.0), min_size=0, max_size=40),
    start=st.floats(0, 5),
    spare=st.floats(0.001, 8),
    first=st.integers(1, 4),
    meter=st.sampled_from([3, 4]),
    kind=st.sampled_from(GRIDS),
)
def test_any_beats_give_a_grid_that_covers_the_song(
    gaps: list[float], start: float, spare: float, first: int, meter: int, kind: str
) -> None:
    times = start + np.concatenate([[0], np.cumsum(gaps)])
    frames = max(round((times[-1] + spare) * RATE), 1)
    grid = bar_grid(beats_at(times[times < frames / RATE], min(first, meter), meter), frames, RATE, kind)
    covers(grid, frames)
    if grid.kind != "none":
        assert all(0 < s.beats < 2 * meter and 0 <= s.confidence <= 1 for s in grid)


@pytest.mark.parametrize(
    ("interval", "beats_each"),
    [(0.25, 8.0), (0.5, 4.0), (1.0, 2.0)],
    ids=["two short bars together", "a bar", "half a long bar"],
)
def test_the_network_sees_what_fits_into_a_segment(interval: float, beats_each: float) -> None:
    grid = bar_grid(beats_at(np.arange(0, 32, interval)), 32 * RATE, RATE, "downbeat")
    parts = [part for part, scale in pieces(grid, None, 2.4) if scale == 1]
    assert parts[0].start == 0 and parts[-1].stop == 32 * RATE
    assert all(a.stop == b.start for a, b in pairwise(parts))
    assert [part.beats for part in parts] == pytest.approx([beats_each] * 16)
