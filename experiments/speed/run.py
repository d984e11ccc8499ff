"""How fast everything is on a CPU: the command on a song, the network beside peers, the mixing of tasks."""

from __future__ import annotations

import json
import os
import platform
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

REPORT = Path(__file__).parent / "report"
CORES = os.cpu_count() or 1
OTHER_RUNTIMES = (
    "Other runtimes of the network were measured and given up. ONNX Runtime made the whole separation 1.22 times "
    "faster on one thread and 0.99 times on two, bfloat16 1.16 and 1.12 times with errors of 2e-3. Channels last and "
    "folded batch normalisation gained at most a tenth. See `experiments/flagship/HISTORY.md`."
)


class Part(StrEnum):
    """What can be measured."""

    SONG, PEERS, MIXING, FARM = "song", "peers", "mixing", "farm"


def speed(
    part: Annotated[
        Part, typer.Argument(help="The whole command; models beside each other; mixing of tasks; many songs.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the report.")] = REPORT,
    song: Annotated[
        Path | None, typer.Option(help="Instead of three minutes of the bundled excerpt.", rich_help_panel="song")
    ] = None,
    query: Annotated[Path | None, typer.Option(help="Instead of the bundled clip.", rich_help_panel="song")] = None,
    seconds: Annotated[float, typer.Option(min=10, help="Length of the excerpt.", rich_help_panel="peers")] = 30,
    rounds: Annotated[int, typer.Option(min=1, help="Each model's turns.", rich_help_panel="peers")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="Of PyTorch.", rich_help_panel="peers")] = CORES,
    library: Annotated[
        Path | None, typer.Option(help="Instead of 12 songs of synthetic instruments.", rich_help_panel="mixing")
    ] = None,
    preset: Annotated[str, typer.Option(help="The default preset if empty.", rich_help_panel="mixing")] = "",
    steps: Annotated[
        int, typer.Option(min=50, help="Of the training; a multiple of 50.", rich_help_panel="mixing")
    ] = 100,
    songs: Annotated[int, typer.Option(min=2, help="How many, each of --seconds.", rich_help_panel="farm")] = 4,
) -> None:
    """Measure one part and put it into the report; the other parts of the report stay.

    Example:
      python -m fewshot_sep.experiments.speed.run peers --seconds 20 --rounds 2
    """
    from fewshot_sep import presets
    from fewshot_sep.experiments.kit import excerpt
    from fewshot_sep.experiments.speed import farm, mixing, peers
    from fewshot_sep.experiments.speed import song as command

    match part:
        case Part.SONG:
            found = command.measure(song, query or excerpt.QUERY)
        case Part.PEERS:
            found = peers.measure(seconds, rounds, threads)
        case Part.MIXING:
            found = mixing.measure(library, preset or presets.DEFAULT, steps)
        case Part.FARM:
            found = farm.measure(songs, seconds, query or excerpt.QUERY)
    typer.echo(write(output, part, found | {"system": platform.platform(), "cores": CORES}))


def write(folder: Path, part: Part, found: dict[str, Any]) -> Path:
    """Put a part in place of the one before and write the report; returns the report's path."""
    from fewshot_sep.experiments.kit import document
    from fewshot_sep.experiments.speed import farm, mixing, peers, song

    path = folder / "metrics.json"
    parts = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    parts[part.value] = found
    blocks: list[document.Block] = []
    for name, section in ((Part.SONG, song), (Part.PEERS, peers), (Part.MIXING, mixing), (Part.FARM, farm)):
        if name.value in parts:
            blocks += section.blocks(parts[name.value])
            blocks.append(document.Text(f"Made by `python -m fewshot_sep.experiments.speed.run {name.value}`."))
    return document.write(folder, "Speed on a CPU", [*blocks, document.Text(OTHER_RUNTIMES)], parts)


if __name__ == "__main__":
    from fewshot_sep.cli import run

    run(speed)
