"""`fewshot-sep evaluate`: how good is a query-by-example separator, ours or anyone's?"""

from __future__ import annotations

import json
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewshot_sep.errors import BadItems, FewshotSepError, OutputError

if TYPE_CHECKING:
    from fewshot_sep.experiments.evaluation.figures import Example
    from fewshot_sep.experiments.evaluation.items import Item
    from fewshot_sep.experiments.evaluation.measure import Row
    from fewshot_sep.experiments.evaluation.methods import Choice

OUTPUT = Path("out/evaluate")
RUN = "run.json"


def evaluate(
    folder: Annotated[Path | None, typer.Argument(metavar="ITEMS", help="Folder with items.json.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="RUN", help="Folder of the run; gone on with.")] = (
        OUTPUT
    ),
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[LABEL=]METHOD",
            help="clip, once, song, illes2020, a seed system, mixture, silence, hpss, repet-sim, nmf, irm, mixphase, "
            "module:function, or cmd:'... {mix} {query} {out}'. Repeatable; clip if none. The others are "
            "compared with the first.",
        ),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(metavar="[LABEL=]FILE", help="Weights of a method; of clip, once and song without label."),
    ] = None,
    conditions: Annotated[
        str, typer.Option(help="Of same, cross, absent, itself, wrong, shuffled, clips, sources; with commas.")
    ] = "same,cross,absent,itself,wrong,shuffled,clips,sources",
    listen: Annotated[
        list[str] | None, typer.Option(metavar="SONG", help="Only these songs are examples (* matches anything).")
    ] = None,
    device: Annotated[str, typer.Option(help="Where networks run: auto, cpu or cuda.")] = "auto",
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(metavar="RUN_A RUN_B", help="Compare two runs, item by item, instead.")
    ] = None,
) -> None:
    """Measure separators on items with known answers: report.md, page.html, metrics.json and figures in RUN.

    A stopped run goes on; methods and conditions asked for later are added to it.
    """
    if (folder is None) == (compare is None):
        raise typer.BadParameter("give a folder of ITEMS, or --compare RUN_A RUN_B")
    if compare:
        typer.echo(_compare(*compare))
        return
    assert folder is not None
    from fewshot_sep.experiments.evaluation import items, settings
    from fewshot_sep.experiments.evaluation.conditions import Sounds, derive
    from fewshot_sep.experiments.evaluation.methods import choose

    wanted = [name.strip() for name in conditions.split(",")]
    if unknown := [name for name in wanted if name not in settings.CONDITIONS]:
        raise typer.BadParameter(
            f"{unknown[0]!r} is none of {', '.join(settings.CONDITIONS)}", param_hint="--conditions"
        )
    choices = choose(method or ["segment"], weights or [], device)
    native = items.read(folder)
    _open(output, folder, native, choices)
    questions = derive(native, wanted, Sounds(folder))
    asked = [question for choice in choices for question in questions if choice.applies(question.kind)]
    if not asked:
        raise BadItems(f"{folder}: none of its items tells anything about {method} in the conditions {conditions}")
    failed = _measure(choices, questions, len(asked), folder, output)
    typer.echo(f"report: {_report(choices, questions, folder, output, listen or ['*'])}")
    if failed:
        raise FewshotSepError(f"{failed} of {len(asked)} items failed; the report lists them")


