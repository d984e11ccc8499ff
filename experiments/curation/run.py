"""Curates a fixture of real loops under odd names twice, with tempi in the names and without, and checks it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from fewshot_sep import cli
from fewshot_sep.experiments.curation.make_fixture import TRUTH, build
from fewshot_sep.experiments.curation.settings import MODES, NEAR, REPORT, SHARES
from fewshot_sep.experiments.kit.document import Block, Heading, Points, Table, write
from fewshot_sep.loops.curation import report
from fewshot_sep.loops.curation.curate import Curated, curate
from fewshot_sep.loops.curation.decide import Decision


class Check(NamedTuple):
    """How right a curation was.

    shares: for each of `SHARES`, how many are "right", "of" how many, and their "share". undecided: loops left to the
    user. wrong: a line for each mistake.
    """

    shares: dict[str, dict[str, float]]
    undecided: int
    wrong: list[str]


def right_tempo(found: float, true: float) -> bool:
    """Whether a tempo is within 4 % of the true one, or of its double or half.

    >>> right_tempo(90, 180), right_tempo(124, 120), right_tempo(120, 180)
    (True, True, False)
    """
    return found > 0 and any(abs(found * octave / true - 1) <= NEAR for octave in (0.5, 1, 2))


def check(made: Curated, hidden: bool) -> Check:
    """A curation against `truth.csv`."""
    key = "hidden_path" if hidden else "path"
    found = {decision.path: decision for decision in made.decisions}
    files = [(row, found[row[key]]) for row in TRUTH]
    loops = [(row, d) for row, d in files if row["expected"] != "rejected"]
    tempo = [
        (right_tempo(d.bpm, float(row["bpm"])), f"tempo: {d.path}: {d.bpm:g}, true {row['bpm']} ({d.status})")
        for row, d in loops
        if row["tempo_in_name"]
    ]
    kept = [(right_tempo(d.bpm, float(row["bpm"])), "") for row, d in loops if row["bpm"] and d.status == "kept"]
    instrument = [
        (d.instrument == true, f"instrument: {d.path}: {d.instrument or 'none'}, true {true or 'none'}")
        for true, d in ((row["instrument"], d) for row, d in loops)
    ]
    status = [(_status_right(row, d, key, found), f"status: {d.path}: {d.status} {d.reason}") for row, d in files]
    shares = {}
    for name, group in zip(SHARES, (tempo, kept, instrument, status), strict=True):
        right, of = sum(good for good, _ in group), len(group)
        shares[name] = {"right": right, "of": of, "share": round(right / max(1, of), 3)}
    wrong = [line for good, line in (*tempo, *status, *instrument) if not good]
    return Check(shares, sum(d.status == "undecided" for _, d in loops), wrong)


def _status_right(row: dict[str, str], decision: Decision, key: str, found: dict[str, Decision]) -> bool:
    """Whether a file was rightly kept off or let through; of two duplicates either may stay, but only one."""
    same = [other for other in TRUTH if other["original"] == row["original"] and other != row]
    twins = [other[key] for other in same if "duplicate" in (other["reason"], row["reason"])]
    rejected = decision.status == "rejected"
    if row["reason"] == "duplicate" and not rejected:
        return any(found[twin].reason == f"duplicate of {decision.path}" for twin in twins)
    if row["reason"] == "duplicate":
        return "duplicate" in decision.reason
    if rejected and row["expected"] != "rejected":
        return decision.reason.removeprefix("duplicate of ") in twins
    return rejected == (row["expected"] == "rejected")


def blocks(checks: dict[str, Check]) -> list[Block]:
    """The report's content."""
    rows = [
        [label, *("{right} of {of}: {share:.1%}".format(**found.shares[name]) for found in checks.values())]
        for name, label in SHARES.items()
    ]
    rows.append(["loops left to the user", *(str(found.undecided) for found in checks.values())])
    content: list[Block] = [Table(["", *checks], rows)]
    for mode, found in checks.items():
        content += [Heading(f"Wrong, {mode}"), Points(found.wrong or ["nothing"])]
    return content


def main(
    work: Annotated[Path, typer.Argument(metavar="WORK", help="Folder for fixtures and libraries.")],
    sonic_pi: Annotated[Path, typer.Option(metavar="DIR", rich_help_panel="Material", help="Sonic Pi's samples.")],
    lmms: Annotated[Path, typer.Option(metavar="DIR", rich_help_panel="Material", help="What holds lmms.")],
    scratch: Annotated[Path, typer.Option(metavar="DIR", rich_help_panel="Material", help="What holds scratch.")],
    foxdot: Annotated[Path, typer.Option(metavar="DIR", rich_help_panel="Material", help="FoxDot unpacked.")],
    workers: Annotated[int | None, typer.Option(help="Processes; all cores by default.")] = None,
) -> None:
    """Build the fixtures in WORK, curate them and write report/; a second call only does what is missing."""
    packages = {"sonic-pi": sonic_pi, "lmms": lmms, "scratch": scratch, "foxdot": foxdot}
    checks = {}
    for mode, hidden in MODES.items():
        fixture = work / ("tempo_hidden" if hidden else "tempo_in_names")
        if not fixture.exists():
            build(fixture, packages, hidden)
        made = curate(fixture, work / f"{fixture.name}_library", workers=workers)
        report.write(made)
        checks[mode] = check(made, hidden)
    metrics = {mode: {**c.shares, "undecided": c.undecided, "wrong": c.wrong} for mode, c in checks.items()}
    typer.echo(write(REPORT, "A folder of real loops, curated", blocks(checks), metrics).read_text("utf-8"))


if __name__ == "__main__":
    cli.run(main)
