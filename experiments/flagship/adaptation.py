"""What a few seconds of adapting to query and song give: python -m experiments.flagship.adaptation ITEMS -o FOLDER

How: see `fewshot_sep.adapt`.
"""

from __future__ import annotations

import argparse
import json
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.benchmark import document, items, stats, tables
from experiments.benchmark.conditions import Sounds
from experiments.benchmark.items import Item
from experiments.benchmark.methods import Case
from fewshot_sep import Separator, metrics
from fewshot_sep.adapt import Tuning
from loops.library import is_held_out

REPORT = Path(__file__).parent / "report"
SEARCHED = 3  # the settings of `fewshot_sep.adapt` were searched on every third item; those come last

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("items", type=Path, help="folder with items.json, see experiments/benchmark")
    parser.add_argument(
        "-o", "--output", type=Path, default=REPORT, help="folder for adaptation.md and adaptation.json"
    )
    parser.add_argument("--seconds", type=float, nargs="+", default=[0, 5, 20], help="of processor time to adapt")
    parser.add_argument("--weights", type=Path, help="other weights than the bundled ones")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if min(arguments.seconds) < 0:
        parser.error("--seconds: give numbers of 0 or more")
    torch.set_num_threads(arguments.threads)
    separator = Separator.from_pretrained(arguments.weights, "cpu")
    listed = items.read(arguments.items)
    settings = {"weights": separator.digest, "items": arguments.items.resolve().name, "threads": arguments.threads}
    settings |= {"seconds": sorted({0.0, *arguments.seconds}), "searched on": f"one item in {SEARCHED}"}
    rows = done(arguments.output, settings)
    sounds = Sounds(arguments.items)
    numbers = {item.id: number for number, item in enumerate(listed)}
    todo = [item for item in listed if all(row["id"] != item.id for row in rows)]
    todo.sort(key=lambda item: (numbers[item.id] % SEARCHED == 0, zlib.crc32(item.id.encode())))
    for left, item in zip(range(len(todo) - 1, -1, -1), todo, strict=True):
        searched = numbers[item.id] % SEARCHED == 0
        rows += measure(separator, item, sounds.case(item), settings["seconds"], searched)
        write(arguments.output, settings, sorted(rows, key=lambda row: numbers[row["id"]]))
        print(f"{item.id}, {left} to go", flush=True)


def done(folder: Path, settings: Row) -> list[Row]:
    """The rows of an earlier call with the same settings, so that a stopped one goes on."""
    path = folder / "adaptation.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found["rows"] if found.get("settings") == settings else []


def measure(
    separator: Separator, item: Item, case: Case, budgets: Sequence[float], searched: bool = False
) -> list[Row]:
    """A row for each budget in seconds of processor time, in rising order, of one adaptation that goes on.

    The first estimate and the making of tasks are in the time, the last estimate is not.
    """
    facts = {"id": item.id, "kind": item.kind, "song": item.song, "target": item.target, "searched": searched}
    facts |= {"seen": item.seen if item.seen is not None else not is_held_out(item.target)}
    started = time.process_time()
    plain = separator.condition(case.queries, case.sample_rate)
    seed = zlib.crc32(item.id.encode())
    tuning = Tuning(separator, case.mixture, plain, case.queries, case.sample_rate, seed)
    spent = time.process_time() - started
    rows: list[Row] = []
    for budget in budgets:
        while spent < budget:
            started = time.process_time()
            tuning.step()
            spent += time.process_time() - started
        row = facts | {"budget": budget, "seconds": round(spent, 2), "steps": len(tuning.losses)}
        row |= dict(zip(("loss_before", "loss_after"), tuning.ends(), strict=True))
        found = separator.estimate(case.mixture, tuning.conditioning, case.sample_rate)
        row["level"] = metrics.level_db(found, case.mixture)
        if case.reference is not None:
            mixture, estimate = (metrics.si_sdr(case.reference, sound) for sound in (case.mixture, found))
            row["si_sdri"] = estimate - mixture
        rows.append({name: round(float(v), 4) if isinstance(v, float) else v for name, v in row.items()})
    return rows


def write(folder: Path, settings: Row, rows: Sequence[Row]) -> None:
    """The rows as `adaptation.json`, what they say as `adaptation.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
    text = f'{{"settings": {json.dumps(settings)},\n "rows": [\n{lines}\n]}}\n'
    (folder / "adaptation.json").write_text(text, encoding="utf-8")
    (folder / "adaptation.md").write_text(document.markdown(blocks(rows)), encoding="utf-8")


def blocks(rows: Sequence[Row]) -> list[document.Block]:
    """The report: what each budget changes, by kind of item and by whether training knew the instrument."""
    present = [row for row in rows if "si_sdri" in row]
    groups = {
        "same and cross": present,
        "of these, not searched on": [row for row in present if not row["searched"]],
        "same": [row for row in present if row["kind"] == "same"],
        "cross": [row for row in present if row["kind"] == "cross"],
        "seen": [row for row in present if row["seen"]],
        "unseen": [row for row in present if not row["seen"]],
    }
    absent = [row for row in rows if row["kind"] == "absent"]
    head = ["items", "s", "steps", "n", "median", "mean", "gain, median", "gain, mean", "better", "worst", "best"]
    return [
        document.Heading("Adapting to query and song", 1),
        document.Text(
            "Improvement in SI-SDR over the mixture and what adapting for some seconds of one core adds to it, in dB; "
            "in brackets 95 % intervals by songs. The settings were searched on every third item."
        ),
        document.Table(head, [line for name, group in groups.items() for line in _lines(name, group, "si_sdri")]),
        document.Text("Instrument not in the song: level of the output re the mixture; a negative gain is better."),
        document.Table(head, _lines("absent", absent, "level")),
        document.Text("Made by `python -m experiments.flagship.adaptation`; the rows are in `adaptation.json`."),
    ]


def _lines(name: str, rows: Sequence[Row], figure: str) -> list[list[str]]:
    """A line for each budget, compared with the same items at budget 0."""
    before = {row["id"]: row[figure] for row in rows if row["budget"] == 0}
    lines = []
    for budget in sorted({row["budget"] for row in rows}):
        chosen = [row for row in rows if row["budget"] == budget]
        after, songs = [row[figure] for row in chosen], [row["song"] for row in chosen]
        steps = f"{np.median([row['steps'] for row in chosen]):.0f}"
        line = [name, f"{budget:g}", steps, str(len(chosen)), f"{np.median(after):.2f}", f"{np.mean(after):.2f}"]
        if budget:
            found = stats.compare(after, [before[row["id"]] for row in chosen], songs)
            gains = np.subtract(after, [before[row["id"]] for row in chosen])
            better = np.mean(gains < 0) if figure == "level" else np.mean(gains > 0)
            ends = sorted((gains.min(), gains.max()), reverse=figure == "level")
            line += [_interval(found.median), _interval(found.mean), tables.percent(float(better))]
            line += [f"{end:+.2f}" for end in ends]
        lines.append(line + [""] * (11 - len(line)))
    return lines


def _interval(found: stats.Interval) -> str:
    return f"{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


if __name__ == "__main__":
    main()
