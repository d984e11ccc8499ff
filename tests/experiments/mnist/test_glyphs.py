from __future__ import annotations

import numpy as np
import torch

from fewshot_sep.experiments.mnist import digits, glyphs
from fewshot_sep.experiments.mnist.digits import Digits
from fewshot_sep.experiments.mnist.tasks import DIGITS, Drawer


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def uniform(labels: list[int]) -> Digits:
    """Three images of each class, whose lit row tells the class in every rotation and reflection."""
    images = np.zeros((3 * len(labels), 28, 28), np.uint8)
    for place, label in enumerate(np.repeat(labels, 3)):
        images[place, 4:24, 4:24] = 10 * (1 + label)
    return Digits(images, np.repeat(labels, 3))


def test_writings_of_a_class_differ_but_less_than_classes_do() -> None:
    drawn = glyphs.strokes(40, random())
    assert drawn.shape == (40, glyphs.WRITINGS, 28, 28)
    assert drawn.min() >= 0 and drawn.max() <= 1
    for images in (drawn, glyphs.warp(drawn.flatten(0, 1)[:, None], random()).view_as(drawn)):
        first, second = (torch.nn.functional.avg_pool2d(images[:, place], 4).flatten(1) for place in (0, 1))
        assert not (images[:, 0] == images[:, 1]).all((1, 2)).any()
        apart = torch.cdist(first, second)
        assert apart.diag().mean() < 0.85 * apart.mean()


def test_nothing_is_made_of_a_digit_that_is_held_out() -> None:
    known = uniform([0, 1, 2, 3, 4, 8])
    made = glyphs.assembled(Digits(*(part[~np.isin(known.labels, (3, 8))] for part in known)), 60, random())
    brightest = {round(float(value) * 255) for value in made.flatten(1).amax(1)}
    assert brightest <= {10, 20, 30, 50}
    invented = glyphs.invent(known, (3, 8), 90, seed=0)
    assert set(invented.labels) == set(range(glyphs.FIRST, glyphs.FIRST + 90))
    values = set(invented.images[-glyphs.WRITINGS * 30 :].max((1, 2)))
    assert values <= {10, 20, 30, 50}


def test_a_class_that_reads_as_a_held_out_digit_in_any_rotation_is_left_out() -> None:
    """The reader takes for a 3 whatever has its ink in the upper left corner alone."""

    def read(images: torch.Tensor) -> torch.Tensor:
        three = images[:, 0, :14, :14].sum((1, 2)) > 0.99 * images.sum((1, 2, 3))
        return torch.nn.functional.one_hot(torch.where(three, 3, 0), 10).float()

    bank = torch.zeros(3, glyphs.WRITINGS, 28, 28)
    bank[0, :, 2:10, 2:10] = bank[1, :, 16:24, 16:24] = bank[2, :, 10:20, 10:20] = 1
    assert glyphs.looks_like(bank, (3,), read).tolist() == [True, True, False]
    assert not glyphs.looks_like(bank, (8,), read).any()


def test_the_eight_ways_are_distinct() -> None:
    image = torch.rand(1, 28, 28)
    assert len({glyphs.turn(image, way).numpy().tobytes() for way in range(8)}) == 8


def test_the_same_seed_invents_the_same_classes() -> None:
    known = digits.load("train")
    few = Digits(*(part[:300] for part in known))
    first, second, other = (glyphs.invent(few, (3, 8), 12, seed) for seed in (0, 0, 1))
    assert (first.images == second.images).all() and not (first.images == other.images).all()


def test_digits_and_invented_classes_share_the_glyphs() -> None:
    few = Digits(*(part[:600] for part in digits.load("train")))
    invented = glyphs.invent(few, (3, 8), 200, seed=0)
    both = Digits(*(np.concatenate(parts) for parts in zip(few, invented, strict=True)))
    present = np.setdiff1d(both.labels, (3, 8)).tolist()
    drawn = Drawer(both, 400, 4, present, present).draw(0).labels
    assert not set(drawn.flatten().tolist()) & {3, 8}
    assert abs(float((drawn[:, 0] < glyphs.FIRST).float().mean()) - DIGITS) < 0.1
