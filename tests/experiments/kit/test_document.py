from __future__ import annotations

from pathlib import Path

from fewshot_sep.experiments.kit import document


def test_markup_of_names_stays_text() -> None:
    page = document.page("<t>", [document.Table(["a"], [["<b>`x`"]])], Path())
    assert "<td>&lt;b&gt;<code>x</code></td>" in page and "<title>&lt;t&gt;</title>" in page
