"""Averages weights of two trainings of which one went on from the other: often better than either.

`python -m fewshot_sep.experiments.flagship.average_weights BEFORE AFTER --share 0.25 -o WEIGHTS`; after Wortsman et al. 2022, "Model soups:
averaging weights of multiple fine-tuned models improves accuracy without increasing inference time".
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from fewshot_sep import weights
from fewshot_sep.systems import System, build

OF_THE_FILE = ("preset", "parameters", "sha256", "torch", "evaluation")
"""What a card says of its own file."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="weights that a training began with")
    parser.add_argument("after", type=Path, help="weights that it ended with")
    parser.add_argument("--share", type=float, default=0.5, help="of the latter")
    parser.add_argument("-o", "--output", type=Path, required=True, help="weights to write, a card beside them")
    arguments = parser.parse_args()
    mix(arguments.before, arguments.after, arguments.share, arguments.output)
    print(arguments.output)


def mix(before: Path, after: Path, share: float, output: Path) -> None:
    """Write the average, and with it the card of `after`; tensors that only `after` has are taken as they are.

    The preset of `before` may be one whose network has fewer inputs (see `weights.load_what_fits`).

    Raises:
        WeightsError: damaged weights, or of a preset with which `after` has nothing in common.
    """
    card = weights.card(after)
    old, new = build(card["preset"]), weights.load(after)
    missing = set(weights.load_what_fits(old, before))
    average(old, new, share, missing)
    facts: dict[str, Any] = {name: value for name, value in card.items() if name not in OF_THE_FILE}
    facts["average"] = {
        "share of this training's weights": share,
        "before": weights.sha256(before),
        "after": weights.sha256(after),
    }
    weights.save(new, output, facts)


def average(before: System, after: System, share: float, missing: set[str]) -> None:
    """Move `after` towards `before`, but for tensors named in `missing`."""
    old = before.state_dict()
    with torch.no_grad():
        for name, tensor in after.state_dict().items():
            if name not in missing and tensor.is_floating_point():
                tensor.copy_((1 - share) * old[name] + share * tensor)


if __name__ == "__main__":
    main()
