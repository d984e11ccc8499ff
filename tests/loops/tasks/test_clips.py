"""What clips of each role hold: as numbers, and as tones that sound. Rows 0 and 1 of the test library are songs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fewshot_sep.evidence import ABSENT, ALONE, AMONG
from fewshot_sep.loops.tasks.mixing import TaskMixer, TasksWithSources
from fewshot_sep.loops.tasks.options import PROMPTED, EvidenceOptions, MixingOptions
from fewshot_sep.loops.tasks.plan import Plan
from fewshot_sep.loops.tasks.pool import AudioPool
from tests.loops.tasks.tones import PRESENT, RATE, plans, rows_in

CLEAN: dict[str, Any] = {"resting": 0, "fewer_others": 0, "others_elsewhere": 0}
ALL = ALONE, AMONG, ABSENT


def evidence(*roles: int, **options: Any) -> MixingOptions:
    """Clips of these roles for every task, with nothing wrong in them unless said."""
    mixing = {name: options.pop(name) for name in list(options) if hasattr(PRESENT, name)}
    marks = EvidenceOptions(roles=((roles, 1.0),), **{**CLEAN, "marked_same_recording": 0, **options})
    return replace(PRESENT, **mixing, evidence=marks)


def pieces(plan: Plan, prompt: int) -> np.ndarray:
    return np.flatnonzero(plan.clips.clip // plan.clips.each == prompt)


def prompts(options: MixingOptions, pool: AudioPool, count: int = 20) -> list[tuple[Plan, int, int, np.ndarray]]:
    """Plan, task, role and pieces of every prompt."""
    return [
        (plan, int(task), int(role), pieces(plan, prompt))
        for plan in plans(pool, options, count)
        for prompt, (task, role) in enumerate(zip(plan.clips.task, plan.clips.role, strict=True))
    ]


# --- which there are


def test_prompts_are_sorted_by_role_then_task_and_none_comes_twice(pool: AudioPool) -> None:
    for plan in plans(pool, PROMPTED):
        pairs = [*zip(plan.clips.role.tolist(), plan.clips.task.tolist(), strict=True)]
        assert pairs == sorted(set(pairs))
        given = {(role, task) for task, rows in enumerate(plan.tasks) for role in rows.roles}
        assert set(pairs) == given


def test_roles_and_numbers_of_clips_are_as_frequent_as_said(pool: AudioPool) -> None:
    drawn = plans(pool, PROMPTED, 150)
    found = [rows.roles for plan in drawn for rows in plan.tasks if len(rows.sources) > 1]
    for roles, share in PROMPTED.evidence.roles:
        assert found.count(roles) / len(found) == pytest.approx(share, abs=0.05)
    each = [plan.clips.each for plan in drawn]
    assert each.count(1) / len(each) == pytest.approx(0.8, abs=0.1)
    assert set(each) == {1, 2, 3}
    for plan in drawn[:20]:
        assert set(plan.clips.clip) == set(range(len(plan.clips.task) * plan.clips.each))


def test_as_before_there_is_one_clip_alone_of_each_task(pool: AudioPool) -> None:
    for plan in plans(pool, MixingOptions()):
        assert plan.clips.each == 1
        assert plan.clips.task.tolist() == list(range(8)) and not plan.clips.role.any()
        assert (plan.clips.gain == 1).all()
        assert not plan.clips.begin.any() and (plan.clips.end == RATE).all()


def test_levels_of_clips_scatter(pool: AudioPool) -> None:
    gains_db = 20 * np.log10(np.concatenate([plan.clips.gain for plan in plans(pool, PROMPTED)]))
    assert -10 <= gains_db.min() < -8 < 8 < gains_db.max() <= 10


# --- what they hold


def sounds(batch: TasksWithSources, prompt: int) -> set[tuple[str, int]]:
    return rows_in(batch.tasks.evidence.clips[prompt, 0])


@pytest.mark.parametrize("coherent", [0.0, 1.0])
@pytest.mark.parametrize("absent", [0.0, 1.0])
def test_each_role_sounds_as_it_says(melodic: AudioPool, coherent: float, absent: float) -> None:
    """Among: the mixture's rows and the queried one. Absent: the mixture's rows without the target's."""
    mixer = TaskMixer(melodic, 8, RATE, 1, evidence(*ALL, coherent=coherent, absent=absent, sources=(2, 3)))
    for index in range(3):
        plan, batch = mixer.plan(index), mixer.draw_with_sources(index)
        for prompt, (task, role) in enumerate(zip(plan.clips.task, plan.clips.role, strict=True)):
            mixture, target = rows_in(batch.tasks.mixture[task]), rows_in(batch.tasks.target[task])
            found, instruments = sounds(batch, prompt), {name for name, _ in sounds(batch, prompt)}
            if role == ALONE:
                assert instruments == {batch.queried[task]} and len(found) == 1
            elif role == AMONG:
                assert found >= mixture and len(found - mixture) == (not target)
                assert batch.queried[task] in instruments
            else:
                assert found == mixture - target
                assert batch.queried[task] not in instruments


