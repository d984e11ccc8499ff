"""What is drawn, as numbers; that it is what sounds is proved in test_mixing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fewshot_sep.loops.tasks import plan as module
from fewshot_sep.loops.tasks.options import MixingOptions
from fewshot_sep.loops.tasks.plan import Planner, TaskRows
from fewshot_sep.loops.tasks.pool import AudioPool
from tests.loops.tasks.tones import FAMILIES, PRESENT, RATE, plans


def drawn(pool: AudioPool, options: MixingOptions, count: int = 20) -> list[TaskRows]:
    return [task for plan in plans(pool, options, count) for task in plan.tasks]


def instruments(pool: AudioPool, rows: list[int]) -> list[str]:
    return [pool.rows[row].instrument for row in rows]


def is_whole_kit_beside_part(names: list[str]) -> bool:
    return "drums" in names and bool({"snare", "kick"} & set(names))


def test_the_same_seed_draws_the_same_for_ever(pool: AudioPool) -> None:
    """So that a training that is resumed with later code goes on with its own tasks."""
    plan = Planner(pool, 2, RATE, 2, MixingOptions(), seed=3).plan(5)
    read = [
        (row, start, round(ratio, 6))
        for sounds in (plan.sources, plan.pieces)
        for row, start, ratio in zip(sounds.row.tolist(), sounds.start.tolist(), sounds.ratio.tolist(), strict=True)
    ]
    assert read == [
        *((1, 1812, 1.0), (13, 8000, 1.0), (23, 3252, 1.164743), (3, 8000, 0.969499)),
        *((1, 8000, 1.0), (21, 8000, 1.0)),
    ]


def test_sources_are_different_instruments_the_target_among_them(melodic: AudioPool) -> None:
    tasks = drawn(melodic, replace(PRESENT, sources=(2, 4)))
    assert all(len(set(instruments(melodic, task.sources))) == len(task.sources) for task in tasks)
    assert all(task.target == range(1) for task in tasks)
    assert {len(task.sources) for task in tasks} == {2, 3, 4}
    assert {melodic.rows[task.sources[0]].instrument for task in tasks} == set(melodic.instruments)


def test_the_absent_do_not_sound(melodic: AudioPool) -> None:
    for task in drawn(melodic, replace(PRESENT, absent=1.0, sources=(2, 3))):
        assert not task.target
        assert len(task.sources) >= 2
        assert melodic.rows[task.queried].instrument not in instruments(melodic, task.sources)


def test_a_quarter_of_the_absent_and_chance_are_of_the_targets_family(pool: AudioPool) -> None:
    tasks = drawn(pool, replace(PRESENT, absent=1.0, sources=(2, 2), coherent=0, same_family_interferer=0), 30)
    family = [row.family for row in pool.rows]
    assert 0.4 < np.mean([family[task.queried] in {family[row] for row in task.sources} for task in tasks]) < 0.9


@pytest.mark.parametrize(("cross", "same_maker"), [(0.0, 1.0), (1.0, 0.0)])
def test_queries_are_other_rows_of_the_instrument_by_the_same_or_another_maker(
    pool: AudioPool, cross: float, same_maker: float
) -> None:
    tasks = drawn(pool, replace(PRESENT, cross=cross, same_family_query=0))
    pairs = [(pool.rows[task.sources[0]], pool.rows[task.query]) for task in tasks if task.query is not None]
    assert all(target.instrument == query.instrument and target.path != query.path for target, query in pairs)
    assert np.mean([target.source == query.source for target, query in pairs]) == same_maker


def test_another_of_the_family_queries_only_where_no_other_of_it_plays(
    melodic: AudioPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RELATED", {"keys"})
    keys, lonely = {"piano", "organ"}, []
    for task in drawn(melodic, replace(PRESENT, same_family_query=1.0)):
        assert task.query is not None
        (target, *others), queried = instruments(melodic, task.sources), melodic.rows[task.query].instrument
        alone = target in keys and not keys & set(others)
        assert queried in (keys - {target} if alone else {target})
        lonely.append(alone)
    assert True in lonely and False in lonely


def test_shares_of_absent_of_same_recording_and_of_all_but_one(melodic: AudioPool) -> None:
    tasks = drawn(melodic, replace(PRESENT, absent=0.5, same_recording=0.4, all_but_one=0.2, sources=(3, 3)), 40)
    present = [task for task in tasks if task.target]
    assert 0.4 < len(present) / len(tasks) < 0.6
    assert 0.1 < np.mean([task.target == range(1, 3) and task.query is None for task in present]) < 0.3
    assert 0.3 < np.mean([task.target == range(1) and task.query is None for task in present]) < 0.5
    assert all(task.query is not None for task in tasks if not task.target), "the absent are not among them"


@pytest.mark.parametrize("kind", ["all_but_one", "same_recording"])
def test_another_passage_is_of_all_the_targets_in_their_state(melodic: AudioPool, kind: str) -> None:
    options = replace(PRESENT, **{kind: 1.0}, equalise=0.5, room=0.5, shift_semitones=3, band_limit=1)
    for plan in plans(melodic, options, 3):
        for task, rows in enumerate(plan.tasks):
            sources = np.flatnonzero((plan.task == task) & np.isin(plan.place, rows.target))
            clips = np.flatnonzero(plan.clips.task[plan.clips.clip] == task)
            assert plan.pieces.row[clips].tolist() == (rows.sources[1:] if kind == "all_but_one" else rows.sources[:1])
            for field in ("ratio", "gain", "equaliser", "room"):
                assert (getattr(plan.pieces, field)[clips] == getattr(plan.sources, field)[sources]).all()
        assert (plan.pieces.limit_hz == plan.sources.limit_hz[plan.clips.source]).all()


@pytest.mark.parametrize("samples", [RATE // 2, RATE * 4 // 3])
def test_another_passage_is_a_segment_away_or_as_far_as_it_can(pool: AudioPool, samples: int) -> None:
    for plan in plans(pool, replace(PRESENT, same_recording=1.0), 5, samples):
        starts = plan.sources.start[plan.place == 0]
        farthest = np.maximum(starts, 2 * RATE - samples - starts)
        assert (np.abs(plan.pieces.start - starts) >= np.minimum(samples, farthest)).all()


def test_of_rows_that_hold_one_passage_another_is_drawn(pool: AudioPool) -> None:
    """Else the clip is the mixture's own sound, and the mixture less the clip is the answer."""
    for plan in plans(pool, replace(PRESENT, same_recording=0.5, all_but_one=0.5), 5, RATE * 3 // 2):
        sources = plan.sources.at(plan.clips.source)
        assert (plan.pieces.row != sources.row).all()
        names = np.array([row.instrument for row in pool.rows])
        assert (names[plan.pieces.row] == names[sources.row]).all()
        assert (plan.pieces.equaliser == sources.equaliser).all()


@pytest.mark.parametrize("coherent", [0.0, 1.0], ids=["random rows", "rows of one song"])
def test_a_part_of_a_kit_never_sounds_beside_the_whole(pool: AudioPool, coherent: float) -> None:
    mixtures = [instruments(pool, task.sources) for task in drawn(pool, replace(PRESENT, coherent=coherent), 40)]
    assert {"drums", "snare", "kick"} <= {name for names in mixtures for name in names}
    assert min(map(len, mixtures)) > 1
    assert not any(map(is_whole_kit_beside_part, mixtures))
    for task in drawn(pool, replace(PRESENT, absent=1.0, coherent=coherent)):
        assert not is_whole_kit_beside_part(instruments(pool, [*task.sources, task.queried])), "nor is it absent there"


def test_a_small_library_of_drums_only_is_no_endless_loop(pool: AudioPool) -> None:
    drums = pool.only(lambda row: row.family == "drums")
    tasks = drawn(drums, replace(PRESENT, coherent=0), 10)
    assert not any(is_whole_kit_beside_part(instruments(drums, task.sources)) for task in tasks)


def test_interferers_of_the_same_family_are_as_frequent_as_said(melodic: AudioPool) -> None:
    def share(option: float) -> float:
        options = replace(PRESENT, coherent=0, sources=(2, 2), same_family_interferer=option)
        tasks = drawn(melodic, options)
        return float(np.mean([len({FAMILIES[name] for name in instruments(melodic, t.sources)}) == 1 for t in tasks]))

    assert share(0.0) == pytest.approx(1 / 3, abs=0.12)
    assert share(0.9) == pytest.approx(0.9 + 0.1 / 3, abs=0.06)


@pytest.mark.parametrize(("emphasis", "share"), [((), 1 / 7), ((("flute", 8.0),), 8 / 14), ((("winds", 8.0),), 8 / 21)])
def test_emphasis_draws_an_instrument_more_often(pool: AudioPool, emphasis: Any, share: float) -> None:
    tasks = drawn(pool, replace(PRESENT, coherent=0, emphasis=emphasis), 25)
    found = np.mean([pool.rows[task.sources[0]].instrument == "flute" for task in tasks])
    assert found == pytest.approx(share, abs=0.12 if emphasis else 0.08)


@pytest.mark.parametrize(("emphasis", "share"), [((), 1 / 2), ((("flute", 8.0),), 8 / 9)])
def test_emphasis_draws_songs_that_hold_it_more_often(pool: AudioPool, emphasis: Any, share: float) -> None:
    songs = pool.only(lambda row: not (row.song == "song-1" and row.instrument == "flute"))
    tasks = drawn(songs, replace(PRESENT, coherent=1.0, emphasis=emphasis), 25)
    found = np.mean([songs.rows[task.sources[0]].song == "song-0" for task in tasks])
    assert found == pytest.approx(share, abs=0.1)


@pytest.mark.parametrize("coherent", [True, False])
def test_coherent_mixtures_are_of_one_song_at_one_place_and_others_are_not(pool: AudioPool, coherent: bool) -> None:
    places, together = set(), []
    for plan in plans(pool, replace(PRESENT, coherent=float(coherent), shift_semitones=2.0), 8):
        for task, rows in enumerate(plan.tasks):
            own = plan.task == task
            found = {*zip(plan.sources.start[own], plan.sources.ratio[own], strict=True)}
            songs = {pool.rows[row].song for row in rows.sources}
            together.append(len(found) == len(songs) == 1 and rows.coherent and "" not in songs)
            places |= found
    assert np.mean(together) == coherent
    assert len(places) > 40


def test_shifts_stay_in_range(pool: AudioPool) -> None:
    ratios = np.concatenate([plan.sources.ratio for plan in plans(pool, replace(PRESENT, shift_semitones=2.0))])
    semitones = 12 * np.log2(ratios)
    assert np.abs(semitones).max() <= 2
    assert semitones.min() < -1 < 1 < semitones.max()
    assert 0.3 < np.mean(ratios == 1) < 0.7


def test_band_limits_are_of_some_tasks_and_the_querys_own(pool: AudioPool) -> None:
    drawn = plans(pool, replace(PRESENT, band_limit=0.3), 25)
    limits = np.array([(plan.sources.limit_hz[plan.place == 0], plan.pieces.limit_hz) for plan in drawn])
    finite = limits[np.isfinite(limits)]
    assert np.isfinite(limits).mean() == pytest.approx(0.3, abs=0.08)
    assert 3500 <= finite.min() < 5000 < 12_000 < finite.max() < 16_100
    assert not (limits[:, 0] == limits[:, 1])[np.isfinite(limits).all(1)].any()
