"""Averages the weights of two trainings of which one started from the other: often better than either.

Wortsman et al. 2022, "Model soups: averaging weights of multiple fine-tuned models improves accuracy without increasing
inference time".
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from fewshot_sep import cli, weights
from fewshot_sep.systems import build

OF_THE_FILE = ("preset", "parameters", "sha256", "torch", "evaluation")
"""What a card says of its own file."""


def average_weights(
    before: Annotated[Path, typer.Argument(help="Weights that a training started from.")],
    after: Annotated[Path, typer.Argument(help="Weights that it ended with.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Weights to write, a card beside them.", rich_help_panel="output")
    ],
    share: Annotated[float, typer.Option(min=0, max=1, help="Of the weights after.")] = 0.5,
) -> None:
    """Average the weights before and after a training.

    Example:
    python -m fewshot_sep.experiments.flagship.average_weights before.safetensors after.safetensors -o a.safetensors
    """
    card = weights.card(after)
    old, new = build(card["preset"]), weights.load(after)
    # The network of the weights before may have fewer inputs; what it has not is taken as it is.
    missing, tensors = weights.load_what_fits(old, before), old.state_dict()
    with torch.no_grad():
        for name, tensor in new.state_dict().items():
            if name not in missing and tensor.is_floating_point():
                tensor.copy_((1 - share) * tensors[name] + share * tensor)
    facts: dict[str, Any] = {name: value for name, value in card.items() if name not in OF_THE_FILE}
    sources = {"before": weights.sha256(before), "after": weights.sha256(after)}
    weights.save(new, output, {**facts, "average": {"share of this training's weights": share, **sources}})
    typer.echo(output)


if __name__ == "__main__":
    cli.run(average_weights)