def _open(output: Path, folder: Path, native: list[Item], choices: list[Choice]) -> None:
    """Make the run's folder, or check that it is one for the same items; note the methods."""
    import hashlib

    from fewshot_sep.experiments.evaluation.report import Asked

    digest = hashlib.sha256(repr(native).encode()).hexdigest()[:16]
    known: dict[str, Any] = {"items": folder.resolve().name, "digest": digest, "methods": {}}
    if (output / RUN).is_file():
        known = _facts(output)
    if known["digest"] != digest:
        raise BadItems(f"{output}: is a run over other items ({known['items']}); choose another folder with -o")
    for choice in choices:
        known["methods"][choice.label] = Asked(choice.spec, _which(choice.weights) if choice.weights else "")
    noted = {**known, "methods": {label: asked._asdict() for label, asked in known["methods"].items()}}
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / RUN).write_text(json.dumps(noted, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{output}: cannot be written ({error.strerror}); choose another folder with -o") from error


def _which(path: Path) -> str:
    """Weights by name and digest, and what their card says of the effort behind them."""
    from fewshot_sep import weights

    card = weights.card(path)
    effort = [f"{card[name]} {name}" for name in ("examples", "minutes", "hours") if name in card]
    return ", ".join([f"{path.name} ({weights.sha256(path)[:12]})", *effort])


def _facts(run: Path) -> dict[str, Any]:
    """What `run.json` holds: the items' name and digest, and the methods by label."""
    from fewshot_sep.experiments.evaluation.methods import current
    from fewshot_sep.experiments.evaluation.report import Asked

    try:
        facts = json.loads((run / RUN).read_text(encoding="utf-8"))
        methods = {
            current(label): Asked(current(asked["spec"]), asked["weights"]) for label, asked in facts["methods"].items()
        }
        return {"items": facts["items"], "digest": facts["digest"], "methods": methods}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadItems(
            f"{run / RUN}: is no readable run ({error}); make one: fewshot-sep evaluate ITEMS -o RUN"
        ) from error


def _measure(choices: list[Choice], questions: list[Item], count: int, folder: Path, output: Path) -> int:
    """Run every method over its questions; the number of those that failed."""
    from rich.console import Console
    from rich.progress import Progress

    from fewshot_sep.experiments.evaluation import measure

    failed = 0
    with Progress(console=Console(stderr=True), transient=True) as bar:
        line = bar.add_task("", total=count)
        for choice in choices:
            bar.update(line, description=choice.label)
            for row in measure.run(choice, questions, folder, output):
                failed += "failed" in row
                bar.advance(line)
    return failed


def _report(choices: list[Choice], questions: list[Item], folder: Path, output: Path, listen: list[str]) -> Path:
    from fewshot_sep.experiments.evaluation import measure, report

    rows = measure.read_rows(output)
    facts = _facts(output)
    labels = [choice.label for choice in choices]
    labels += [label for label in facts["methods"] if label not in labels]
    methods = {label: facts["methods"][label] for label in labels}
    shown = [row for row in rows if any(fnmatch(row["song"], pattern) for pattern in listen)]
    examples = _examples(choices[0], shown, questions, folder)
    report.write(output, rows, report.Facts(facts["items"], methods), examples)
    return output / "report.md"


def _examples(choice: Choice, rows: list[Row], questions: list[Item], folder: Path) -> list[Example]:
    """The best, the median and the worst item of a method, separated once more: a run keeps no sound."""
    from fewshot_sep.experiments.evaluation.conditions import Sounds
    from fewshot_sep.experiments.evaluation.figures import Example
    from fewshot_sep.experiments.evaluation.measure import Worker

    items = {item.id: item for item in questions if item.kind in ("same", "cross")}
    known = [row for row in rows if row["method"] == choice.label and row["id"] in items and row.get("sounds")]
    ranked = sorted(known, key=lambda row: -row["si_sdri"])
    if len(ranked) < 3:
        return []
    worker, sounds, examples = Worker(choice, folder), Sounds(folder), []
    for name, row in (("best", ranked[0]), ("median", ranked[len(ranked) // 2]), ("worst", ranked[-1])):
        case, answer = sounds.case(items[row["id"]]), worker.answer(items[row["id"]])
        if answer.estimate is not None and case.reference is not None:
            parts = {"mixture": case.mixture, "target": case.reference, "estimate": answer.estimate}
            heard = {"query": case.queries[0], **{part: (x, case.sample_rate) for part, x in parts.items()}}
            examples.append(Example(f"{name}: {row['id']}, SI-SDRi {row['si_sdri']:.1f} dB", heard))
    return examples


def _compare(first: Path, second: Path) -> str:
    """Every method that both runs have, or the first of each where they share none: a table, also written to a file."""
    from fewshot_sep.experiments.evaluation import measure, tables
    from fewshot_sep.experiments.kit import document

    facts = [_facts(run) for run in (first, second)]
    if facts[0]["digest"] != facts[1]["digest"]:
        raise BadItems(f"{first}, {second}: are runs over other items; compare runs over the same ones")
    rows = [[row for row in measure.read_rows(run) if "failed" not in row] for run in (first, second)]
    shared = [label for label in facts[0]["methods"] if label in facts[1]["methods"]]
    labels = [(label, label) for label in shared] or [tuple(next(iter(fact["methods"])) for fact in facts)]
    pairs = []
    for ours, theirs in labels:
        for kind in dict.fromkeys(row["kind"] for row in rows[0]):
            figure = "level" if kind == "absent" else "si_sdri"
            a, b = (
                [row for row in tables.of_kind(some, kind) if row["method"] == label]
                for some, label in zip(rows, (ours, theirs), strict=True)
            )
            found = tables.pair(a, b, figure)
            if found:
                pairs.append(tables.Paired(f"{first.name}: {ours}", f"{second.name}: {theirs}", kind, figure, found))
    if not pairs:
        raise BadItems(f"{first}, {second}: have no item in common that both measured")
    title = document.Heading(f"{first.name} against {second.name}, on {facts[0]['items']}", 1)
    text = document.markdown([title, tables.paired_table(pairs)])
    (second / f"against-{first.name}.md").write_text(text, encoding="utf-8")
    return text


if __name__ == "__main__":
    from fewshot_sep.cli import run

    run(evaluate)
