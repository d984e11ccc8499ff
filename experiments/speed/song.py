"""The whole command on a song, in a process of its own: with and without bars."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from fewshot_sep import audio
from fewshot_sep.experiments.kit import cost, excerpt
from fewshot_sep.experiments.kit.document import Block, Heading, Table, Text
from fewshot_sep.experiments.kit.tables import number

SECONDS = 180.0


def measure(song: Path | None, query: Path) -> dict[str, Any]:
    """A row for each grid, by its name; of the bundled excerpt repeated to three minutes where no song is given."""
    with tempfile.TemporaryDirectory() as folder:
        if song is None:
            song = Path(folder) / "song.wav"
            audio.write(song, *excerpt.song(SECONDS))
        return {"rows": {grid: cost.of_command(song, query, grid, Path(folder)) for grid in ("none", "auto")}}


def blocks(part: dict[str, Any]) -> list[Block]:
    """The section of the report."""
    rows: dict[str, dict[str, Any]] = part["rows"]
    columns = (*cost.STAGES, "total", "process")
    lines = [
        [grid, row["grid"], *(number(row[name], 3) for name in columns), number(row["peak_mib"], 0)]
        for grid, row in rows.items()
    ]
    seconds = next(iter(rows.values()))["audio_s"]
    return [
        Heading("The whole command"),
        Text(
            f"`fewshot-sep separate` on {seconds:.0f} s of stereo at 44.1 kHz, {part['cores']} cores "
            f"({part['system']}), one run. Seconds per second of audio; `total` is the command's own figure, `process` "
            "includes its start-up."
        ),
        Table(["`--grid`", "bars", *columns, "peak memory (MiB)"], lines),
    ]
