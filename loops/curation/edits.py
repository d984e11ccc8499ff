"""The tables `decisions.csv` and `undecided.csv`: written for the user, and read with what the user changed."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

from fewshot_sep import files
from fewshot_sep.errors import BadLibrary
from fewshot_sep.loops.curation.decide import COLUMNS, EDITABLE, STATUSES, Decision, Edit

DECISIONS, UNDECIDED = "decisions.csv", "undecided.csv"


def write(path: Path, decisions: Iterable[Decision]) -> None:
    """Write a table of decisions, whole or not at all. Raises OutputError."""
    with (
        files.replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(astuple(decision) for decision in decisions)


def read(table: Path, own: Mapping[str, Decision]) -> dict[str, Edit]:
    """What a table says otherwise than `own`, the decisions that the program would take by itself; by path.

    A line of an undecided loop that was changed anywhere counts as confirmed: the loop is kept if nothing is missing.

    Raises:
        BadLibrary: the table has mistakes.
    """
    try:
        text = table.read_text(encoding="utf-8-sig", errors="surrogateescape")
        if not table.is_file():
            raise OSError(0, "not a file")
    except OSError as error:
        raise BadLibrary(f"{table}: cannot be read ({error.strerror}); give a decisions.csv") from error
    head = text.split("\n", 1)[0]
    reader = csv.DictReader(text.splitlines(), delimiter=";" if ";" in head and "," not in head else ",")
    edits = {}
    for record in _records(reader, table):
        path, where = (record["path"] or "").strip(), f"{table}, line {reader.line_num}"
        if path not in own:
            raise BadLibrary(f"{where}: no loop {path!r} in the source; remove the line")
        edits[path] = _edit(record, own[path], where)
    return edits


def _records(reader: csv.DictReader[str], table: Path) -> Iterator[dict[str, str]]:
    try:
        if "path" not in (reader.fieldnames or ()):
            raise BadLibrary(f"{table}: has no column path; edit a decisions.csv or undecided.csv that curate wrote")
        yield from reader
    except csv.Error as error:
        raise BadLibrary(f"{table}, line {reader.line_num + 1}: {error}") from error


def _edit(record: Mapping[str, str | None], own: Decision, where: str) -> Edit:
    changed: dict[str, Any] = {}
    for column in EDITABLE:
        text, mine = (record.get(column) or "").strip(), getattr(own, column)
        if not text or text == str(mine):
            continue
        if not isinstance(mine, float):
            changed[column] = text.lower()
            continue
        try:
            value = float(text.replace(",", "."))
        except ValueError:
            raise BadLibrary(f"{where}: {column} {text!r} is not a number") from None
        if value == mine or (value == 0 and column != "start"):
            continue
        if not 0 <= value < 2000:
            raise BadLibrary(f"{where}: {column} {text} is out of range")
        changed[column] = value
    if changed.get("status", STATUSES[0]) not in STATUSES:
        raise BadLibrary(f"{where}: status {changed['status']!r} is none of {', '.join(STATUSES)}")
    if changed.get("status") == "undecided":
        changed.pop("status")
    if changed and own.status == "undecided":  # whoever changes a line has seen the rest of it
        changed.setdefault("status", "kept")
    return Edit(**changed)
