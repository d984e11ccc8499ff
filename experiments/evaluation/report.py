"""What a run found: `report.md`, `metrics.json`, figures, and `page.html`, which holds all of it and sounds."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fewshot_sep import files
from fewshot_sep.errors import BadItems
from fewshot_sep.experiments.evaluation import examples, figures, settings, tables
from fewshot_sep.experiments.evaluation.examples import Example
from fewshot_sep.experiments.evaluation.runs import Facts, Row, read_facts, read_rows
from fewshot_sep.experiments.evaluation.tables import FIGURES, LEVELS_DB, Methods, of_kind, share, summarise
from fewshot_sep.experiments.kit import document
from fewshot_sep.experiments.kit.document import Block, Heading, Picture, Points, Table, Text, section
from fewshot_sep.experiments.kit.tables import number

SHARES = ("collapsed", "retrieved", "followed")
COSTS = {"seconds_per_second": "seconds", "cpu_seconds_per_second": "cpu_s"}


def write(run: Path, rows: Sequence[Row], facts: Facts, shown: Sequence[Example]) -> Path:
    """Write the report on rows into the run's folder; the first method is the one that others are compared with.

    Returns:
        The path of report.md.
    """
    good = {label: [row for row in rows if row["method"] == label and "failed" not in row] for label in facts.methods}
    good = {label: some for label, some in good.items() if some}
    failed = [row for row in rows if "failed" in row]
    summary = {label: _summary(some) for label, some in good.items()}
    compared = tables.comparisons(good) if good else []
    metrics = {
        "items": facts.items,
        "methods": {label: {"is": str(facts.methods[label]), **summary[label]} for label in good},
        "paired": [{**comparison._asdict(), "found": comparison.found._asdict()} for comparison in compared],
        "failed": [{name: row[name] for name in ("method", "id", "failed")} for row in failed],
    }
    blocks = [*_head(rows, facts), *tables.all_tables(good), *_cost(summary)]
    blocks += [*section("Figures", _pictures(run, good, shown)), *_failures(failed)]
    blocks += [*tables.rules(), _made_by(facts), *section("Listen", [examples.sounds(example) for example in shown])]
    return document.write(run, f"Query-by-example separation on `{facts.items}`", blocks, metrics, html=True)


def compare(first: Path, second: Path) -> str:
    """Every method that both runs have, or the first of each where they share none: a table, also written to a file.

    Raises:
        BadItems: they are runs over other items, or have none in common.
    """
    ours, theirs = read_facts(first), read_facts(second)
    if ours.digest != theirs.digest:
        raise BadItems(f"{first}, {second}: are runs over other items; compare runs over the same ones")
    rows = [[row for row in read_rows(run) if "failed" not in row] for run in (first, second)]
    labels = [(label, label) for label in ours.methods if label in theirs.methods]
    found: list[tables.Comparison] = []
    for pair in labels or [(next(iter(ours.methods)), next(iter(theirs.methods)))]:
        a, b = (
            (f"{run.name}: {label}", [row for row in some if row["method"] == label])
            for run, label, some in zip((first, second), pair, rows, strict=True)
        )
        found += tables.compared(a, b)
    if not found:
        raise BadItems(f"{first}, {second}: have no item in common that both measured")
    title = Heading(f"{first.name} against {second.name}, on {ours.items}", 1)
    text = document.markdown([title, tables.differences(found)])
    files.write_text(second / f"against-{first.name}.md", text)
    return text


def _summary(rows: Sequence[Row]) -> dict[str, Any]:
    """All figures of a method, as metrics.json has them."""
    found: dict[str, Any] = {}
    for kind in settings.CONDITIONS:
        some = of_kind(rows, kind)
        if not some:
            continue
        names = ("level", *FIGURES, "asked_si_sdri")
        entry = {
            name: {
                **{part: [round(value, 4) for value in getattr(known, part)] for part in ("median", "mean")},
                **{"items": known.n, "songs": known.songs},
            }
            for name in names
            if (known := summarise(some, name))
        }
        shares = {name: share(some, name) for name in SHARES if tables.values(some, name)}
        if kind == "absent":
            shares = {f"under {limit:g} dB": tables.under(some, limit) for limit in LEVELS_DB}
        found[kind] = {"items": len(some), **entry, **shares}
    costs = {name: _per_second(rows, column) for name, column in COSTS.items()}
    return {"kinds": found, **costs, "peak_mib": max(tables.values(rows, "peak_mib"), default=None)}


def _per_second(rows: Sequence[Row], name: str) -> float:
    having = [row for row in rows if name in row]
    return float(sum(row[name] for row in having) / max(sum(row["audio_s"] for row in having), 1e-9))


def _head(rows: Sequence[Row], facts: Facts) -> list[Block]:
    native = {row["id"]: row["kind"] for row in rows if row["kind"] in settings.NATIVE}
    kinds = list(native.values())
    counts = ", ".join(f"{kinds.count(kind)} {settings.KIND_NAMES[kind]}" for kind in settings.NATIVE)
    return [
        Text(
            f"{len(native)} items ({counts}) of {len({row['song'] for row in rows})} songs, and the harder conditions "
            "derived from them. Decibels throughout; medians and means with 95 % intervals in brackets, by resampling "
            "whole songs. What each figure means stands at the end."
        ),
        Points([f"`{label}`: `{what}`" for label, what in facts.methods.items() if str(what) != label]),
        Points(
            [
                f"`{label}` is not given {what.left_out} of the set's items, which lack a clip of one of its roles."
                for label, what in facts.methods.items()
                if what.left_out
            ]
        ),
    ]


def _made_by(facts: Facts) -> Text:
    words = []
    for label, (spec, weights, _) in facts.methods.items():
        words.append(f"--method {shlex.quote(label) if label == spec else shlex.quote(f'{label}={spec}')}")
        words += [f"--weights {shlex.quote(label)}=FILE"] if weights else []
    return Text(f"Made by `fewshot-sep evaluate ITEMS -o RUN {' '.join(words)}`.")


def _cost(summary: dict[str, Any]) -> list[Block]:
    lines = [
        [label, *(number(found[name], 3) for name in COSTS), number(found["peak_mib"], 0)]
        for label, found in summary.items()
    ]
    note = (
        "A method runs in a process of its own, which also reads the sound files; measuring happens outside of it. "
        "The row of a method that does nothing is what that alone takes. Other work on the same machine makes the "
        "seconds longer, the seconds of CPU hardly."
    )
    head = ["method", "seconds per second of audio", "seconds of CPU per second of audio", "peak memory (MiB)"]
    return [Heading("Time and memory"), Text(note), Table(head, lines)]


def _pictures(run: Path, methods: Methods, shown: Sequence[Example]) -> list[Block]:
    blocks: list[Block] = []
    if rows := {label: some for label, all_ in methods.items() if (some := of_kind(all_, *settings.PRESENT))}:
        figures.boxes(rows, run / "boxes.png")
        figures.level_against_sdri(rows, run / "levels.png")
        blocks.append(Picture("boxes.png", "SI-SDRi by method and by instrument"))
        blocks.append(Picture("levels.png", "level of the output against SDRi"))
    if shown:
        examples.draw(shown, run / "examples.png")
        blocks.append(Picture("examples.png", "best, median and worst item of the first method"))
    return blocks


def _failures(failed: Sequence[Row]) -> list[Block]:
    lines = [[row["method"], row["id"], row["failed"]] for row in failed]
    return section("Failed", [Table(["method", "item", "why"], lines)] if lines else [])
