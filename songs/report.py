"""The report of a song as it stands in report.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fewshot_sep.prompt import ByRole
from fewshot_sep.songs.grid import BarGrid
from fewshot_sep.songs.monitor import Monitor
from fewshot_sep.songs.queries import EncodedClip

ABSENT_DB = -30.0


def of(monitor: Monitor, settings: Mapping[str, object], model: Mapping[str, object], **more: object) -> dict[str, Any]:
    """The report as it stands in report.json; `more` goes first (song, queries, ...)."""
    warnings = list(monitor.warnings)
    level = monitor.level_db
    mixture, target, _ = monitor.energies
    if mixture == 0:
        warnings.append("the song is silent")
    elif target == 0 or (level is not None and level < ABSENT_DB):
        said = "silent" if level is None else f"{level:.0f} dB below it".replace("-", "")
        warnings.append(f"the queried instrument does not seem to be in the song: what was found is {said}")
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
        "grid": None if monitor.grid is None else _grid(monitor.grid),
        "boundaries": monitor.boundaries(),
        "seconds": {name: round(spent, 3) for name, spent in monitor.seconds.items()},
        "seconds per second of audio": round(total / duration, 4) if duration else None,
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
