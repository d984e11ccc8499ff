"""Curates a messy folder of real loops twice, tempi in the names and without them, and checks it against `truth.csv`.

    python -m fewshot_sep.experiments.curation.run WORK --sonic-pi DIR --lmms DIR --scratch DIR --foxdot DIR

builds the folders in WORK, curates them (a second call only does what is missing) and writes `report/`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from fewshot_sep.experiments.curation.make_fixture import build, truth
from fewshot_sep.loops.curation import report
from fewshot_sep.loops.curation.curate import Curated, curate
from fewshot_sep.loops.curation.decide import Decision

REPORT = Path(__file__).with_name("report")
PACKAGES = ("sonic-pi", "lmms", "scratch", "foxdot")
NEAR = 0.04


def right_tempo(found: float, true: float) -> bool:
    """Whether a tempo is within 4 % of the true one, or of its double or half.

    >>> right_tempo(90, 180), right_tempo(124, 120), right_tempo(120, 180)
    (True, True, False)
    """
    return found > 0 and any(abs(found * octave / true - 1) <= NEAR for octave in (0.5, 1, 2))


def judge(made: Curated, hidden: bool) -> dict[str, object]:
    """Shares of right decisions, and each wrong one, by name."""
    key = "hidden_path" if hidden else "path"
    found = {decision.path: decision for decision in made.decisions}
    rows = [(row, found[row[key]]) for row in truth()]
    loops = [(row, decision) for row, decision in rows if row["expected"] != "rejected"]
    named = [(row, d) for row, d in loops if row["tempo_in_name"]]
    tempo = [(right_tempo(d.bpm, float(row["bpm"])), row, d) for row, d in named]
    kept = [right_tempo(d.bpm, float(row["bpm"])) for row, d in loops if row["bpm"] and d.status == "kept"]
    return {
        "files": len(rows),
        "real_loops": len(loops),
        "tempo_in_name": _share([good for good, _, _ in tempo]),
        "tempo_of_kept_loops": _share(kept),
        "instrument": _share([d.instrument == row["instrument"] for row, d in loops]),
        "kept_or_rejected": _share([_status_right(row, d, key, found) for row, d in rows]),
        "undecided": sum(d.status == "undecided" for _, d in loops),
        "wrong": [f"tempo: {d.path}: {d.bpm:g}, true {row['bpm']} ({d.status})" for good, row, d in tempo if not good]
        + [f"status: {d.path}: {d.status} {d.reason}" for row, d in rows if not _status_right(row, d, key, found)]
        + [
            f"instrument: {d.path}: {d.instrument or 'none'}, true {row['instrument'] or 'none'}"
            for row, d in loops
            if d.instrument != row["instrument"]
        ],
    }


def _share(right: list[bool]) -> dict[str, float]:
    return {"right": sum(right), "of": len(right), "share": round(sum(right) / max(1, len(right)), 3)}


def _status_right(row: dict[str, str], decision: Decision, key: str, found: dict[str, Decision]) -> bool:
    """Whether a file was rightly kept off or let through; of two duplicates either may stay, but only one."""
    twins = [other for other in truth() if other["original"] == row["original"] and other is not row]
    twins = [
        other for other in twins if "duplicate" in (other["reason"], row["reason"]) and other["path"] != row["path"]
    ]
    chosen = decision.reason.removeprefix("duplicate of ")
    if row["reason"] == "duplicate":
        if decision.status == "rejected":
            return "duplicate" in decision.reason
        return any(found[other[key]].reason == f"duplicate of {decision.path}" for other in twins)
    if decision.status == "rejected" and row["expected"] != "rejected":
        return chosen in [other[key] for other in twins]
    return (decision.status == "rejected") == (row["expected"] == "rejected")


def _table(results: dict[str, dict[str, object]]) -> str:
    lines = [
        "# A messy folder of real loops, curated",
        "",
        "| | tempo in the names | tempo hidden, so tracked |",
        "|---|---|---|",
    ]
    for name, label in (
        ("tempo_in_name", f"tempo within {NEAR:.0%} or its octave, of loops with a tempo in their name"),
        ("tempo_of_kept_loops", "the same, of loops that were kept and whose tempo is known"),
        ("instrument", "instrument right (or rightly none)"),
        ("kept_or_rejected", "rightly rejected, rightly not rejected"),
    ):
        cells = [result[name] for result in results.values()]
        lines.append(f"| {label} | " + " | ".join(f"{c['right']} of {c['of']}: {c['share']:.1%}" for c in cells) + " |")  # type: ignore[index]
    lines.append("| loops left to the user | " + " | ".join(str(r["undecided"]) for r in results.values()) + " |")
    for mode, result in results.items():
        lines += ["", f"## Wrong, {mode}", ""] + [f"- {line}" for line in result["wrong"] or ["nothing"]]  # type: ignore[attr-defined]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--workers", type=int)
    for package in PACKAGES:
        parser.add_argument(f"--{package}", type=Path, required=True)
    arguments = parser.parse_args()
    packages = {package: getattr(arguments, package.replace("-", "_")) for package in PACKAGES}
    results = {}
    for mode, hidden in (("messy", False), ("hidden", True)):
        if not (arguments.work / mode).exists():
            build(arguments.work / mode, packages, hidden)
        made = curate(arguments.work / mode, arguments.work / f"{mode}_library", workers=arguments.workers)
        report.write(made)
        results["tempo in the names" if not hidden else "tempo hidden"] = judge(made, hidden)
    REPORT.mkdir(exist_ok=True)
    (REPORT / "metrics.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (REPORT / "report.md").write_text(_table(results), encoding="utf-8")
    print(_table(results))


if __name__ == "__main__":
    main()
