"""The folder of a run: `run.json` says which methods it holds over which items, `rows.jsonl` has a row for each."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any, NamedTuple

from fewshot_sep import files, weights
from fewshot_sep.errors import BadItems
from fewshot_sep.experiments.evaluation.items import Item
from fewshot_sep.experiments.evaluation.methods import Choice, current

FACTS, ROWS = "run.json", "rows.jsonl"

_TEXTS, _OTHER_TEXTS = ("method", "id", "song", "kind"), ("target", "query", "digest")
_COSTS, _RATIOS = ("level", "seconds", "cpu_s", "audio_s"), ("sdr", "si_sdr", "sdri", "si_sdri")

Row = dict[str, Any]
"""What was measured of a method on an item, by name; `failed` where nothing could be."""


class Chosen(NamedTuple):
    """A method as it was chosen; `weights` says which, and is empty where none were given.

    `left_out` items of the set lack a clip that the method is to be given.
    """

    spec: str
    weights: str = ""
    left_out: int = 0

    def __str__(self) -> str:
        return f"{self.spec}, weights {self.weights}" if self.weights else self.spec


class Facts(NamedTuple):
    """The set's name, a digest of its items, and what each method is by its label."""

    items: str
    digest: str
    methods: dict[str, Chosen]


def open_run(run: Path, items_name: str, items: Sequence[Item], choices: Sequence[Choice]) -> Facts:
    """Make a run's folder, or check that it is one over the same items; note the methods, those of `choices` first.

    Raises:
        BadItems: it is a run over other items.
        OutputError: it cannot be written.
    """
    # Without the last fields, clips of other roles: items are the same as those of a run before there were any.
    digest = hashlib.sha256(repr([astuple(item)[:-2] for item in items]).encode()).hexdigest()[:16]
    before = read_facts(run) if (run / FACTS).is_file() else Facts(items_name, digest, {})
    if before.digest != digest:
        raise BadItems(f"{run}: is a run over other items ({before.items}); choose another folder with -o")
    chosen = {
        choice.label: Chosen(
            choice.spec,
            _which(choice.weights) if choice.weights else "",
            sum(choice.applies(item.kind) and choice.lacks(item) for item in items),
        )
        for choice in choices
    }
    noted = {label: method._asdict() for label, method in (before.methods | chosen).items()}
    files.write_json(run / FACTS, {**before._asdict(), "methods": noted}, indent=1)
    return before._replace(methods=chosen | {name: it for name, it in before.methods.items() if name not in chosen})


def _which(path: Path) -> str:
    """Weights by name and digest, and what their card says of the effort behind them."""
    card = weights.card(path)
    effort = [f"{card[name]} {name}" for name in ("examples", "minutes", "hours") if name in card]
    return ", ".join([f"{path.name} ({weights.sha256(path)[:12]})", *effort])


def read_facts(run: Path) -> Facts:
    """What `run.json` holds. Raises BadItems where there is none to be read."""
    try:
        facts = files.read_json(run / FACTS)
        methods = facts["methods"].items()
        chosen = {
            current(label): Chosen(current(method["spec"]), method["weights"], method.get("left_out", 0))
            for label, method in methods
        }
        texts = (facts["items"], facts["digest"], *chosen, *(text for method in chosen.values() for text in method[:2]))
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("what must be text is none")
        if not all(type(method.left_out) is int for method in chosen.values()):
            raise TypeError("left_out is no number")
        return Facts(facts["items"], facts["digest"], chosen)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"{run / FACTS}: is no readable run ({error}); make one: fewshot-sep evaluate ITEMS -o RUN"
        raise BadItems(message) from error


def _is_whole(row: object) -> bool:
    """Whether a row holds what reports take for granted."""
    if not isinstance(row, dict) or not all(isinstance(row.get(name), str) for name in _TEXTS):
        return False
    if "failed" in row:
        return isinstance(row["failed"], str)
    measured = [name for name in row if name not in (*_TEXTS, *_OTHER_TEXTS)]
    sounding = _RATIOS if row.get("sounds") else ()
    return (
        all(row[name] is None or isinstance(row[name], (bool, int, float)) for name in measured)
        and isinstance(row.get("sounds"), bool)
        and all(isinstance(row.get(name), (int, float)) for name in (*_COSTS, *sounding))
    )


def read_rows(run: Path) -> list[Row]:
    """The rows of a run, a later one in place of an earlier one for the same method and item."""
    path = run / ROWS
    rows: dict[tuple[str, str], Row] = {}
    for line in path.read_bytes().splitlines() if path.is_file() else []:
        with contextlib.suppress(ValueError):  # cut off when the run was stopped, or damaged: it is measured again
            row = files.parse_json(line.decode())
            if _is_whole(row):
                row["method"] = current(row["method"])
                rows[row["method"], row["id"]] = row
    return list(rows.values())
