"""Figures of one trained model on test digits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fewshot_sep.experiments.mnist.classifier import DigitClassifier
from fewshot_sep.experiments.mnist.digits import Digits
from fewshot_sep.experiments.mnist.models import DigitSystem
from fewshot_sep.experiments.mnist.tasks import Drawer

TEST_SEED = 7_000_000  # training never draws with it


def psnr(output: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of each image in [0, 1]; `(batch, 1, 32, 32)` -> `(batch,)`."""
    return -10 * torch.log10((output - target).square().mean((1, 2, 3)).clamp(min=1e-10))


@torch.inference_mode()
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
        `psnr_db` and `mixture_psnr_db` (medians); `agreement`: outputs that the classifier reads as the query's class;
        `mixture_agreement`: mixtures that it reads so; `target_agreement`: true targets that it reads so, the most that
        can be had; `wrong_query`: outputs still read as the target's class when the query is another digit of the
        mixture (chance is 0.1); `wrong_query_followed`: outputs then read as the query's class.
    """
    system.eval()
    batch = min(64, tasks)
    right = Drawer(digits, batch, count, queried, seed=TEST_SEED)
    wrong = Drawer(digits, batch, count, queried, seed=TEST_SEED, wrong=True)
    values: dict[str, list[Tensor]] = defaultdict(list)
    for index in range(-(-tasks // batch)):
        task, other = right.draw(index), wrong.draw(index)
        output, misled = system(task.mixture, task.queries), system(other.mixture, other.queries)
        wanted = task.labels[:, 0]
        for name, of_batch in {
            "psnr_db": psnr(output, task.target),
            "mixture_psnr_db": psnr(task.mixture, task.target),
            "agreement": classifier.read(output) == wanted,
            "mixture_agreement": classifier.read(task.mixture) == wanted,
            "target_agreement": classifier.read(task.target) == wanted,
            "wrong_query": classifier.read(misled) == other.labels[:, 0],
            "wrong_query_followed": classifier.read(misled) == other.labels[:, 1],
        }.items():
            values[name].append(of_batch)
    whole = {name: torch.cat(batches) for name, batches in values.items()}
    return {name: float(v.median() if name.endswith("_db") else v.float().mean()) for name, v in whole.items()}


def measure_all(
    system: DigitSystem, classifier: DigitClassifier, digits: Digits, unseen: Sequence[int], tasks: int
) -> dict[str, Any]:
    """`measure` for four digits, for 2 to 8, and for the classes that training held out, if any."""
    seen = [label for label in range(10) if label not in unseen]
    result: dict[str, Any] = {"seen": measure(system, classifier, digits, tasks, queried=seen)}
    result["by_count"] = {n: measure(system, classifier, digits, tasks // 4, n, seen) for n in range(2, 9)}
    if unseen:
        result["unseen"] = measure(system, classifier, digits, tasks, queried=unseen)
    return result
