"""Figures of one trained model on test digits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_sep.experiments.mnist.classifier import DigitClassifier
from fewshot_sep.experiments.mnist.digits import Digits
from fewshot_sep.experiments.mnist.models import DigitSystem
from fewshot_sep.experiments.mnist.tasks import Drawer, Overlays

TEST_SEED = 7_000_000  # training never draws with it


def psnr(output: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of each image in [0, 1]; `(batch, 1, 32, 32)` -> `(batch,)`."""
    return -10 * torch.log10((output - target).square().mean((1, 2, 3)).clamp(min=1e-10))


def nearest(output: Tensor, parts: Tensor) -> Tensor:
    """Which part of a mixture an output resembles most, by the cosine between them; `(batch,)`."""
    return F.cosine_similarity(output.flatten(1)[:, None], parts.flatten(2), dim=2).argmax(1)


class Answers(NamedTuple):
    """Tasks, and what a system makes of them.

    Shape: output `(batch, 1, 32, 32)`, as if the class were there; logits `(batch,)` that it is; empty `(batch,)`,
    whether what is given back is black.
    """

    tasks: Overlays
    output: Tensor
    logits: Tensor
    empty: Tensor


@torch.inference_mode()
def answers(system: DigitSystem, drawer: Drawer, tasks: int) -> Answers:
    """What the system makes of at least `tasks` tasks."""
    system.eval()
    batches = [drawer.draw(index) for index in range(-(-tasks // drawer.batch))]
    output, logits = (torch.cat(made) for made in zip(*(system.answer(*batch.told) for batch in batches), strict=True))
    drawn = Overlays(*(torch.cat(parts) for parts in zip(*batches, strict=True)))
    return Answers(drawn, output, logits, logits <= system.threshold)


def area(present: Tensor, absent: Tensor) -> float:
    """Under the ROC curve: how often the logit of one where the class is there is the higher one; one half is chance.

    >>> area(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 2.0]))
    0.75
    """
    apart = present[:, None] - absent
    return float((apart > 0).float().mean() + (apart == 0).float().mean() / 2)


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
        of the mixture is refused. `wrong_query`: outputs still read as the target's class when the query is another
        digit of the mixture (chance is 0.1); `wrong_query_followed`: outputs then read as the query's class.
        All of these are of outputs as if the class were there. Whether it is: `empty`, outputs that are black where it
        is not; `falsely_empty`, where it is; `area` under the ROC curve of these two.
    """
    right, refusing, misled, absent = (
        answers(system, Drawer(digits, 64, count, queried, seed=TEST_SEED, **how), tasks)
        for how in ({}, {"refused": 1.0}, {"wrong": True}, {"absent": 1.0})
    )
    given, wanted, read = right.tasks, right.tasks.labels[:, 0], classifier.read
    read_misled = read(misled.output)
    values = {
        "nearest": nearest(right.output, given.parts) == 0,
        "refused_nearest": nearest(refusing.output, given.parts) == 0,
        "wrong_query": read_misled == misled.tasks.labels[:, 0],
        "wrong_query_followed": read_misled == misled.tasks.labels[:, 1],
        "empty": absent.empty,
        "falsely_empty": right.empty,
        "area": torch.tensor(area(right.logits, absent.logits)),
    }
    copy = torch.minimum(given.queries, given.mixture)
    values["query_nearest"] = nearest(copy, given.parts) == 0
    images = {"": right.output, "refused_": refusing.output, "mixture_": given.mixture, "target_": given.target}
    for name, image in {**images, "query_": copy}.items():
        values[f"{name}agreement"], values[f"{name}psnr_db"] = read(image) == wanted, psnr(image, given.target)
    for label in queried:
        values[f"agreement_{label}"] = values["agreement"][wanted == label]
    return {name: float(v.median() if name.endswith("_db") else v.float().mean()) for name, v in values.items()}


def measure_all(
    system: DigitSystem, classifier: DigitClassifier, digits: Digits, held_out: Sequence[int], tasks: int
) -> dict[str, Any]:
    """`measure` for four digits of seen and of held-out classes; their agreement and area for 2 to 8 digits."""
    seen = [label for label in range(10) if label not in held_out]
    result: dict[str, Any] = {"by_count": {}}
    for name, queried in {"seen": seen, "unseen": held_out}.items():
        result[name] = measure(system, classifier, digits, tasks, queried=queried)
        result["by_count"][name] = {}
        for count in range(2, 9):
            right, absent = (
                answers(system, Drawer(digits, 64, count, queried, seed=TEST_SEED, absent=share), tasks // 4)
                for share in (0.0, 1.0)
            )
            agreement = classifier.read(right.output) == right.tasks.labels[:, 0]
            result["by_count"][name][count] = {
                "agreement": float(agreement.float().mean()),
                "area": area(right.logits, absent.logits),
            }
    return result
