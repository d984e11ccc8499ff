"""Figures of one trained model on test digits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_sep.experiments.mnist.classifier import DigitClassifier
from fewshot_sep.experiments.mnist.digits import Digits
from fewshot_sep.experiments.mnist.models import DigitSystem
from fewshot_sep.experiments.mnist.tasks import Drawer, Overlays

TEST_SEED = 7_000_000  # training never draws with it
EMPTY = 0.05  # of the mixture's ink: an output with less counts as empty


def psnr(output: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of each image in [0, 1]; `(batch, 1, 32, 32)` -> `(batch,)`."""
    return -10 * torch.log10((output - target).square().mean((1, 2, 3)).clamp(min=1e-10))


def ink(images: Tensor) -> Tensor:
    """Energy of each image, `(batch, 1, 32, 32)` -> `(batch,)`."""
    return images.square().sum((1, 2, 3))


def nearest(output: Tensor, parts: Tensor) -> Tensor:
    """Which part of a mixture an output resembles most, by the cosine between them; `(batch,)`."""
    return F.cosine_similarity(output.flatten(1)[:, None], parts.flatten(2), dim=2).argmax(1)


@torch.inference_mode()
def outputs(system: DigitSystem, drawer: Drawer, tasks: int) -> tuple[Overlays, Tensor]:
    """At least `tasks` tasks, and what the system makes of them."""
    system.eval()
    batches = [drawer.draw(index) for index in range(-(-tasks // drawer.batch))]
    made = torch.cat([system(*batch.told) for batch in batches])
    return Overlays(*(torch.cat(parts) for parts in zip(*batches, strict=True))), made


def measure(
    system: DigitSystem,
    classifier: DigitClassifier,
    digits: Digits,
    tasks: int,
    count: int = 4,
    queried: Sequence[int] = range(10),
) -> dict[str, float]:
    """Shares and medians over `tasks` overlays of `count` digits, the query being of one of the classes `queried`.

    Returns:
        `psnr_db` (median) and `agreement`, outputs that the classifier reads as the query's class; the same for the
        mixture itself (`mixture_...`), for the query where the mixture has ink (`query_...`), and for the true target,
        whose agreement is the most that can be had; `agreement_3`: that of a class. `nearest`: outputs that
        resemble the target more than any other digit of the mixture (chance is 1 / count). `refused_...`: another digit
        of the mixture is refused.
        `wrong_query`: outputs still read as the target's class when the query is another digit of the mixture (chance
        is 0.1); `wrong_query_followed`: outputs then read as the query's class.
        Where the query's class is not in the mixture: `ink_left`, the mean share of the mixture's energy that the
        output has, and `empty`, outputs with less than `EMPTY` of it; `ink_wanted` is the share where it is there.
    """
    (right, output), (_, refusing), (misled, of_misled), (absent, of_absent) = (
        outputs(system, Drawer(digits, 64, count, queried, seed=TEST_SEED, **how), tasks)  # type: ignore[arg-type]
        for how in ({}, {"refused": 1.0}, {"wrong": True}, {"absent": 1.0})
    )
    wanted, read = right.labels[:, 0], classifier.read
    left = ink(of_absent) / ink(absent.mixture)
    values = {
        "nearest": nearest(output, right.parts) == 0,
        "refused_nearest": nearest(refusing, right.parts) == 0,
        "wrong_query": read(of_misled) == misled.labels[:, 0],
        "wrong_query_followed": read(of_misled) == misled.labels[:, 1],
        "ink_wanted": ink(right.target) / ink(right.mixture),
        "ink_left": left,
        "empty": left < EMPTY,
    }
    images = {"": output, "refused_": refusing, "mixture_": right.mixture, "target_": right.target}
    for name, image in {**images, "query_": torch.minimum(right.queries, right.mixture)}.items():
        values[f"{name}agreement"], values[f"{name}psnr_db"] = read(image) == wanted, psnr(image, right.target)
    for label in queried:
        values[f"agreement_{label}"] = (read(output) == wanted)[wanted == label]
    return {name: float(v.median() if name.endswith("_db") else v.float().mean()) for name, v in values.items()}


def measure_all(
    system: DigitSystem, classifier: DigitClassifier, digits: Digits, held_out: Sequence[int], tasks: int
) -> dict[str, Any]:
    """`measure` for four digits of seen and of held-out classes, and their agreement for 2 to 8."""
    seen = [label for label in range(10) if label not in held_out]
    result: dict[str, Any] = {"by_count": {}}
    for name, queried in {"seen": seen, "unseen": held_out}.items():
        result[name] = measure(system, classifier, digits, tasks, queried=queried)
        result["by_count"][name] = {}
        for count in range(2, 9):
            right, output = outputs(system, Drawer(digits, 64, count, queried, seed=TEST_SEED), tasks // 4)
            agreement = classifier.read(output) == right.labels[:, 0]
            result["by_count"][name][count] = float(agreement.float().mean())
    return result
