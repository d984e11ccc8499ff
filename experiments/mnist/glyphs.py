"""Invented classes of glyphs, each with several writings: what a network sees hundreds of learns to follow an example.

Strokes are splines through random points, which every writing moves a little. The others are made of digits: mirrored
and turned, or two in one frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_sep.experiments.mnist.digits import Digits

WRITINGS = 12
FIRST = 10  # label of the first invented class
LOOKS_LIKE = 0.5  # probability of a held-out digit above which a class is left out
STROKES, POINTS, SAMPLES = 2, 4, 40  # most in a glyph, in a stroke, and along it
SIDE, BOX = 28, 20.0  # as in MNIST: an image, and the box that a glyph fills
GRID = (torch.arange(SIDE) - (SIDE - 1) / 2).float()

Reader = Callable[[Tensor], Tensor]
"""From images `(batch, 1, 28, 28)` in [0, 1] to the probabilities of the ten digits."""


def invent(digits: Digits, held_out: Sequence[int], classes: int, seed: int, read: Reader | None = None) -> Digits:
    """About `classes` classes of `WRITINGS` glyphs each, two thirds of strokes; labels from `FIRST` on.

    Nothing is made of a digit that is held out, and a class that `read` takes for one, turned or mirrored in any way,
    is left out.
    """
    random = torch.Generator().manual_seed(seed)
    known = digits.those(~np.isin(digits.labels, held_out))
    bank = torch.cat([strokes(2 * classes // 3, random), assembled(known, classes - 2 * classes // 3, random)])
    if read is not None and len(held_out):
        bank = bank[~looks_like(bank, held_out, read)]
    labels = FIRST + np.repeat(np.arange(len(bank)), WRITINGS)
    return Digits((255 * bank.flatten(0, 1)).byte().numpy(), labels)


def looks_like(bank: Tensor, held_out: Sequence[int], read: Reader) -> Tensor:
    """Which classes are read as a held-out digit, in one of the eight ways that a square can lie; `(classes,)`."""
    images = bank[:, :3].flatten(0, 1)[:, None]
    shares = [read(turn(images, way))[:, list(held_out)].view(len(bank), 3, -1).mean(1) for way in range(8)]
    return torch.stack(shares).amax((0, 2)) > LOOKS_LIKE


def turn(images: Tensor, way: int) -> Tensor:
    """Turned by quarters and, for `way` over 3, mirrored."""
    turned = torch.rot90(images, way % 4, (-2, -1))
    return turned.flip(-1) if way > 3 else turned


def strokes(classes: int, random: torch.Generator) -> Tensor:
    """One or two strokes, round or angular, open or closed, in several pens; `(classes, WRITINGS, 28, 28)`."""
    own = (classes, 1, STROKES)
    points = torch.rand(*own, POINTS, 2, generator=random) * 2 - 1
    closed = torch.rand(*own, 1, 1, generator=random) < 0.2
    points = torch.where(closed & (torch.arange(POINTS) == POINTS - 1)[:, None], points[..., :1, :], points)
    written = points + 0.1 * torch.randn(classes, WRITINGS, STROKES, POINTS, 2, generator=random)
    place = torch.linspace(0, POINTS - 1, SAMPLES)[:, None] - torch.arange(POINTS)
    angular = (1 - place.abs()).clamp(min=0)
    basis = torch.where(torch.rand(*own, 1, 1, generator=random) < 0.7, catmull_rom(place), angular)
    lines = basis @ written
    count = 1 + torch.multinomial(torch.tensor([0.6, 0.4]), classes, replacement=True, generator=random)
    unused = torch.arange(STROKES) >= count[:, None]
    lines = torch.where(unused[:, None, :, None, None], lines[:, :, :1], lines).flatten(2, 3).flatten(0, 1)
    low, high = lines.amin(1, keepdim=True), lines.amax(1, keepdim=True)
    lines = (lines - lines.mean(1, keepdim=True)) * (BOX / (high - low).amax(2, keepdim=True).clamp(min=0.5))
    radius = 0.9 + 1.1 * torch.rand(len(lines), 1, generator=random)
    pixels = torch.stack(torch.meshgrid(GRID, GRID, indexing="ij"), dim=-1).view(-1, 2)
    ink = [
        (some + 0.5 - torch.cdist(pixels.expand(len(part), -1, -1), part).amin(2)).clamp(0, 1)
        for part, some in zip(torch.split(lines, 256), torch.split(radius, 256), strict=True)
    ]
    return torch.cat(ink).view(classes, WRITINGS, SIDE, SIDE)


def catmull_rom(place: Tensor) -> Tensor:
    """Weight of a control point at a distance along the spline (the cubic convolution kernel, Keys 1981, a = -1/2)."""
    x = place.abs()
    return torch.where(x < 1, 1.5 * x**3 - 2.5 * x**2 + 1, torch.where(x < 2, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2, 0))


def assembled(digits: Digits, classes: int, random: torch.Generator) -> Tensor:
    """Digits turned or mirrored, and two of them in one frame, one over or beside the other; as `strokes`."""
    images = torch.from_numpy(digits.images.astype(np.float32) / 255)
    by_class = [torch.from_numpy(np.flatnonzero(digits.labels == label)) for label in np.unique(digits.labels)]

    def some(label: int, way: int) -> Tensor:
        rows = by_class[label]
        return turn(images[rows[torch.randint(len(rows), (WRITINGS,), generator=random)]], way)[:, None]

    bank = [some(label, way) for label in range(len(by_class)) for way in range(1, 8)][:classes]
    while len(bank) < classes:
        first, second = torch.randperm(len(by_class), generator=random)[:2].tolist()
        way, other, mirrored = torch.randint(8, (3,), generator=random).tolist()
        pair = torch.cat([some(first, way)[..., 4:24, 4:24], some(second, other)[..., 4:24, 4:24]], dim=2)
        fitted = F.interpolate(pair, (20, 14), mode="bilinear", antialias=True)
        bank.append(turn(F.pad(fitted, (7, 7, 4, 4)), mirrored % 2))
    return torch.stack(bank)[:, :, 0]


def warp(images: Tensor, random: torch.Generator) -> Tensor:
    """Each image in another hand, more or less: turned, sheared, stretched, moved, bent, the pen thicker or thinner.

    Shape: `(batch, 1, height, width)` -> the same.
    """
    count = len(images)
    strength = torch.rand(count, 1, 1, 1, generator=random)

    def normal(deviation: float, *shape: int) -> Tensor:
        drawn = torch.randn(count, *shape, generator=random)
        return deviation * strength.view(count, *[1] * len(shape)) * drawn

    theta = torch.cat([torch.eye(2) + normal(0.1, 2, 2), normal(0.05, 2, 1)], dim=2)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    bend = F.interpolate(normal(0.05, 2, 5, 5), images.shape[-2:], mode="bilinear", align_corners=True)
    moved = F.grid_sample(images, grid + bend.permute(0, 2, 3, 1), align_corners=False)
    thicker = torch.where(torch.rand(count, 1, 1, 1, generator=random) < 0.5, 1, -1)
    share = 0.6 * torch.rand(count, 1, 1, 1, generator=random) - 0.1
    return torch.lerp(moved, thicker * F.max_pool2d(thicker * moved, 3, 1, 1), strength * share.clamp(min=0))
