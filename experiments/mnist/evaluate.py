"""Figures of one trained model on test digits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fewshot_sep.experiments.mnist.classifier import Judge
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
    judge: Judge,
    digits: Digits,
    tasks: int,
    count: int = 4,
    asked: Sequence[int] = range(10),
) -> dict[str, float]:
    """Shares and medians over `tasks` overlays of `count` digits, one of the classes `asked` wanted.

    Returns:
        `psnr_db` and `mixture_psnr_db` (medians); `agreement`: outputs that the judge reads as the query's class;
        `mixture_agreement`: mixtures that it reads so; `target_agreement`: true targets that it reads so, the most that
        can be had; `wrong_query`: outputs still read as the target's class when another digit of the mixture is asked
        for (chance is 0.1); `wrong_query_followed`: outputs then read as the class that was asked for.
    """
    system.eval()
    batch = min(64, tasks)
    right = Drawer(digits, batch, count, asked, seed=TEST_SEED)
    wrong = Drawer(digits, batch, count, asked, seed=TEST_SEED, wrong=True)
    sums: dict[str, list[Tensor]] = {}
    for index in range(-(-tasks // batch)):
        task, other = right.draw(index), wrong.draw(index)
        output, misled = system(task.mixture, task.queries), system(other.mixture, other.queries)
        wanted = task.labels[:, 0]
        found = {
            "psnr_db": psnr(output, task.target),
            "mixture_psnr_db": psnr(task.mixture, task.target),
            "agreement": judge.read(output) == wanted,
            "mixture_agreement": judge.read(task.mixture) == wanted,
            "target_agreement": judge.read(task.target) == wanted,
            "wrong_query": judge.read(misled) == other.labels[:, 0],
            "wrong_query_followed": judge.read(misled) == other.labels[:, 1],
        }
        for name, values in found.items():
            sums.setdefault(name, []).append(values)
    whole = {name: torch.cat(values) for name, values in sums.items()}
    return {
        name: float(values.median() if name.endswith("_db") else values.float().mean())
        for name, values in whole.items()
    }


def measure_all(system: DigitSystem, judge: Judge, digits: Digits, unseen: Sequence[int], tasks: int) -> dict[str, Any]:
    """`measure` for four digits, for 2 to 8, and for the classes that training held out, if any."""
    seen = [label for label in range(10) if label not in unseen]
    result: dict[str, Any] = {"seen": measure(system, judge, digits, tasks, asked=seen)}
    result["by_count"] = {count: measure(system, judge, digits, tasks // 4, count, seen) for count in range(2, 9)}
    if unseen:
        result["unseen"] = measure(system, judge, digits, tasks, asked=unseen)
    return result