def test_other_passages_of_a_song_start_together_a_segment_away(pool: AudioPool) -> None:
    for plan, task, role, own in prompts(evidence(AMONG, ABSENT, coherent=1.0, shift_semitones=3.0), pool):
        starts, source = plan.pieces.start[own], plan.clips.source[own]
        if not plan.tasks[task].coherent:
            continue
        assert len(set(starts.tolist())) == 1
        first = plan.sources.start[source[0]]
        assert abs(starts[0] - first) >= min(RATE, max(first, RATE - first))
        assert plan.targeted[source[0]] == (role == AMONG), "an active place of it, not of the target"
        for field in ("row", "ratio", "gain", "equaliser", "room", "limit_hz"):
            assert (getattr(plan.pieces, field)[own] == getattr(plan.sources, field)[source]).all()


def test_all_but_one_are_without_the_first(melodic: AudioPool) -> None:
    for plan, task, role, own in prompts(evidence(*ALL, all_but_one=1.0, sources=(3, 3)), melodic):
        first, *target = plan.tasks[task].sources
        expected = {ALONE: set(target), AMONG: {first, *target}, ABSENT: {first}}[role]
        assert set(plan.pieces.row[own].tolist()) == expected


# --- what may be wrong with them


def test_a_wrong_border_lets_the_target_into_a_clip_without_it_for_a_moment(melodic: AudioPool) -> None:
    options = evidence(ABSENT, absent_border=1.0, sources=(2, 2))
    ends = set()
    for plan, task, _, own in prompts(options, melodic):
        strange = plan.targeted[plan.clips.source[own]]
        assert plan.pieces.row[own][strange].tolist() == plan.tasks[task].sources[:1]
        (begin,), (end,) = plan.clips.begin[own][strange], plan.clips.end[own][strange]
        assert (begin == 0) != (end == RATE) or begin == end
        assert end - begin <= 0.3 * RATE
        ends.add(bool(begin == 0))
    assert ends == {True, False}


def test_a_wrong_border_lets_the_others_into_a_clip_alone_of_the_same_recording_only(melodic: AudioPool) -> None:
    for same in (0.0, 1.0):
        for plan, task, _, own in prompts(evidence(ALONE, alone_border=1.0, same_recording=same), melodic):
            rows = plan.tasks[task]
            short = plan.clips.end[own] - plan.clips.begin[own] <= 0.3 * RATE
            assert plan.pieces.row[own][~short].tolist() == (rows.sources[:1] if same else [rows.query])
            assert plan.pieces.row[own][short].tolist() == (rows.sources[1:] if same else [])


def test_the_target_rests_in_one_half_of_some_clips_among_others(melodic: AudioPool) -> None:
    halves = []
    for plan, _, _, own in prompts(evidence(AMONG, resting=0.5), melodic):
        target = plan.targeted[plan.clips.source[own]]
        assert not plan.clips.begin[own][~target].any() and (plan.clips.end[own][~target] == RATE).all()
        halves += [*zip(plan.clips.begin[own][target].tolist(), plan.clips.end[own][target].tolist(), strict=True)]
    assert set(halves) == {(0, RATE), (0, RATE // 2), (RATE // 2, RATE)}
    assert halves.count((0, RATE)) / len(halves) == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("role", [AMONG, ABSENT])
def test_some_of_the_others_are_missing_from_some_clips_but_never_all(melodic: AudioPool, role: int) -> None:
    counts = [
        int((~plan.targeted[plan.clips.source[own]]).sum())
        for plan, _, _, own in prompts(evidence(role, fewer_others=0.5, sources=(4, 4), coherent=0), melodic)
    ]
    assert set(counts) == {1, 2, 3}
    assert counts.count(3) / len(counts) == pytest.approx(0.5, abs=0.12)


def test_the_others_may_be_their_like_of_other_makers(melodic: AudioPool) -> None:
    for plan, task, _, own in prompts(evidence(ABSENT, others_elsewhere=1.0), melodic):
        rows = [melodic.rows[row] for row in plan.tasks[task].sources[1:]]
        found = [melodic.rows[row] for row in plan.pieces.row[own]]
        assert [row.instrument for row in found] == [row.instrument for row in rows]
        assert all(one.source != other.source for one, other in zip(found, rows, strict=True))


def test_a_marked_song_gives_clips_alone_of_its_own_more_often(melodic: AudioPool) -> None:
    def own_share(*roles: int) -> float:
        options = evidence(*roles, same_recording=0.1, marked_same_recording=0.6)
        return float(np.mean([rows.query is None for plan in plans(melodic, options, 40) for rows in plan.tasks]))

    assert own_share(ALONE) == pytest.approx(0.1, abs=0.06)
    assert own_share(ALONE, ABSENT) == pytest.approx(0.6, abs=0.08)
