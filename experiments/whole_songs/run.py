"""What bars, tempo, boundaries, length and the choice of query do to whole songs with known stems."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from fewshot_sep import Separator, audio, cli, extras, files
from fewshot_sep.errors import BadItems
from fewshot_sep.experiments.kit import cost
from fewshot_sep.experiments.whole_songs import material, measures, report
from fewshot_sep.experiments.whole_songs.settings import DEFAULT, EXCERPT_S, METHODS, OLD_KEYS, PROFILED

REPORT = Path(__file__).parent / "report"


def whole_songs(
    songs: Annotated[Path, typer.Argument(help="Folder of Frets on Fire songs.")],
    items: Annotated[Path | None, typer.Option(help="Folder with items.json, for the parts on items.")] = None,
    hours: Annotated[float, typer.Option(min=0, help="Length of the long song; 0 leaves it out.")] = 3.0,
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            help="Folder of report and metrics.json.",
            show_default="this experiment's report",
            rich_help_panel="output",
        ),
    ] = REPORT,
) -> None:
    """Measure whole songs: each of SONGS has guitar.ogg, song.ogg and notes.mid.

    What is measured is kept in metrics.json at once; a run that was stopped resumes with what is missing.

    Example:
    python -m fewshot_sep.experiments.whole_songs.run SONGS --items ITEMS -o report
    """
    extras.require("render", "pretty_midi")
    folders = sorted(path.parent for path in songs.rglob("notes.mid"))
    if not folders:
        raise BadItems(f"{songs}: holds no notes.mid; give a folder of Frets on Fire songs")
    metrics, model = Metrics(output / "metrics.json"), Separator.from_pretrained()

    def cases() -> list[material.Case]:
        return [material.frets_on_fire(folder) for folder in folders]

    def longest() -> material.Case:
        return max(cases(), key=lambda case: case.mixture.shape[1])

    metrics.need("songs", lambda: measures.compare(model, cases()))
    if items:
        metrics.need("items", lambda: measures.compare(model, material.items(items), tell=lambda _: None))
    metrics.need("beats", lambda: _beats(folders))
    metrics.need("shifts", lambda: _shifts(model, folders))
    metrics.need("boundaries", lambda: _boundaries(cases()))
    metrics.need("profiles", lambda: _profiles(model, cases()))
    metrics.need("queries", lambda: {case.song: measures.queries(model, case) for case in cases()})
    if items:
        metrics.need("negative query", lambda: measures.negative_queries(model, material.items(items)))
        metrics.need(
            "several instruments", lambda: measures.several_instruments(model, *material.single_and_several(items))
        )
    metrics.need("memory, 4 minutes", lambda: _process(longest(), 4 / 60))
    if hours:
        metrics.need(f"memory, {hours:g} hours", lambda: _process(longest(), hours))
    typer.echo(report.write(output, metrics.all))


class Metrics:
    """Parts of metrics.json, each measured once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.all: dict[str, Any] = current(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}

    def need(self, name: str, measure: Callable[[], Any]) -> None:
        if name not in self.all:
            typer.echo(f"measuring: {name}")
            self.all[name] = _rounded(measure())
            files.write_json(self.path, self.all, indent=1)


def current(value: Any) -> Any:
    """Metrics of any age by their names of now.

    >>> current({"songs": [{"way": "plain", "gain": 1.0}]})
    {'songs': [{'method': 'plain', 'si_sdri': 1.0}]}
    """
    if isinstance(value, dict):
        return {OLD_KEYS.get(name, name): current(each) for name, each in value.items()}
    return [current(each) for each in value] if isinstance(value, list) else value


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _rounded(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_rounded(each) for each in value]
    return round(float(value), 4) if isinstance(value, (float, np.floating)) else value


def _beats(folders: list[Path]) -> dict[str, Any]:
    results = {}
    for folder in folders:
        case = material.frets_on_fire(folder)
        found, spent = measures.track(case)
        duration = case.mixture.shape[1] / case.rate
        figures = measures.beat_figures(found, material.chart(folder), duration)
        results[case.song] = figures | {"confidence": found.confidence, "seconds per minute": spent / duration * 60}
    return results


def _shifts(model: Separator, folders: list[Path]) -> dict[str, Any]:
    results = {}
    for folder in folders:
        case, period = material.frets_on_fire(folder), 60 / material.chart(folder).bpm
        results[case.song] = {name: measures.shifts(model, case, period, name) for name in ("thesis", DEFAULT)}
    return results


def _boundaries(cases: list[material.Case]) -> dict[str, Any]:
    results = {}
    for case in cases:
        part = measures.excerpt(case, *EXCERPT_S)
        found, _ = measures.track(part)
        results[case.song] = {name: measures.boundary_snr(part, name, found) for name in METHODS if name != "plain"}
    return results


def _profiles(model: Separator, cases: list[material.Case]) -> dict[str, Any]:
    results: dict[str, dict[str, Any]] = {}
    for case in cases:
        found, _ = measures.track(case)
        targets = {name: measures.separate(model, name, case, found)[0] for name in PROFILED}
        targets["truth"] = case.reference
        profiles = {name: measures.bar_profile(case, target, found) for name, target in targets.items()}
        results[case.song] = {"meter": found.meter, **profiles}
    return results


def _process(case: material.Case, hours: float) -> dict[str, Any]:
    """Peak memory and time of the whole command on a song repeated to a length."""
    with tempfile.TemporaryDirectory() as folder:
        song, query = Path(folder) / "song.flac", Path(folder) / "query.wav"
        frames = round(hours * 3600 * case.rate)
        with audio.AudioWriter(song, case.rate, 2, frames) as writer:
            for start in range(0, frames, case.mixture.shape[1]):
                writer.write(case.mixture[:, : frames - start].clip(-1, 1))
        audio.write(query, *case.queries[0])
        return cost.of_command(song, query, "auto", Path(folder))


if __name__ == "__main__":
    cli.run(whole_songs)
