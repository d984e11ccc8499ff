"""The report of a song as it stands in report.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fewshot_sep.prediction import Prediction
from fewshot_sep.prompt import ByRole
from fewshot_sep.songs.expectation import absence, failure, sentence, wanted
from fewshot_sep.songs.grid import BarGrid
from fewshot_sep.songs.monitor import Monitor
from fewshot_sep.songs.queries import EncodedClip

IMPROVEMENT = "expected SI-SDR improvement (dB)"


def of(monitor: Monitor, settings: Mapping[str, object], model: Mapping[str, object], **more: object) -> dict[str, Any]:
    """The report as it stands in report.json; `more` goes first (song, queries, ...)."""
    warnings = list(monitor.warnings)
    level = monitor.level_db
    absent, failed = absence(level, monitor.prediction), failure(monitor.prediction)
    if monitor.energies[0] == 0:
        warnings.append("the song is silent")
    elif said := absent or failed:
        warnings.append(said)
    duration = monitor.frames / monitor.sample_rate
    total = monitor.seconds.get("total", 0.0)
    return {
        **more,
        "duration (s)": round(duration, 3),
        "sample rate (Hz)": monitor.sample_rate,
        "samples": monitor.frames,
        "settings": settings,
        "model": model,
        "warnings": warnings,
        "target level re mixture (dB)": None if level is None else round(level, 2),
        **_expected(monitor.prediction, bool(absent)),
        "grid": None if monitor.grid is None else _grid(monitor.grid),
        "boundaries": monitor.boundaries(),
        "seconds": {name: round(spent, 3) for name, spent in monitor.seconds.items()},
        "seconds per second of audio": round(total / duration, 4) if duration else None,
    }


def _expected(prediction: Prediction | None, absent: bool) -> dict[str, Any]:
    """What is expected of an instrument that seems to be in the song, if its weights can tell."""
    if not prediction:
        return {IMPROVEMENT: None, "expectation": "not known: nothing was found, or these weights cannot tell"}
    low, median, high = (round(value, 1) for value in prediction[2:5])
    return {
        IMPROVEMENT: None if absent else {"median": median, "from": low, "to": high},
        "expectation": "none, as the instrument does not seem to be there" if absent else sentence(prediction),
        "instrument in the song (probability)": round(prediction.present, 2),
        "failed (probability)": round(prediction.failed, 2),
        "would help": wanted(prediction),
        "signs": {name: round(value, 3) for name, value in prediction.signs.items()},
    }


def evidence(clips: ByRole[EncodedClip]) -> dict[str, Any]:
    """What was given of the instrument by role, each clip with its quality; and as reports had it before roles."""
    alone = [clip.span for clip in clips.alone if clip.span]
    absent = [clip.name for clip in clips.absent if not clip.span]
    return {
        "evidence": {
            role: [
                ({"from-to (s)": list(clip.span)} if clip.span else {"clip": clip.name}) | clip.quality
                for clip in given
            ]
            for role, given in clips._asdict().items()
        },
        "queries": [clip.name for clip in clips.alone if not clip.span],
        **({"query passages (s)": [list(span) for span in alone]} if alone else {}),
        **({"not": absent} if absent else {}),
        "query quality": [{"query": clip.name, **clip.quality} for clip in clips.alone],
    }


def _grid(grid: BarGrid) -> dict[str, object]:
    return {
        "kind": grid.kind,
        "reason": grid.reason,
        "bars": 0 if grid.kind == "none" else len(grid),
        "unsure bars": grid.unsure,
        "bpm": round(grid.bpm, 2),
        "meter": grid.meter,
        "tracker": grid.tracker,
        "confidence": round(grid.confidence, 3),
    }
