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
