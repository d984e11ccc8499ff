"""What the command costs on a machine with other work: threads that wait asleep against threads that spin."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import typer

from fewshot_sep.experiments.kit import cost
from fewshot_sep.experiments.kit.document import Table, markdown
from fewshot_sep.experiments.kit.tables import number
from fewshot_sep.experiments.speed.run import DATA, repeat

SECONDS = 4.0
LOOPS = (0, 2)
WAYS = {
    "as it is": ("from fewshot_sep import cli; cli.main()", []),
    "one thread": ("from fewshot_sep import cli; cli.main()", ["--threads", "1"]),
    "PyTorch's own wait policy": ("from fewshot_sep import cli; cli.PASSIVE.clear(); cli.main()", []),
}
"""Programs and further options."""


def main() -> None:
    """Time `fewshot-sep separate` on four seconds, beside no and two busy loops, start-up included.

    Example:
      python -m fewshot_sep.experiments.speed.busy
    """
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        song = Path(folder) / "song.wav"
        repeat(song, SECONDS)
        for loops in LOOPS:
            for way in WAYS:
                with busy(loops):
                    wall, cpu = cost.clock(lambda way=way: command(way, song, Path(folder)))
                lines.append([str(loops), way, number(wall), number(cpu)])
    typer.echo(markdown([Table(["busy loops beside it", "threads", "seconds", "seconds of CPU"], lines)]))


def command(way: str, song: Path, folder: Path) -> None:
    """Separate the song in a process of its own, free of what this environment says of threads."""
    code, options = WAYS[way]
    query = str(DATA / "query.ogg")
    given = ["separate", str(song), "--query", query, "--grid", "none", "-o", str(folder / "out"), *options]
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


if __name__ == "__main__":
    from fewshot_sep.cli import run

    run(main)
