"""What a library holds: figures per instrument, pictures, and example tasks to listen to."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fewshot_sep import audio, plots, presets
from fewshot_sep.loops.library import Library
from fewshot_sep.loops.tasks.mixing import TaskMixer
from fewshot_sep.loops.tasks.pool import AudioPool

PICTURED = 40  # instruments in the chart, the longest first


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


def minutes_by_path(library: Library) -> dict[str, float]:
    """Length of every file in minutes, as its header says.

    Raises:
        BadAudio: a file cannot be read.
    """

    def minutes(path: Path) -> float:
        with audio.open_audio(path) as file:
            return file.frames / file.sample_rate / 60

    with ThreadPoolExecutor(4) as pool:
        lengths = pool.map(minutes, (library.file(row) for row in library))
        return dict(zip((row.path for row in library), lengths, strict=True))


def holdings(library: Library, minutes: dict[str, float]) -> list[Holding]:
    """One entry per instrument, the longest first."""
    groups = defaultdict(list)
    for row in library:
        groups[row.instrument].append(row)
    found = [
        Holding(
            instrument,
            rows[0].family,
            len(rows),
            sum(minutes[row.path] for row in rows),
            len({row.source for row in rows}),
            len({row.song for row in rows if row.song}),
            tuple(sorted({row.split for row in rows})),
            tuple(sorted({row.licence for row in rows})),
            sum(row.split == "train" for row in rows) > 1,
        )
        for instrument, rows in groups.items()
    ]
    return sorted(found, key=lambda holding: -holding.minutes)


def draw(library: Library, found: list[Holding], picture: Path) -> None:
    """Minutes of the commonest instruments, and tempi of the rows that know theirs, into a PNG."""
    shown = found[:PICTURED]
    figure, axes = plots.new_figure(1, 2, 13, max(4.0, 0.24 * len(shown)))
    families = sorted({holding.family for holding in shown})
    bars, tempi = axes[0]
    for number, family in enumerate(families):
        own = [place for place, holding in enumerate(shown) if holding.family == family]
        colour = f"C{number % 10}"
        bars.barh(own, [shown[place].minutes for place in own], color=colour, label=family)
    bars.set_yticks(range(len(shown)), [f"{holding.instrument} ({holding.sources})" for holding in shown], fontsize=7)
    bars.invert_yaxis()
    bars.set(xlabel="minutes", title="Longest instruments (sources)")
    bars.legend(fontsize=7)
    known = [row.bpm for row in library if row.bpm]
    tempi.hist(known, bins=np.arange(40, 245, 5).tolist())
    tempi.set(xlabel="tempo (BPM)", ylabel="files", title=f"Tempo of {len(known)} files")
    figure.savefig(picture, dpi=110)


def write_tasks(library: Library, folder: Path, count: int, preset: str, seed: int = 0) -> list[str]:
    """Draw `count` training tasks as the preset would see them; each as three WAV files in `folder`.

    Returns:
        A line for each task.

    Raises:
        BadLibrary: too little to draw tasks from.
    """
    settings = presets.get(preset)
    mixer = TaskMixer(
        AudioPool(library, "train", settings.sample_rate), 1, settings.segment, settings.channels, seed=seed
    )
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(count):
        task = mixer.draw(number)
        sounds = {"mixture": task.mixture[0], "query": task.queries[0, :1], "target": task.target[0]}
        for name, sound in sounds.items():
            audio.write(folder / f"task-{number + 1:02d}-{name}.wav", sound.numpy(), settings.sample_rate)
        mixture, target = (float(sounds[name].square().mean()) for name in ("mixture", "target"))
        level = f"{10 * np.log10(target / mixture):.1f} dB re the mixture" if target > 1e-10 * mixture else "absent"
        lines.append(f"task {number + 1}: target {level}")
    return lines
