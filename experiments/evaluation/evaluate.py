"""`fewshot-sep evaluate`: how good is a query-by-example separator, ours or anyone's?"""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewshot_sep import cli, extras
from fewshot_sep.errors import BadItems, FewshotSepError
from fewshot_sep.experiments.evaluation import settings
from fewshot_sep.prompt import ROLES

if TYPE_CHECKING:
    from fewshot_sep.experiments.evaluation.items import Item
    from fewshot_sep.experiments.evaluation.methods import Choice


def evaluate(
    folder: Annotated[Path | None, typer.Argument(metavar="ITEMS", help="Folder with items.json.")] = None,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="RUN", help="Folder of the run; resumed.", rich_help_panel="output"),
    ] = Path("out/evaluate"),
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[LABEL=]METHOD",
            help=f"{', '.join((*settings.TRAINED, *settings.BASELINES))}, module:function, or "
            "cmd:'... {mix} {query} {out}'. Repeatable; segment if none. The others are compared with the first. "
            f"{', '.join(settings.PROMPTED)} take any evidence: segment:alone+absent, of {', '.join(ROLES)}.",
        ),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[LABEL=]FILE", help=f"Weights of a method; of {', '.join(settings.BUNDLED)} without label."
        ),
    ] = None,
    conditions: Annotated[str, typer.Option(help="Any of these, with commas.")] = ",".join(settings.CONDITIONS),
    listen: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SONG", help="Only these songs are examples (* matches anything).", rich_help_panel="output"
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="Where networks run: auto, cpu or cuda.")] = "auto",
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(metavar="RUN_A RUN_B", help="Compare two runs, item by item, instead.")
    ] = None,
) -> None:
    """Measure separators on items with known answers: report.md, page.html, metrics.json and figures in RUN.

    A stopped run is resumed; methods and conditions of later calls are added to it.

    Example:
      fewshot-sep evaluate ITEMS -o RUN --method segment --method nmf --method irm
    """
    extras.require("evaluate")
    from fewshot_sep.experiments.evaluation import examples, items, report, runs
    from fewshot_sep.experiments.evaluation.conditions import Sounds, derive
    from fewshot_sep.experiments.evaluation.methods import choose

    if compare and folder is None:
        typer.echo(report.compare(*compare))
        return
    if compare or folder is None:
        raise typer.BadParameter("give a folder of ITEMS, or --compare RUN_A RUN_B")
    kinds = [settings.KIND_ALIASES.get(name.strip(), name.strip()) for name in conditions.split(",")]
    if unknown := [kind for kind in kinds if kind not in settings.CONDITIONS]:
        known = ", ".join(settings.CONDITIONS)
        raise typer.BadParameter(f"{unknown[0]!r} is none of {known}", param_hint="--conditions")
    choices = choose(method or ["segment"], weights or [], device)
    native = items.read(folder)
    facts = runs.open_run(output, folder.resolve().name, native, choices)
    derived = derive(native, kinds, Sounds(folder))
    wanted = {
        choice: [item for item in derived if choice.applies(item.kind) and not choice.lacks(item)] for choice in choices
    }
    count = sum(map(len, wanted.values()))
    if not count:
        raise BadItems(f"{folder}: none of its items tells anything about {method} in the conditions {conditions}")
    failed = _measure(wanted, count, folder, output)
    rows = runs.read_rows(output)
    audible = [row for row in rows if any(fnmatch(row["song"], pattern) for pattern in listen or ["*"])]
    shown = examples.pick(choices[0], audible, derived, folder)
    typer.echo(f"report: {report.write(output, rows, facts, shown)}")
    if failed:
        raise FewshotSepError(f"{failed} of {count} items failed; the report lists them")


def _measure(wanted: dict[Choice, list[Item]], count: int, folder: Path, output: Path) -> int:
    """Run every method over its items; the number of those that failed."""
    from fewshot_sep.experiments.evaluation import measure

    failed = done = 0
    with cli.progress("measuring") as tell:
        for choice, items in wanted.items():
            tell(done / count, choice.label)
            for row in measure.run(choice, items, folder, output):
                failed += "failed" in row
                done += 1
                tell(done / count, choice.label)
    return failed


if __name__ == "__main__":
    cli.run(evaluate)
