from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fewshot_sep import audio
from fewshot_sep.errors import BadItems
from fewshot_sep.experiments.evaluation import items
from fewshot_sep.experiments.evaluation.conditions import Sounds, derive
from fewshot_sep.experiments.evaluation.settings import CONDITIONS


def test_only_what_is_asked_for(item_folder: Path) -> None:
    found = [replace(item, among=item.query, without=item.query) for item in items.read(item_folder)]
    sounds = Sounds(item_folder)
    assert derive(found, ["same", "cross", "absent"], sounds) == found
    assert {item.kind for item in derive(found, ["wrong"], sounds)} == {"wrong"}
    everything = derive(found, CONDITIONS, sounds)
    assert {item.kind for item in everything} == set(CONDITIONS)
    assert len({item.id for item in everything}) == len(everything)
    assert everything == derive(found, CONDITIONS, Sounds(item_folder))


def test_the_best_query_is_the_target_itself(item_folder: Path) -> None:
    sounds = Sounds(item_folder)
    found = derive(items.read(item_folder), ["itself"], sounds)
    assert len(found) == len(derive(items.read(item_folder), ["same"], sounds))
    for item in found:
        case = sounds.case(item)
        assert case.reference is not None
        assert np.array_equal(case.queries[0][0], case.reference)


def test_a_wrong_query_plays_another_instrument_of_the_mixture(item_folder: Path) -> None:
    for item in derive(items.read(item_folder), ["wrong"], Sounds(item_folder)):
        assert item.queried != item.target
        assert item.queried_reference in item.others
        assert f"{item.song}.{item.queried}.query" in item.query


def test_a_shuffled_query_is_of_another_song_and_instrument(item_folder: Path) -> None:
    found = derive(items.read(item_folder), ["shuffled"], Sounds(item_folder))
    assert len(found) == 5
    for item in found:
        assert not item.query.startswith((f"audio/{item.song}.", f"audio/a.{item.target}", f"audio/b.{item.target}"))


def test_clips_of_other_roles_come_with_the_query(item_folder: Path) -> None:
    found = [
        replace(item, among=f"{item.id}.among", without=f"{item.id}.without") if item.kind == "same" else item
        for item in items.read(item_folder)
    ]
    for item in derive(found, ["wrong", "shuffled"], Sounds(item_folder)):
        song = item.query.removeprefix("audio/").partition(".")[0]
        shown = f"{song}.{item.queried}.same"
        assert (item.among, item.without) == (f"{shown}.among", f"{shown}.without")


def test_careless_marks_hold_what_does_not_belong_there(item_folder: Path) -> None:
    sounds = Sounds(item_folder)
    plain = next(item for item in items.read(item_folder) if item.kind == "same")
    assert not list(derive([plain], ["borders"], sounds))
    (item,) = derive([replace(plain, among=plain.mix, without=plain.others[0])], ["borders"], sounds)
    careless, right = sounds.case(item), sounds.case(replace(item, kind="same"))
    for wrong, own, foreign, seconds in (
        (careless.queries, right.queries, right.among, 0.3),
        (careless.absent, right.absent, right.among, 0.3),
        (careless.among, right.among, right.absent, right.among[0][0].shape[1] / right.among[0][1] / 2),
    ):
        border = round(seconds * right.sample_rate)
        np.testing.assert_array_equal(wrong[0][0][:, border:], own[0][0][:, border:])
        for channel in wrong[0][0]:
            np.testing.assert_allclose(channel[:border], foreign[0][0].mean(0)[:border], atol=1e-6)


def test_clips_are_distinct_passages_of_the_query_and_more_contain_fewer(item_folder: Path) -> None:
    found = items.read(item_folder)
    sounds = Sounds(item_folder)
    forms = {(item.clips, item.seconds) for item in derive(found, ["clips"], sounds)}
    assert forms == {(1, 1.0), (3, 1.0), (1, 3.0)}  # of 3.5 s
    for item in derive(found, ["clips"], sounds):
        query, rate = sounds.read(item.query)
        starts = []
        for clip, its_rate in sounds.case(item).queries:
            assert its_rate == rate and clip.shape[1] == item.seconds * rate
            (start,) = (
                s for s in range(0, query.shape[1], 1000) if np.array_equal(query[:, s : s + clip.shape[1]], clip)
            )
            starts.append(start)
        assert np.diff(sorted(starts)).min(initial=item.seconds * rate) >= item.seconds * rate
    one, three = (
        sounds.case(next(i for i in derive(found, ["clips"], sounds) if (i.clips, i.seconds) == (count, 1.0))).queries
        for count in (1, 3)
    )
    assert np.array_equal(one[0][0], three[0][0])


def test_silent_passages_are_no_clips(item_folder: Path) -> None:
    found = items.read(item_folder)
    query, rate = audio.read(item_folder / found[0].query)
    query[:, : 2 * rate] = 0
    audio.write(item_folder / found[0].query, query, rate)
    kept = [i for i in derive(found[:1], ["clips"], Sounds(item_folder)) if i.seconds == 1]
    assert [item.clips for item in kept] == [1]


def test_fewer_sources_are_the_sum_of_the_stems_that_stay(item_folder: Path) -> None:
    sounds = Sounds(item_folder)
    found = derive(items.read(item_folder), ["sources"], sounds)
    assert [item.song for item in found] == ["a"] * 3  # b has no more than two
    for item in found:
        case = sounds.case(item)
        assert item.sources == 2 and case.reference is not None
        assert np.allclose(case.mixture, case.reference + case.others[0], atol=1e-6)
        assert sounds.case(next(i for i in items.read(item_folder) if item.id.startswith(i.id))).mixture.any()


def test_a_mixture_that_is_not_the_sum_of_its_stems_has_no_fewer_sources(item_folder: Path) -> None:
    mixture, rate = audio.read(item_folder / "audio/a.mix.wav")
    audio.write(item_folder / "audio/a.mix.wav", 0.5 * mixture, rate)
    assert derive(items.read(item_folder), ["sources"], Sounds(item_folder)) == []


def test_stems_that_do_not_fit_the_mixture_are_named(item_folder: Path) -> None:
    audio.write(item_folder / "audio/a.flute.wav", np.zeros((1, 5), np.float32), 8000)
    with pytest.raises(BadItems, match=r"a\.bass\.same"):
        Sounds(item_folder).case(items.read(item_folder)[0])
