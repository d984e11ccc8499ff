"""What bars and tempo do to whole songs with known stems, in sound and in time; and how well beats are found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fewshot_sep import Separator, cli
from fewshot_sep.errors import BadItems
from fewshot_sep.experiments.kit.resume import measured_once
from fewshot_sep.experiments.whole_songs import material, measures, report


def whole_songs(
    songs: Annotated[Path, typer.Argument(help="Folder of Frets on Fire songs.")],
    items: Annotated[Path | None, typer.Option(help="Folder with items.json: more targets.")] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder of the run; resumed.", rich_help_panel="output")
    ] = Path("out/whole_songs"),
) -> None:
    """Measure whole songs: each of SONGS has guitar.ogg, song.ogg and notes.mid.

    Example:
    python -m fewshot_sep.experiments.whole_songs.run SONGS --items ITEMS
    """
    folders = sorted(path.parent for path in songs.rglob("notes.mid"))
    if not folders:
        raise BadItems(f"{songs}: holds no notes.mid; give a folder of Frets on Fire songs")
    model = Separator.from_pretrained()
    parts = {
        "songs": lambda: measures.compare(model, map(material.frets_on_fire, folders)),
        "items": lambda: measures.compare(model, material.items(items) if items else []),
        "beats": lambda: _beats(folders),
    }
    measured = {name: measured_once(output / "measured" / f"{name}.json", work) for name, work in parts.items()}
    typer.echo(report.write(output, measured))


def _beats(folders: list[Path]) -> dict[str, Any]:
    results = {}
    for folder in folders:
        case = material.frets_on_fire(folder)
        found, spent = measures.track(case)
        duration = case.mixture.shape[1] / case.rate
        figures = measures.beat_figures(found, material.chart_bpm(folder), duration)
        results[case.song] = figures | {
            "confidence": float(found.confidence),
            "seconds per minute": spent / duration * 60,
        }
    return results


if __name__ == "__main__":
    cli.run(whole_songs)
