"""Puts an evaluation's figures into a model card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fewshot_sep import cli, files, weights
from fewshot_sep.errors import BadItems

FIGURES = ("si_sdri", "si_sdr", "sdri")
SHARES = ("retrieved", "collapsed", "under -20 dB")


def card(
    path: Annotated[Path, typer.Argument(metavar="WEIGHTS", help="Weights with a card beside them.")],
    run: Annotated[Path, typer.Argument(help="Folder that `fewshot-sep evaluate` wrote.")],
) -> dict[str, Any]:
    """Put the figures of an evaluation of these weights into their model card, in place of earlier ones.

    Example:
    fewshot-sep evaluate ITEMS -o RUN --weights WEIGHTS
    python -m fewshot_sep.experiments.flagship.card WEIGHTS RUN
    """
    digest, content = weights.verify(path), weights.card(path)
    try:
        found = files.read_json(run / "metrics.json")
        methods = {label: entry for label, entry in found["methods"].items() if digest[:12] in entry["is"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadItems(
            f"{run / 'metrics.json'}: is no readable evaluation ({error}); run fewshot-sep evaluate"
        ) from error
    if not methods:
        raise BadItems(f"{run}: no method there had these weights; evaluate with --weights {files.shell_word(path)}")
    figures: dict[str, Any] = {"items": found["items"], "note": "dB, [median, mean]; silence scores an SI-SDR of -30"}
    for label, entry in methods.items():
        figures[label] = {kind: _figures(some) for kind, some in entry["kinds"].items()}
    files.write_json(path.with_suffix(".json"), {**content, "evaluation": figures})
    typer.echo(json.dumps(figures, indent=1))
    return figures


def _figures(found: dict[str, Any]) -> dict[str, Any]:
    """Of the items of one kind: medians and means without their intervals, shares as they are."""
    names = FIGURES if "si_sdri" in found else ("level",)
    pairs = {name: [round(found[name][value][0], 2) for value in ("median", "mean")] for name in names}
    return {"items": found["items"], **pairs, **{name: round(found[name], 2) for name in SHARES if name in found}}


if __name__ == "__main__":
    cli.run(card)
