"""Bar grids: they cover the song, begin at downbeats, and give way where the beats are not to be trusted."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_sep.beats import Beats
from fewshot_sep.songs.grid import GRIDS, BarGrid, bar_grid, credible, irregularity

RATE = 1000


def beats_at(times: np.ndarray | list[float], first: int = 1, meter: int = 4, strength: float = 0.6) -> Beats:
    times = np.asarray(times, dtype=np.float64)
    positions = (np.arange(len(times)) + first - 1) % meter + 1
    return Beats(times, positions, np.full(len(times), strength), meter, "test")


def covers(grid: BarGrid, frames: int) -> None:
    assert grid.slices[0].start == 0 and grid.slices[-1].stop == frames
    assert all(a.stop == b.start for a, b in pairwise(grid.slices))
    assert all(s.stop > s.start for s in grid)


def test_bars_begin_at_downbeats_with_pickup_and_ending() -> None:
    grid = bar_grid(beats_at(np.arange(0.25, 9.1, 0.5), first=3), 9700, RATE)
    covers(grid, 9700)
    assert grid.kind == "downbeat" and grid.reason == ""
    assert grid.boundaries == [1250, 3250, 5250, 7250, 9250]
    assert [round(s.beats, 2) for s in grid] == [2.5, 4, 4, 4, 4, 0.9]
    assert grid.bpm == pytest.approx(120)


def test_an_intro_without_beats_is_cut_at_the_tempo_that_follows() -> None:
    grid = bar_grid(beats_at(np.arange(7.0, 21, 0.5)), 21000, RATE)
    covers(grid, 21000)
    assert grid.boundaries[:4] == [1000, 3000, 5000, 7000]
    assert grid.slices[0].beats == pytest.approx(2)
    assert grid.slices[1].confidence == 0 and grid.slices[4].confidence == pytest.approx(0.6)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_cutting_beats_from_the_start_moves_no_bar_line(cut: int) -> None:
    times = np.arange(0.0, 20, 0.5)
    whole = bar_grid(beats_at(times), 20000, RATE)
    rest = bar_grid(beats_at(times[cut:] - 0.5 * cut, first=1 + cut), 20000 - 500 * cut, RATE)
    assert rest.boundaries == [join - 500 * cut for join in whole.boundaries]


def test_beat_grid_counts_from_the_first_beat_whatever_the_downbeats() -> None:
    grid = bar_grid(beats_at(np.arange(0.5, 10, 0.5), first=2), 10000, RATE, "beat")
    covers(grid, 10000)
    assert grid.kind == "beat"
    assert grid.boundaries == [500, 2500, 4500, 6500, 8500]


def test_a_restart_within_a_bar_gives_a_half_bar() -> None:
    times = np.arange(0.0, 12, 0.5)
    positions = np.concatenate([np.arange(10) % 4 + 1, np.arange(14) % 4 + 1])
    grid = bar_grid(Beats(times, positions, np.full(24, 0.6), 4, "test"), 12000, RATE)
    assert grid.boundaries == [2000, 4000, 5000, 7000, 9000, 11000]
    assert grid.slices[2].beats == pytest.approx(2)


def test_a_gap_is_filled_at_the_usual_tempo() -> None:
    times = np.concatenate([np.arange(0, 6, 0.5), np.arange(8, 16, 0.5)])
    positions = np.concatenate([np.arange(12) % 4 + 1, np.arange(16) % 4 + 1])
    grid = bar_grid(Beats(times, positions, np.full(28, 0.6), 4, "test"), 16000, RATE)
    assert grid.boundaries == [2000, 4000, 6000, 8000, 10000, 12000, 14000]
    assert [round(s.confidence, 2) for s in grid][2:5] == [0.6, 0, 0.6]


def test_three_to_the_bar() -> None:
    grid = bar_grid(beats_at(np.arange(0, 12, 0.5), meter=3), 12000, RATE)
    assert grid.boundaries == list(range(1500, 12000, 1500))
    assert {round(s.beats, 6) for s in grid} == {3}


def test_slivers_at_the_ends_go_to_their_neighbours() -> None:
    grid = bar_grid(beats_at(np.arange(0.003, 8.1, 0.5)), 8010, RATE)
    covers(grid, 8010)
    assert grid.boundaries == [2003, 4003, 6003]


def test_none_is_one_slice() -> None:
    grid = bar_grid(beats_at(np.arange(0, 8, 0.5)), 8000, RATE, "none")
    assert grid.kind == "none" and grid.boundaries == [] and grid.bpm == 0
    covers(grid, 8000)


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


def test_a_grid_asked_for_by_name_is_made_of_doubtful_beats() -> None:
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
