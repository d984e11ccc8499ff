"""Where the seed systems come from, what their papers measured, and what differs here; nothing heavy is imported."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

from fewshot_sep.errors import FewshotSepError


class About(NamedTuple):
    """A system's paper, the paper's own figure with where it stands, and in a sentence what differs here."""

    title: str
    authors_year: str
    figure: str
    differs: str


def _read() -> dict[str, About]:
    with Path(__file__).with_name("papers.csv").open(encoding="utf-8", newline="") as table:
        return {row.pop("name"): About(**row) for row in csv.DictReader(table)}


PAPERS = _read()
NAMES = tuple(PAPERS)


def about(name: str) -> About:
    """The entry of a system.

    Raises:
        FewshotSepError: there is no such system; the message lists those there are.
    """
    if name not in PAPERS:
        raise FewshotSepError(f"no seed system '{name}'; there are: {', '.join(NAMES)}")
    return PAPERS[name]
