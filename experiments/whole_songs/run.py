"""What the way of a song does to the sound: bars, tempo, boundaries, length, queries, measured on songs with known stems.

`python -m fewshot_sep.experiments.whole_songs.run SONGS [--items ITEMS]`: SONGS is a folder of Frets on Fire songs (each a folder with
guitar.ogg, song.ogg and notes.mid), ITEMS a folder with items.json. What is measured is kept in metrics.json at once;
a run that was stopped goes on with what is missing.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fewshot_sep import Separator, audio
from fewshot_sep.experiments.kit import cost
from fewshot_sep.experiments.whole_songs import figures, material, measures, report
from fewshot_sep.experiments.whole_songs.methods import OURS, WAYS

REPORT = Path(__file__).parent / "report"
PROFILED = ("plain", "thesis", OURS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", type=Path, help="folder of Frets on Fire songs")
    parser.add_argument("--items", type=Path, help="folder with items.json, for the table")
    parser.add_argument("--hours", type=float, default=3.0, help="of the long song; 0: leave it out")
    parser.add_argument("-o", "--output", type=Path, default=REPORT)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    folders = sorted(path.parent for path in arguments.songs.rglob("notes.mid"))
    if not folders:
        parser.error(f"{arguments.songs}: holds no notes.mid")
    metrics = _Metrics(arguments.output / "metrics.json")
    model = Separator.from_pretrained()

    def songs() -> list[material.Case]:
        return [material.frets_on_fire(folder) for folder in folders]

    metrics.need("songs", lambda: measures.compare(model, songs()))
    if arguments.items:
        metrics.need("items", lambda: measures.compare(model, material.items(arguments.items), tell=lambda _: None))
    metrics.need("beats", lambda: _beats(folders))
    metrics.need("shifts", lambda: _shifts(model, folders))
    metrics.need("boundaries", lambda: _joins(songs()))
    metrics.need("profiles", lambda: _profiles(model, songs()))
    metrics.need("queries", lambda: {case.song: measures.queries(model, case) for case in songs()})
    if arguments.items:
        metrics.need("not", lambda: measures.held_back(model, material.items(arguments.items)))
        metrics.need("crowds", lambda: measures.crowds(model, *material.crowds(arguments.items)))
    metrics.need("memory, 4 minutes", lambda: _process(_longest(songs()), 4 / 60))
    if arguments.hours:
        name = f"memory, {arguments.hours:g} hours"
        metrics.need(name, lambda: _process(_longest(songs()), arguments.hours))
    figures.draw(metrics.all, arguments.output)
    (arguments.output / "report.md").write_text(report.markdown(metrics.all), encoding="utf-8")
    print(arguments.output / "report.md")


class _Metrics:
    """Parts of metrics.json, each measured once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.all: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def need(self, name: str, measure: Callable[[], Any]) -> None:
        if name not in self.all:
            print(f"measuring: {name}", flush=True)
            self.all[name] = _rounded(measure())
            self.path.write_text(json.dumps(self.all, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


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
        found, spent = measures.track(case, {})
        duration = case.mixture.shape[1] / case.rate
        figures_of_song = measures.beat_figures(found, material.chart(folder), duration)
        results[case.song] = {
            **figures_of_song,
            "confidence": found.confidence,
            "seconds per minute": spent / duration * 60,
        }
    return results


def _shifts(model: Any, folders: list[Path]) -> dict[str, Any]:
    return {
        folder.name: {
            way: measures.shifts(model, material.frets_on_fire(folder), 60 / material.chart(folder).bpm, way)
            for way in ("thesis", OURS)
        }
        for folder in folders
    }


def _joins(cases: list[material.Case]) -> dict[str, Any]:
    results = {}
    for case in cases:
        part = measures.excerpt(case, *measures.EXCERPT)
        found, _ = measures.track(part, {})
        results[case.song] = {way: measures.join_snr(part, way, found) for way in WAYS if way != "plain"}
    return results


def _profiles(model: Any, cases: list[material.Case]) -> dict[str, Any]:
    results: dict[str, dict[str, Any]] = {}
    for case in cases:
        found, _ = measures.track(case, {})
        results[case.song] = {"meter": found.meter}
        for name in PROFILED:
            target, _ = measures.separate(WAYS[name].separator(model), case, WAYS[name].grid, found)
            results[case.song][name] = measures.bar_profile(case, target, found)
        results[case.song]["truth"] = measures.bar_profile(case, case.reference, found)
    return results


def _longest(cases: list[material.Case]) -> material.Case:
    return max(cases, key=lambda case: case.mixture.shape[1])


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
    main()
