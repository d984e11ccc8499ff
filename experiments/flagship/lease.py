"""Trains on a machine that is lent for minutes, has no network, and knows this project only by what is carried to it.

`train` and `compare` unpack what was carried, try each preset for seconds, train by the clock and bring back weights
and logs. They work in a session of their own, which outlives the shell that started them: `collect` waits for them and
brings back what there is, also of a training that has not ended. What follows `--` is for `fewshot-sep train`.

Python's own library alone is imported: this runs before anything is installed.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CANDIDATES = ("prompted", "prompted-fine", "attending")
MAX_BYTES = 16 * 2**20
"""Of a file that is brought back."""
SHIM = """#!/bin/sh
exec '{python}' -c 'import sys
from fewshot_sep import cli
from fewshot_sep.loops.cli import train
cli.run(train, "fewshot-sep train", sys.argv[2:])' "$@"
"""
"""`fewshot-sep`, for a machine on which the project is not installed; it can only train."""


def attempts(batch: int, compile_network: bool) -> list[list[str]]:
    """Options that are tried in turn until something runs: as asked, not compiled, half the batch, half again.

    >>> attempts(64, True)
    [['--batch', '64', '--compile'], ['--batch', '64'], ['--batch', '32'], ['--batch', '16']]
    """
    smaller = [["--batch", str(max(1, batch // part))] for part in (1, 2, 4)]
    return [[*smaller[0], "--compile"], *smaller] if compile_network else smaller


class Lease:
    """What happens on the lent machine, all of it in one folder.

    Args:
        place: folder to work in.
        carried: folder with the library's tar files and with wheels.
    """

    def __init__(self, place: Path, carried: Path) -> None:
        self.place, self.carried = place, carried
        self.library, self.runs, self.log = place / "library", place / "runs", place / "lease.log"
        self.ended = place / "ended"

    def say(self, text: str) -> None:
        with self.log.open("a") as file:
            print(f"{time.strftime('%H:%M:%S')} {text}", file=file)

    def prepare(self) -> None:
        """Unpack the library and install wheels, what was not before."""
        site, bin_, parts = (self.place / name for name in ("site", "bin", "unpacked"))
        for folder in (bin_, parts, self.library, self.runs):
            folder.mkdir(parents=True, exist_ok=True)
        wheels = sorted(map(str, self.carried.glob("*.whl")))
        if wheels and not site.exists():
            options = ["-q", "--no-index", "--no-deps", "--no-compile", "--target", str(site)]
            subprocess.run([sys.executable, "-m", "pip", "install", *options, *wheels], check=True)
        for part in sorted(self.carried.glob("*.tar")):
            if not (parts / part.name).exists():
                with tarfile.open(part) as tar:
                    tar.extractall(self.library, filter="data")
                (parts / part.name).touch()
        shim = bin_ / "fewshot-sep"
        shim.write_text(SHIM.format(python=sys.executable))
        shim.chmod(0o755)
        self.say(f"prepared: {len(wheels)} wheels, {len(list(parts.iterdir()))} parts of the library")

    def fit(self, run: Path, preset: str, minutes: float, limit: float, options: Sequence[str]) -> bool:
        """Whether training a preset in folder `run` ended well within so many seconds; resumes what is there."""
        run.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "MINUTES": f"{minutes:g}", "PYTHONUNBUFFERED": "1"}
        for name, first in (("PATH", self.place / "bin"), ("PYTHONPATH", f"{self.place / 'site'}:{ROOT}")):
            environment[name] = f"{first}:{os.environ.get(name, '')}"
        script = Path(__file__).with_name("train.sh")
        command = ["sh", str(script), str(self.library), str(run), "--preset", preset, *options]
        (run / "options.txt").write_text(" ".join([f"--minutes {minutes:g}", *options]))
        began = time.monotonic()
        with (run / "output.txt").open("a") as output:
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
            try:
                status = str(process.wait(limit))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                process.wait()
                status = "too slow"
        lines = (run / "output.txt").read_text(errors="replace").splitlines()
        took = f"{preset} {' '.join(options)}: {time.monotonic() - began:.0f} s for {60 * minutes:.0f} s"
        self.say(f"{took}, {'done' if status == '0' else f'failed ({status}): {lines[-1] if lines else None}'}")
        return status == "0"

    def work(self, presets: Sequence[str], options: argparse.Namespace) -> None:
        """Train presets one after another, each by what ran in its trial; a failure goes on with the next attempt."""
        try:
            self.prepare()
            for preset in presets:
                left = attempts(options.batch, options.compile)
                for trial, minutes in ((True, options.trial / 60), (False, options.minutes)):
                    limit = 60 * minutes + options.patience
                    while left:
                        run = self.place / f"trial-{preset}-{len(left)}" if trial else self.runs / preset
                        if self.fit(run, preset, minutes, limit, [*left[0], *options.more]):
                            break
                        del left[0]
        except Exception as error:
            self.say(f"failed: {error!r}")
            raise
        finally:
            self.ended.touch()

    def collect(self, out: Path, seconds: float) -> str:
        """Wait until the work has ended, at most so long, and copy weights, logs and curves; returns a table."""
        deadline = time.monotonic() + seconds
        while not self.ended.exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        out.mkdir(parents=True, exist_ok=True)
        rows = ["| preset | steps | examples/s | bf16 peak | waiting | loss | SI-SDRi |", "|---" * 7 + "|"]
        with tarfile.open(out / "logs.tar.gz", "w:gz") as logs:
            for run in sorted(self.runs.iterdir()) if self.runs.exists() else []:
                weights = run / "weights.safetensors"
                if not weights.exists() and (run / "checkpoints" / "last.ckpt").exists():
                    weights = self.exported(run)
                if weights.exists():
                    shutil.copy(weights, out / f"{run.name}.safetensors")
                    shutil.copy(weights.with_suffix(".json"), run / f"{run.name}.json")
                for pattern in ("*.json", "*.png", "*.txt", "log/*/metrics.csv"):
                    for file in run.glob(pattern):
                        logs.add(file, file.relative_to(self.runs))
                rows.append(summary(run))
            for file in (self.log, *self.place.glob("trial-*/output.txt")):
                logs.add(file, file.relative_to(self.place))
        ended = "ended" if self.ended.exists() else "has not ended: collect again"
        large = [file.name for file in out.iterdir() if file.stat().st_size > MAX_BYTES]
        text = "\n".join([self.log.read_text(), *rows, *(f"too large: {name}" for name in large), f"the work {ended}"])
        (out / "report.txt").write_text(text + "\n")
        return text

    def exported(self, run: Path) -> Path:
        """The averaged weights of a training's last checkpoint: a copy of the run that is told to end there."""
        copy, given = self.place / "exports" / run.name, (run / "options.txt").read_text().split()
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(run, copy)
        if self.fit(copy, run.name, 0.01, 120, ["--batch", "1", "--device", "cpu"]):
            path = copy / "weights.json"
            card = json.loads(path.read_text())
            # Of the training, not of this one that ended it.
            examples = card["steps"] * int(given[given.index("--batch") + 1])
            command = " ".join(["fewshot-sep train LIBRARY -o RUN --preset", run.name, *given])
            card |= {"examples": examples, "command": command, "ended early": True}
            path.write_text(json.dumps(card, indent=1))
        return copy / "weights.safetensors"


