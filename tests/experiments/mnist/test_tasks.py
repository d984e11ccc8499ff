from __future__ import annotations

import numpy as np
import pytest
import torch

from fewshot_sep.experiments.mnist.digits import Digits
from fewshot_sep.experiments.mnist.tasks import Drawer


@pytest.fixture(scope="module")
def marked() -> Digits:
    """Ten images of each class; image n of class c has brightness 20 + c * 20 + n at a pixel block of its own."""
    images = np.zeros((100, 28, 28), np.uint8)
    labels = np.repeat(np.arange(10), 10)
    for index, label in enumerate(labels):
        images[index, 4:20, 2 * label : 2 * label + 2] = 20 + 20 * label + index % 10
    return Digits(images, labels)


def brightness(image: torch.Tensor) -> int:
    return round(float(image.max()) * 255)


def label_and_number(image: torch.Tensor) -> tuple[int, int]:
    return divmod(brightness(image) - 20, 20)


def test_a_task_is_the_maximum_of_digits_of_distinct_classes(marked: Digits) -> None:
    tasks = Drawer(marked, 32).draw(0)
    assert tasks.mixture.shape == tasks.target.shape == tasks.queries.shape == (32, 1, 32, 32)
    assert (tasks.mixture >= tasks.target - 1e-6).all()
    for row, labels in enumerate(tasks.labels.tolist()):
        assert len(set(labels)) == 4
        assert label_and_number(tasks.target[row])[0] == labels[0]
        assert brightness(tasks.mixture[row]) == pytest.approx(20 + 20 * max(labels), abs=10)


def test_the_query_is_another_image_of_the_targets_class(marked: Digits) -> None:
    tasks = Drawer(marked, 200).draw(1)
    for target, query in zip(tasks.target, tasks.queries, strict=True):
        (wanted, number), (queried, other) = label_and_number(target), label_and_number(query)
        assert wanted == queried
        assert number != other


def test_a_wrong_query_is_of_another_digit_in_the_same_mixture(marked: Digits) -> None:
    right, wrong = Drawer(marked, 100).draw(2), Drawer(marked, 100, wrong=True).draw(2)
    assert right.mixture[0].equal(wrong.mixture[0])
    for query, labels in zip(wrong.queries, wrong.labels.tolist(), strict=True):
        assert label_and_number(query)[0] == labels[1]


def test_classes_that_are_not_present_never_appear(marked: Digits) -> None:
    seen = [0, 1, 2, 4, 5]
    labels = Drawer(marked, 300, 3, seen, seen).draw(0).labels
    assert set(labels.flatten().tolist()) == set(seen)
    queried = Drawer(marked, 300, 3, [3, 8]).draw(0).labels
    assert set(queried[:, 0].tolist()) == {3, 8}
    assert set(queried[:, 1:].flatten().tolist()) == set(range(10))


def test_a_batch_depends_on_seed_and_number_alone(marked: Digits) -> None:
    first = Drawer(marked, 8, seed=3)
    stream = first.stream(5)
    for a, b in zip(next(stream), Drawer(marked, 8, seed=3).draw(5), strict=True):
        assert a.equal(b)
    assert not next(stream).mixture.equal(first.draw(5).mixture)
    assert not Drawer(marked, 8, seed=4).draw(5).mixture.equal(first.draw(5).mixture)


def test_too_many_digits_are_refused(marked: Digits) -> None:
    with pytest.raises(ValueError, match="cannot be drawn"):
        Drawer(marked, count=4, queried=[1, 2], present=[1, 2, 3])


def test_where_the_querys_class_is_absent_the_target_is_black(marked: Digits) -> None:
    tasks = Drawer(marked, 300, absent=0.5).draw(0)
    black = ~tasks.target.flatten(1).any(1)
    assert 100 < black.sum() < 200
    for row, labels in enumerate(tasks.labels.tolist()):
        assert int(tasks.parts[row].flatten(1).any(1).sum()) == 4, "as many lie over each other either way"
        assert label_and_number(tasks.queries[row])[0] == labels[0]
        there = {label_and_number(part)[0] for part in tasks.parts[row] if part.any()}
        assert there == set(labels[1:] if black[row] else labels[:-1])


def test_what_is_refused_is_another_writing_of_a_digit_that_is_there(marked: Digits) -> None:
    tasks = Drawer(marked, 300, refused=0.5, absent=0.3).draw(0)
    given = tasks.refused.flatten(1).any(1)
    assert 100 < given.sum() < 200
    for row in given.nonzero()[:, 0].tolist():
        (label, number), (own, own_number) = label_and_number(tasks.refused[row]), label_and_number(tasks.parts[row, 1])
        assert label == own == tasks.labels[row, 1]
        assert number != own_number
    evidence = tasks.evidence
    assert evidence.alone.equal(tasks.queries)
    assert evidence.task[300:].equal(given.nonzero()[:, 0])
    assert evidence.clips[300:].equal(tasks.refused[given])


def test_warped_tasks_have_the_same_classes_in_another_hand(marked: Digits) -> None:
    plain, warped = Drawer(marked, 32).draw(0), Drawer(marked, 32, warped=True).draw(0)
    assert plain.labels.equal(warped.labels)
    assert not plain.target.equal(warped.target)
    assert warped.mixture.min() >= 0 and warped.mixture.max() <= 1
    assert Drawer(marked, 32, warped=True).draw(0).parts.equal(warped.parts)


def test_mixtures_of_fewer_glyphs_keep_the_target_and_another(marked: Digits) -> None:
    tasks = Drawer(marked, 300, fewer=True).draw(0)
    there = tasks.parts.flatten(2).any(2)
    assert there[:, :2].all()
    assert set(there.sum(1).tolist()) == {2, 3, 4}


def test_the_truth_has_the_parts_and_their_labels(marked: Digits) -> None:
    tasks = Drawer(marked, 20).draw(0)
    assert tasks.truth.shape == (20, 8, 32, 32)
    assert tasks.truth[:, :1].equal(tasks.target)
    assert (tasks.truth[:, 4:].flatten(2) == tasks.labels[..., None]).all()
