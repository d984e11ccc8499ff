"""Floating-point operations of a training step, and which share of a card's peak a training reached.

`python -m fewshot_sep.experiments.flagship.flops RUN` reads the log of a training (`fewshot-sep train LIBRARY -o RUN`): examples
per second and share of the time spent waiting for data. The operations of a step are counted once, on the CPU.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from fewshot_sep import presets
from fewshot_sep.errors import FewshotSepError
from fewshot_sep.presets import Preset
from fewshot_sep.systems import build

# Dense bfloat16 on the tensor cores, from NVIDIA's data sheets of the cards (which give twice as much, with sparsity,
# from Hopper on). The first name that is part of the card's own (`torch.cuda.get_device_name`) counts.
PEAK_TFLOPS = {
    "H200 NVL": 835.5,
    "H200": 989.5,
    "H100 NVL": 835.5,
    "H100 PCIe": 756.5,
    "H100": 989.5,
    "A100": 312.0,
    "L40S": 362.0,
}
BATCH = 2  # for counting: batch normalisation wants more than one


class Reached(NamedTuple):
    """What a training came to; medians over its log."""

    examples_per_s: float
    waiting_for_data: float
    tflops: float


def count(work: Callable[[], object]) -> int:
    """Operations of the matrix products, convolutions and recurrent layers in a call; a multiply-add is two.

    Additions, activations, normalisation and FFTs are not counted.

    >>> count(lambda: torch.ones(3, 5) @ torch.ones(5, 7)) == 2 * 3 * 5 * 7
    True
    """
    recurrent = {torch.ops.aten.mkldnn_rnn_layer: _recurrent}  # torch's counter does not know it
    with FlopCounterMode(display=False, custom_mapping=recurrent) as counter:
        work()
    return counter.get_total_flops()


def _recurrent(x: Any, from_input: Any, from_state: Any, *_: Any, **__: Any) -> int:
    """One direction of one layer; shapes `(time, batch, features)`, and of the weights."""
    return 2 * x[0] * x[1] * (from_input[0] * from_input[1] + from_state[0] * from_state[1])


def of_training(preset: Preset, clips: int = 1) -> float:
    """Operations of a training step, forward and backward, for each example.

    Args:
        clips: queries per example.
    """
    system = build(preset).train()
    mixture = torch.randn(BATCH, preset.channels, preset.segment)
    queries = torch.randn(BATCH, clips, preset.segment)
    return count(lambda: system.loss(mixture, queries, mixture / 2)[0].backward()) / BATCH


def peak_tflops(card: str) -> float | None:
    """Dense bfloat16 peak of a card in TFLOP/s; None where it is not in the table.

    >>> peak_tflops("NVIDIA H200"), peak_tflops("NVIDIA H100 PCIe"), peak_tflops("Quadro 1")
    (989.5, 756.5, None)
    """
    return next((peak for name, peak in PEAK_TFLOPS.items() if name in card), None)


def reached(run: Path, flops_per_example: float) -> Reached:
    """Speed of a training from the logs of all its sessions.

    Raises:
        FewshotSepError: no log in `run`, or one of under 50 steps.
    """
    logs = sorted(run.glob("log/*/metrics.csv"))
    rows = [row for log in logs for row in csv.DictReader(log.read_text().splitlines())]
    rows = [row for row in rows if row.get("speed/examples_per_s")]
    if not rows:
        raise FewshotSepError(f"{run}: no log of a training of 50 steps or more; give the folder of `train -o`")
    names = ("speed/examples_per_s", "speed/waiting_for_data")
    speed, waiting = (statistics.median(float(row[name]) for row in rows) for name in names)
    return Reached(speed, waiting, speed * flops_per_example / 1e12)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a training")
    parser.add_argument("--preset", default=presets.DEFAULT)
    parser.add_argument("--clips", type=int, default=1, help="queries per example in that training")
    parser.add_argument("--card", help="the card it ran on, if not this machine's: NVIDIA H200, say")
    arguments = parser.parse_args()
    try:
        flops = of_training(presets.get(arguments.preset), arguments.clips)
        found = reached(arguments.run, flops)
    except FewshotSepError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    print(f"{found.examples_per_s:.1f} examples/s, {100 * found.waiting_for_data:.1f} % of the time waiting for data")
    print(f"{flops / 1e9:.2f} GFLOP per example, {found.tflops:.3f} TFLOP/s reached")
    card = arguments.card or (torch.cuda.get_device_name() if torch.cuda.is_available() else "")
    peak = peak_tflops(card)
    print(f"{100 * found.tflops / peak:.2f} % of the peak of {card}" if peak else "no card whose peak is known")


if __name__ == "__main__":
    main()
