"""Puts an evaluation's figures into a model card: `python -m fewshot_sep.experiments.flagship.card WEIGHTS RUN`.

RUN is a folder that `fewshot-sep evaluate ITEMS -o RUN --weights WEIGHTS` wrote.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from fewshot_sep import weights
from fewshot_sep.errors import BadItems

FIGURES = ("si_sdri", "si_sdr", "sdri")
SHARES = ("retrieved", "collapsed", "under -20 dB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, metavar="WEIGHTS")
    parser.add_argument("run", type=Path, metavar="RUN")
    given = parser.parse_args()
    print(json.dumps(add(given.weights, given.run), indent=1))


def add(path: Path, run: Path) -> dict[str, Any]:
    """Write what the run found with these weights into their card, in place of earlier figures, and return it.

    Raises:
        BadItems: no readable run, or none with these weights.
        WeightsError: missing or damaged weights, or no card.
    """
    digest, card = weights.verify(path), weights.card(path)
    try:
        found = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        methods = {label: entry for label, entry in found["methods"].items() if digest[:12] in entry["is"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadItems(
            f"{run / 'metrics.json'}: is no readable evaluation ({error}); run fewshot-sep evaluate"
        ) from error
    if not methods:
        raise BadItems(f"{run}: no method there had these weights; evaluate with --weights {path}")
    figures: dict[str, Any] = {"items": found["items"], "note": "dB, [median, mean]; silence scores an SI-SDR of -30"}
    for label, entry in methods.items():
        figures[label] = {kind: _figures(some) for kind, some in entry["kinds"].items()}
    card["evaluation"] = figures
    part = path.with_name(f".{path.stem}.{os.getpid()}.json")
    part.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path.with_suffix(".json"))
    return figures


def _figures(found: dict[str, Any]) -> dict[str, Any]:
    """Of the items of one kind: medians and means without their intervals, shares as they are."""
    names = FIGURES if "si_sdri" in found else ("level",)
    pairs = {name: [round(found[name][value][0], 2) for value in ("median", "mean")] for name in names}
    return {"items": found["items"], **pairs, **{name: round(found[name], 2) for name in SHARES if name in found}}


if __name__ == "__main__":
    main()
