"""A report as a list of blocks, written as Markdown, and as one HTML page that needs no other file."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from fewshot_sep import files
from fewshot_sep.markdown import plain, table

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto }
th, td { border-bottom: 1px solid #ddd; padding: .25rem .6rem; text-align: right; white-space: nowrap }
th { border-bottom-color: #555; vertical-align: bottom } td:first-child, th:first-child { text-align: left }
img { max-width: 100% } code { background: #f2f2f2; padding: 0 .2rem }
.sounds { display: flex; flex-wrap: wrap; gap: .6rem 1.2rem } .sounds audio { width: 15rem; display: block }
"""


class Heading(NamedTuple):
    text: str
    level: int = 2


class Text(NamedTuple):
    """A paragraph; `code` in backticks is the only markup."""

    text: str


class Points(NamedTuple):
    texts: Sequence[str]


class Table(NamedTuple):
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


class Picture(NamedTuple):
    """`name` is that of a PNG in the report's folder."""

    name: str
    title: str


class Sounds(NamedTuple):
    """MP3 files by what they are; in the page only."""

    title: str
    clips: dict[str, bytes]


Block = Heading | Text | Points | Table | Picture | Sounds


def section(title: str, content: Sequence[Block]) -> list[Block]:
    """Content under a heading; nothing where there is no content."""
    return [Heading(title), *content] if content else []


def write(folder: Path, title: str, blocks: Sequence[Block], metrics: Mapping[str, Any], *, html: bool = False) -> Path:
    """Write report.md and metrics.json into `folder`, with `html` also page.html; returns the report's path."""
    files.write_json(folder / "metrics.json", metrics)
    if html:
        files.write_text(folder / "page.html", page(title, [Heading(title, 1), *blocks], folder))
    files.write_text(folder / "report.md", markdown([Heading(title, 1), *blocks]))
    return folder / "report.md"


def markdown(blocks: Iterable[Block]) -> str:
    """
    >>> print(markdown([Heading("A"), Table(["x", "y"], [["1", "2"]])]))
    ## A
    <BLANKLINE>
    | x | y |
    |---|---|
    | 1 | 2 |
    <BLANKLINE>
    """
    return "\n\n".join(text for block in blocks if (text := _markdown(block))) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {plain(text)}"
        case Text(text):
            return plain(text)
        case Points(texts):
            return "\n".join(f"- {plain(text)}" for text in texts)
        case Table(head, rows):
            return table(head, rows)
        case Picture(name, title):
            return f"![{plain(title)}]({name})"
    return ""


def page(title: str, blocks: Iterable[Block], folder: Path) -> str:
    """The same as one HTML page: pictures, which lie in `folder`, and sounds are in it as data."""
    body = "\n".join(_html(block, folder) for block in blocks)
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n{body}\n</html>\n"
    )


def _html(block: Block, folder: Path) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level}>{_inline(text)}</h{level}>"
        case Text(text):
            return f"<p>{_inline(text)}</p>"
        case Points(texts):
            return "<ul>" + "".join(f"<li>{_inline(text)}</li>" for text in texts) + "</ul>"
        case Table(head, rows):
            top = "".join(f"<th>{_inline(cell)}</th>" for cell in head)
            lines = "".join("<tr>" + "".join(f"<td>{_inline(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
            return f"<table><tr>{top}</tr>\n{lines}</table>"
        case Picture(name, text):
            return f'<p><img alt="{escape(text)}" src="{_data((folder / name).read_bytes(), "image/png")}"></p>'
        case Sounds(text, clips):
            players = "".join(
                f'<label>{escape(what)}<audio controls src="{_data(clip, "audio/mpeg")}"></audio></label>'
                for what, clip in clips.items()
            )
            return f'<h3>{_inline(text)}</h3><div class="sounds">{players}</div>'


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))


def _data(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
