"""Tables as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""A table; a `|` in a cell is escaped, and what is no Unicode (in a file's name) replaced.

    >>> print(table(["file", "n"], [["a|b", "1"]]))
    | file | n |
    |---|---|
    | a\|b | 1 |
    """
    first, *others = (
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |".encode("utf-8", "replace").decode()
        for row in (head, *rows)
    )
    return "\n".join([first, f"|{'---|' * len(head)}", *others])