def summary(run: Path) -> str:
    """A line of the table: medians of the speeds, the last of the others."""
    columns: dict[str, list[float]] = {}
    for table in sorted(run.glob("log/*/metrics.csv"), key=lambda table: int(table.parent.name.rpartition("_")[2])):
        for row in csv.DictReader(table.read_text().splitlines()):
            for name, value in row.items():
                if value:
                    columns.setdefault(name, []).append(float(value))
    cells = [run.name, f"{max(columns.get('step', [-1])) + 1:.0f}"]
    for name, form in (("examples_per_s", ".0f"), ("share_of_bf16_peak", ".1%"), ("waiting_for_data", ".1%")):
        values = columns.get(f"speed/{name}")
        cells.append(format(statistics.median(values), form) if values else "-")
    for name in ("loss", "si_sdri_db"):
        values = columns.get(f"valid/{name}")
        cells.append(f"{values[-1]:.3f}" if values else "-")
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["prepare", "train", "compare", "collect"])
    parser.add_argument("presets", nargs="*", help=f"train: one; compare: {' '.join(CANDIDATES)}")
    parser.add_argument("--carried", type=Path, default=ROOT / ".carried", help="folder of tar files and wheels")
    parser.add_argument("--place", type=Path, default=Path("/tmp/lease"), help="folder to work in")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", "out")), help="what comes back; $OUT")
    parser.add_argument("--minutes", type=float, default=2.5, help="of each training")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    parser.add_argument("--trial", type=float, default=20, help="seconds of the trial before a training")
    parser.add_argument(
        "--patience", type=float, default=90, help="seconds that loading, compiling and ending may take"
    )
    parser.add_argument("--wait", type=float, default=560, help="seconds after which is brought back what there is")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    given = list(sys.argv[1:] if arguments is None else arguments)
    end = given.index("--") if "--" in given else len(given)
    options = parser.parse_args(given[:end], argparse.Namespace(more=given[end + 1 :]))
    lease = Lease(options.place, options.carried)
    options.place.mkdir(parents=True, exist_ok=True)
    presets = options.presets or (CANDIDATES if options.what == "compare" else ["prompted"])
    if options.what == "prepare":
        lease.prepare()
        return
    if options.work:
        lease.work(presets, options)
        return
    if options.what != "collect":
        lease.ended.unlink(missing_ok=True)
        lease.say(" ".join(given))
        command = [sys.executable, __file__, "--work", *given]
        with (options.place / "work.txt").open("a") as output:
            subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)  # it outlives this process
    print(lease.collect(options.out, options.wait))


if __name__ == "__main__":
    main()
