"""What happened to a song: gathered on the way, written as JSON, drawn as a picture."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fewshot_sep.beats import Beats
from fewshot_sep.errors import OutputError
from fewshot_sep.songs.grid import BarGrid

T = TypeVar("T")
Array = NDArray[np.float32]

ABSENT_DB = -30.0
LEVEL_SECONDS = 0.05
FLOOR_DB = -60.0
EXCERPT_SECONDS = 20.0
MASK = "mask"


class Facts:
    """Gathers times, levels and warnings of one song while its blocks go by; keeps 40 numbers per second."""

    def __init__(self, frames: int, sample_rate: int) -> None:
        self.frames, self.sample_rate = frames, sample_rate
        self.seconds: dict[str, float] = {}
        self.warnings: list[str] = []
        self.grid: BarGrid | None = None
        self.beats: Beats | None = None
        self.peak = 0.0  # largest magnitude in target or residual
        self.hop = max(round(LEVEL_SECONDS * sample_rate), 1)
        self._energy = np.zeros((3, -(-frames // self.hop)))  # mixture, target, residual
        self._position = 0

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to a stage."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    def timed(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """The items, the time that each takes to come added to a stage."""
        iterator = iter(items)
        while True:
            with self.stage(name):
                item = next(iterator, None)
            if item is None:
                return
            yield item

    def heed(self, grid: BarGrid) -> None:
        """Note the grid that was used, and a warning where another had been asked for."""
        self.grid = grid
        if grid.reason:
            self.warnings.append(f"no bar grid was used: {grid.reason}")

    def hear(self, target: Array, mixture: Array) -> None:
        """Note the levels of the next block. Shape: both (channels, n)."""
        if not target.shape[1]:
            return
        index = (self._position + np.arange(target.shape[1])) // self.hop
        self._position += target.shape[1]
        for row, block in enumerate((mixture, target, mixture - target)):
            if row:
                self.peak = max(self.peak, float(np.abs(block).max()))
            power = np.square(block, dtype=np.float64).sum(axis=0)
            self._energy[row, index[0] : index[-1] + 1] += np.bincount(index - index[0], power)

    @property
    def level_db(self) -> float | None:
        """Level of the target re the mixture; None where one of them is silent."""
        mixture, target = self._energy[:2].sum(axis=1)
        return float(10 * np.log10(target / mixture)) if mixture > 0 and target > 0 else None

    def loudest(self) -> int:
        """Sample around which most of the target was found, in passages of `EXCERPT_SECONDS`."""
        width = round(EXCERPT_SECONDS / LEVEL_SECONDS)
        energy = np.convolve(self._energy[1], np.ones(min(width, len(self._energy[1]))), mode="same")
        return int(energy.argmax()) * self.hop

    def levels_db(self) -> NDArray[np.float64]:
        """Level of mixture, target and residual over time, re the mixture's loudest moment. Shape: (3, moments)."""
        loudest = self._energy[0].max(initial=0) or 1.0
        return 10 * np.log10(np.maximum(self._energy / loudest, 10 ** (FLOOR_DB / 10)))

    def seams(self) -> dict[str, Any]:
        """How much the gain (target re mixture) jumps across joins, against everywhere else, in dB."""
        joins = self.grid.joins if self.grid else []
        facts: dict[str, Any] = {"joins": len(joins)}
        mixture, target, _ = self._energy
        if not joins or len(mixture) < 4 or not mixture.any():
            return facts
        audible = mixture > mixture.max() * 10 ** (FLOOR_DB / 10)
        gain = 10 * np.log10(np.maximum(target / np.where(audible, mixture, 1.0), 10 ** (FLOOR_DB / 10)))
        jumps = np.abs(gain[2:] - gain[:-2])  # jumps[k]: across moment k + 1
        usable = audible[2:] & audible[:-2]
        at_join = np.zeros(len(gain), dtype=bool)
        at_join[np.array(joins) // self.hop] = True
        near = at_join.copy()
        near[1:] |= at_join[:-1]
        near[:-1] |= at_join[1:]
        for name, chosen in (("at joins", at_join[1:-1] & usable), ("elsewhere", ~near[1:-1] & usable)):
            if chosen.any():
                facts[f"largest gain jump {name} (dB)"] = round(float(jumps[chosen].max()), 2)
                facts[f"mean gain jump {name} (dB)"] = round(float(jumps[chosen].mean()), 2)
        return facts

    def report(self, settings: dict[str, Any], model: dict[str, Any], **more: Any) -> dict[str, Any]:
        """The report as it stands in report.json; `more` goes first (song, queries, ...)."""
        warnings = list(self.warnings)
        level = self.level_db
        mixture, target = self._energy[:2].sum(axis=1)
        if mixture == 0:
            warnings.append("the song is silent")
        elif target == 0 or (level is not None and level < ABSENT_DB):
            said = "silent" if level is None else f"{level:.0f} dB below it".replace("-", "")
            warnings.append(f"the queried instrument does not seem to be in the song: what was found is {said}")
        duration = self.frames / self.sample_rate
        total = self.seconds.get("total", 0.0)
        grid = self.grid
        return {
            **more,
            "duration (s)": round(duration, 3),
            "sample rate (Hz)": self.sample_rate,
            "samples": self.frames,
            "settings": settings,
            "model": model,
            "warnings": warnings,
            "target level re mixture (dB)": None if level is None else round(level, 2),
            "grid": None
            if grid is None
            else {
                "kind": grid.kind,
                "reason": grid.reason,
                "bars": 0 if grid.kind == "none" else len(grid),
                "unsure bars": grid.unsure,
                "bpm": round(grid.bpm, 2),
                "meter": grid.meter,
                "tracker": grid.tracker,
                "confidence": round(grid.confidence, 3),
            },
            "seams": self.seams(),
            "seconds": {name: round(spent, 3) for name, spent in self.seconds.items()},
            "seconds per second of audio": round(total / duration, 4) if duration else None,
        }


def write(report: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write the report as JSON, whole or not at all. Raises OutputError."""
    with _replacing(Path(path)) as temporary:
        temporary.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def draw(facts: Facts, excerpts: dict[str, Array], start: float, path: str | os.PathLike[str]) -> None:
    """Draw levels over the whole song, and spectrograms of excerpts (title -> (channels, n)) from `start` seconds on.

    After the mixture comes the share of it that the target has in each cell, and bar lines are drawn over all of them.
    Raises OutputError.
    """
    from fewshot_sep.plots import mask_image, new_figure, spectrogram

    if "mixture" in excerpts and "target" in excerpts:
        mixture = {"mixture": excerpts["mixture"], MASK: excerpts["target"]}
        excerpts = {**mixture, **excerpts}
    rows = 1 + len(excerpts)
    figure, grid = new_figure(rows, 1, 12, 3 * rows)
    axes = grid[:, 0]
    lines = np.array(facts.grid.joins if facts.grid else []) / facts.sample_rate
    moments = (np.arange(facts.levels_db().shape[1]) + 0.5) * facts.hop / facts.sample_rate
    for name, level in zip(("mixture", "target", "residual"), facts.levels_db(), strict=True):
        axes[0].plot(moments, level, linewidth=0.8, label=name)
    axes[0].set(title="level over the song", xlabel="time (s)", ylabel="level (dB re loudest)", ylim=(FLOOR_DB, 3))
    axes[0].set_xlim(0, max(facts.frames / facts.sample_rate, 1e-3))
    axes[0].legend(loc="lower right")
    if len(lines) <= 400:
        for line in lines:
            axes[0].axvline(line, color="black", linewidth=0.3, alpha=0.5)
    reference: float | None = None
    for axis, (title, samples) in zip(axes[1:], excerpts.items(), strict=True):
        if title == MASK:
            mask_image(axis, excerpts["mixture"], samples, facts.sample_rate)
        else:
            reference = spectrogram(axis, samples, facts.sample_rate, title, reference)
        seconds = samples.shape[1] / facts.sample_rate
        for line in lines[(lines > start) & (lines < start + seconds)]:
            axis.axvline(line - start, color="white", linewidth=0.6, linestyle="--")
        if start:
            axis.set_xlabel(f"time from {start:.1f} s (s)")
    with _replacing(Path(path)) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
