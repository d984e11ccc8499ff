"""Minutes and makers of each family of a library in training, with and without some of its sources."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer

from fewshot_sep import audio
from fewshot_sep.loops import library
from fewshot_sep.loops.library import Library, Row

NEW = "karoryfer splendid-grand-piano greg-sullivan-e-pianos fillets- gcin-voice qabcs"
"""How the sources begin that the shipped weights were not trained on; tracker modules are a family of their own."""


def figures(made: Library) -> dict[str, tuple[float, int, int]]:
    """Of each family in training: minutes, makers (collections, or parts of them) and instruments."""

    def minutes(path: Path) -> float:
        with audio.open_audio(path) as file:
            return file.frames / file.sample_rate / 60

    groups = defaultdict[str, list[tuple[Row, float]]](list)
    rows = made.split("train")
    with ThreadPoolExecutor(4) as threads:
        for row, length in zip(rows, threads.map(minutes, map(made.file, rows)), strict=True):
            groups[row.family].append((row, length))
    return {
        family: (sum(n for _, n in own), len({row.source for row, _ in own}), len({row.instrument for row, _ in own}))
        for family, own in sorted(groups.items())
    }


def main(
    folder: Annotated[Path, typer.Argument(metavar="LIBRARY", help="A loop library.")],
    new: Annotated[str, typer.Option(help="How the sources begin that are left out of the figures before.")] = NEW,
) -> None:
    """Print the table of families, without and with the new sources.

    Example:
      python -m fewshot_sep.experiments.flagship.families library
    """
    made, names = library.read(folder), tuple(new.split())
    old = Library(folder, tuple(row for row in made if not row.source.startswith(names) and row.family != "module"))
    before, after = figures(old), figures(made)
    typer.echo("| family | minutes before | after | makers before | after | instruments before | after |")
    typer.echo("|---|---|---|---|---|---|---|")
    for family, late in after.items():
        early = before.get(family, (0.0, 0, 0))
        cells = (f"{early[0]:.0f} | {late[0]:.0f}", f"{early[1]} | {late[1]}", f"{early[2]} | {late[2]}")
        typer.echo(f"| {family} | {' | '.join(cells)} |")
    typer.echo(f"{sum(late[0] for late in after.values()) / 60:.1f} hours in training; {len(made)} files in all")


if __name__ == "__main__":
    from fewshot_sep.cli import run

    run(main)
