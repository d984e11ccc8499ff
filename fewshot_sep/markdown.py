"""Tables as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def plain(text: str) -> str:
    """Text in which nothing is HTML, and no cell, line or link begins that is not meant; code in backticks stays.

    >>> print(plain("<script> of `a<b`"))
    &lt;script> of `a<b`
    """
    parts = re.split(r"(`[^`]*`)", text.encode("utf-8", "replace").decode())
    return "".join(part if part.startswith("`") and len(part) > 1 else part.replace("<", "&lt;") for part in parts)


def name(text: str) -> str:
    """A name as text alone, whatever it holds.

    >>> print(name("![x](http://y) `<b>`"))
    !\\[x\\](http://y) \\`&lt;b>\\`
    """
    escaped = re.sub(r"([\\`\[\]*_])", r"\\\1", plain(" ".join(text.split())))
    return escaped.replace("<", "&lt;")  # also between backticks, which begin no code now


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""A table; a `|` in a cell is escaped, and what is HTML, no Unicode (in a file's name) or another line replaced.

    >>> print(table(["file", "n"], [["a|b", "1"]]))
    | file | n |
    |---|---|
    | a\|b | 1 |
    """
    first, *others = (
        f"| {' | '.join(' '.join(plain(cell).splitlines()).replace('|', chr(92) + '|') for cell in row)} |"
        for row in (head, *rows)
    )
    return "\n".join([first, f"|{'---|' * len(head)}", *others])
