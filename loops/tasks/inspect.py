"""What a library holds: figures per instrument, a chart, and example tasks to listen to."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from fewshot_sep import audio, plots, presets
from fewshot_sep.loops.library import Library, Row
from fewshot_sep.loops.tasks.mixing import TaskMixer, Tasks
from fewshot_sep.loops.tasks.options import PROMPTED
from fewshot_sep.loops.tasks.pool import AudioPool
from fewshot_sep.prompt import ROLES

CHARTED = 40  # instruments in the chart, the longest first


class Holding(NamedTuple):
    """What a library has of one instrument; `trainable` if a query can come from another row than the target."""

    instrument: str
    family: str
    files: int
    minutes: float
    sources: int
    songs: int
    splits: tuple[str, ...]
    licences: tuple[str, ...]
    trainable: bool


def holdings(library: Library) -> list[Holding]:
    """One entry per instrument, the longest first. Raises BadAudio where a file cannot be read."""

    def minutes(path: Path) -> float:
        with audio.open_audio(path) as file:
            return file.frames / file.sample_rate / 60

    with ThreadPoolExecutor(4) as pool:
        lengths = dict(zip(library, pool.map(minutes, map(library.file, library)), strict=True))
    groups = defaultdict[str, list[Row]](list)
    for row in library:
        groups[row.instrument].append(row)
    found = [
        Holding(
            instrument,
            rows[0].family,
            len(rows),
            sum(lengths[row] for row in rows),
            len({row.source for row in rows}),
            len({row.song for row in rows if row.song}),
            tuple(sorted({row.split for row in rows})),
            tuple(sorted({row.licence for row in rows})),
            sum(row.split == "train" for row in rows) > 1,
        )
        for instrument, rows in groups.items()
    ]
    return sorted(found, key=lambda holding: -holding.minutes)


def draw(found: list[Holding], picture: Path) -> None:
    """Minutes of the longest instruments as a bar chart, a colour for each family, into a PNG."""
    shown = found[:CHARTED]
    figure, axes = plots.new_figure(1, 1, 9, max(4.0, 0.24 * len(shown)))
    bars = axes[0, 0]
    for family in sorted({holding.family for holding in shown}):
        own = {place: holding.minutes for place, holding in enumerate(shown) if holding.family == family}
        bars.barh(list(own), list(own.values()), label=plots.plain(family))
    bars.set_yticks(
        range(len(shown)), [plots.plain(f"{holding.instrument} ({holding.sources})") for holding in shown], fontsize=7
    )
    bars.invert_yaxis()
    bars.set(xlabel="minutes", title="Longest instruments (sources)")
    bars.legend(fontsize=7)
    figure.savefig(picture, dpi=110)


def write_tasks(library: Library, folder: Path, count: int, preset: str, seed: int = 0) -> list[str]:
    """Draw `count` training tasks as the preset would see them: WAV files of mixture, target and clips by role.

    Returns:
        A line for each task.

    Raises:
        BadLibrary: too little to draw tasks from.
    """
    settings = presets.get(preset)
    pool = AudioPool(library, "train", settings.sample_rate)
    mixer = TaskMixer(pool, 1, settings.segment, settings.channels, PROMPTED, seed)
    lines = []
    for number in range(count):
        task = mixer.draw(number)
        clips = _clips(task)
        for name, sound in {"mixture": task.mixture[0], "target": task.target[0], **clips}.items():
            audio.write(folder / f"task-{number + 1:02d}-{name}.wav", sound.numpy(), settings.sample_rate)
        mixture, target = (float(wave.square().mean()) for wave in (task.mixture, task.target))
        level = f"{10 * np.log10(target / mixture):.1f} dB re the mixture" if target > 1e-10 * mixture else "absent"
        lines.append(f"task {number + 1}: target {level}; clips: {', '.join(clips)}")
    return lines


def _clips(tasks: Tasks) -> dict[str, Tensor]:
    """The clips of a single task, `(1, samples)` each, by role; a second one of a role is called `alone-2`."""
    evidence = tasks.evidence
    return {
        ROLES[role] + f"-{place + 1}" * (place > 0): clip[None]
        for role, clips in zip(evidence.role.tolist(), evidence.clips, strict=True)
        for place, clip in enumerate(clips)
    }
