"""What the command costs on a machine with other work: threads that wait asleep against threads that spin."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fewshot_sep import audio
from fewshot_sep.experiments.kit import cost, excerpt
from fewshot_sep.experiments.kit.document import Block, Heading, Table, Text
from fewshot_sep.experiments.kit.tables import number

SECONDS = 4.0
LOOPS = (0, 2)
WAYS = {
    "as it is": ("from fewshot_sep import cli; cli.main()", []),
    "one thread": ("from fewshot_sep import cli; cli.main()", ["--threads", "1"]),
    "PyTorch's own wait policy": ("from fewshot_sep import cli; cli.PASSIVE.clear(); cli.main()", []),
}
"""Programs and further options."""


def measure(query: Path) -> dict[str, Any]:
    """A row for each number of busy loops and each way; of the bundled excerpt's beginning."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        song = Path(folder) / "song.wav"
        audio.write(song, *excerpt.song(SECONDS))
        for loops in LOOPS:
            for way in WAYS:
                with busy(loops):
                    wall, cpu = cost.clock(lambda way=way: _command(way, song, query, Path(folder)))
                rows.append({"loops": loops, "way": way, "wall_s": wall, "cpu_s": cpu})
    return {"rows": rows, "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None}


def _command(way: str, song: Path, query: Path, folder: Path) -> None:
    code, options = WAYS[way]
    given = ["separate", str(song), "--query", str(query), "--grid", "none", "-o", str(folder / "out"), *options]
    free = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    subprocess.run([sys.executable, "-c", code, *given], check=True, stdout=subprocess.DEVNULL, env=free)


@contextlib.contextmanager
def busy(loops: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """So many processes that do nothing but take a core, until the block ends."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield running
    finally:
        for process in running:
            process.kill()
            process.wait()


def blocks(part: dict[str, Any]) -> list[Block]:
    """The section of the report."""
    lines = [[str(row["loops"]), row["way"], number(row["wall_s"]), number(row["cpu_s"])] for row in part["rows"]]
    load = part["load_before"]
    beside = (
        "" if load is None else f" The load average was {number(load)} before: read that as other work beside all rows."
    )
    return [
        Heading("On a busy machine"),
        Text(
            f"`fewshot-sep separate --grid none` on {SECONDS:g} s of stereo, start-up included, "
            f"{part['cores']} cores ({part['system']}), one run each.{beside} Seconds of CPU are what counts: "
            "threads that spin while they wait take them from whatever else runs."
        ),
        Table(["busy loops beside it", "threads", "seconds", "seconds of CPU"], lines),
    ]
