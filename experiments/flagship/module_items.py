"""Evaluation items from the tracker modules that training leaves alone: a validation set that sounds like records.

Of each module one window in which most stems sound. Up to three of its stems are queried by another passage of
themselves, and one item in ten asks for a stem of another module, which is not there. Items have clips `among` (the
target plays with others) and `without` (it does not play) of the same song too, where there are such passages.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from fewshot_sep import audio, cli, files
from fewshot_sep.errors import BadAudio
from fewshot_sep.loops.composing import modules
from fewshot_sep.loops.composing.modules import FRAME_S, ModuleSong
from fewshot_sep.loops.instruments.tracker import Stereo
from fewshot_sep.loops.library import SAMPLE_RATE

WINDOW_S, CLIP_S, MIN_CLIP_S = 10.0, 8.0, 2.0
PER_SONG, ABSENT_EVERY = 3, 3
"""Queried stems of a song; one item of an absent instrument for so many songs."""
MIN_LEVEL_DB, MIN_QUERY_ACTIVE, PEAK = -22.0, 0.5, 0.98


@dataclass(frozen=True)
class Cut:
    """A module with its window cut out: `busy` says for each stem and quarter second whether it sounds."""

    song: ModuleSong
    stems: dict[int, Stereo]
    busy: dict[int, NDArray[np.bool_]]
    start: int

    @property
    def taken(self) -> slice:
        return slice(self.start, self.start + round(WINDOW_S / FRAME_S))

    def part(self, sound: Stereo, frame: int, seconds: float) -> Stereo:
        """A passage from this quarter second on."""
        first = round(frame * FRAME_S * SAMPLE_RATE)
        return sound[:, first : first + round(seconds * SAMPLE_RATE)]

    def whole(self, without: int | None = None) -> Stereo:
        """The sum of all stems but one."""
        return np.asarray(sum(sound for number, sound in self.stems.items() if number != without), np.float32)

    def place(self, score: NDArray[np.float64], needed: float) -> tuple[int, float] | None:
        """First frame and seconds of the clip outside the window with the highest mean score, `needed` or more."""
        seconds = CLIP_S
        while seconds >= MIN_CLIP_S:
            size = round(seconds / FRAME_S)
            starts = [s for s in range(len(score) - size + 1) if s + size <= self.taken.start or s >= self.taken.stop]
            best = max(starts, key=lambda s: float(score[s : s + size].mean()), default=None)
            if best is not None and float(score[best : best + size].mean()) >= needed:
                return best, seconds
            seconds /= 2
        return None


def cut(song: ModuleSong) -> Cut | None:
    """The module and its window; None where fewer than three stems sound together or nothing is left for queries."""
    stems = modules.stems(Path(song.path))
    busy = {number: modules.active(sound) for number, sound in stems.items()}
    table = np.stack(list(busy.values())) if busy else np.zeros((0, 0), bool)
    starts = modules.busiest(table, 1, WINDOW_S) if table.shape[1] * FRAME_S >= 2 * WINDOW_S else []
    made = Cut(song, stems, busy, starts[0]) if starts else None
    return made if made and len(heard(made)) > 2 else None


def heard(made: Cut) -> list[int]:
    """The stems that can be queried: loud enough in the window, active there, and played elsewhere too."""
    mixture = float((made.part(made.whole(), made.start, WINDOW_S) ** 2).mean()) + 1e-12
    loud = [
        number
        for number, sound in made.stems.items()
        if float((made.part(sound, made.start, WINDOW_S) ** 2).mean()) > mixture * 10 ** (MIN_LEVEL_DB / 10)
        and made.busy[number][made.taken].mean() >= modules.MIN_ACTIVE
    ]
    return [number for number in loud if made.place(made.busy[number].astype(float), MIN_QUERY_ACTIVE)]


def items(made: Cut, out: Path, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Write the sounds of a module, and its items of the kind `same`."""
    name = made.song.name
    window = {number: made.part(sound, made.start, WINDOW_S) for number, sound in made.stems.items()}
    mixture = made.part(made.whole(), made.start, WINDOW_S)
    gain = PEAK / max(float(np.abs(sound).max()) for sound in (mixture, *window.values()))
    mix = _write(out, f"{name}.mix", mixture * gain)
    sounding = {number: sound for number, sound in window.items() if np.abs(sound).max() * gain > 1e-4}
    stems = {number: _write(out, f"{name}.{number:02d}", sound * gain) for number, sound in sounding.items()}
    queried = heard(made)
    for number in sorted(rng.choice(queried, min(PER_SONG, len(queried)), replace=False).tolist()):
        item: dict[str, Any] = {
            "id": f"{name}.{number:02d}.same",
            "song": name,
            "target": f"{name}-{number:02d}",
            "mix": mix,
        }
        item |= {"query": _clip(made, out, number, "query"), "reference": stems[number], "kind": "same"}
        item |= {"others": [file for other, file in stems.items() if other != number]}
        more = {kind: _clip(made, out, number, kind) for kind in ("without", "among")}
        yield item | {kind: file for kind, file in more.items() if file}


def _clip(made: Cut, out: Path, number: int, kind: str) -> str:
    """Write the stem alone (`query`), with the others (`among`) or the others while it rests (`without`)."""
    target = made.busy[number]
    others = np.any([row for other, row in made.busy.items() if other != number], axis=0)
    score, needed, sound = {
        "query": (target.astype(float), MIN_QUERY_ACTIVE, made.stems[number]),
        "among": ((target & others).astype(float), MIN_QUERY_ACTIVE, made.whole()),
        "without": (np.where(target, -100.0, others), MIN_QUERY_ACTIVE, made.whole(without=number)),
    }[kind]
    found = made.place(score, needed)
    if found is None:
        return ""
    clip = made.part(sound, *found)
    return _write(out, f"{made.song.name}.{number:02d}.{kind}", clip * (PEAK / max(PEAK, float(np.abs(clip).max()))))


def _write(out: Path, name: str, sound: Stereo) -> str:
    audio.write(out / f"audio/{name}.flac", sound, SAMPLE_RATE)
    return f"audio/{name}.flac"


def write(folder: Path, out: Path, seed: int = 0) -> list[dict[str, Any]]:
    """The items of all modules in `folder` that training leaves alone, written to `out`.

    Raises:
        BadAudio: there are too few.
    """
    (out / "audio").mkdir(parents=True, exist_ok=True)
    found: list[list[dict[str, Any]]] = []
    for song in cli.tracked([song for song in modules.plan(folder) if song.split == "valid"], "cutting"):
        if made := cut(song):
            rng = np.random.default_rng((seed, zlib.crc32(song.name.encode())))
            found.append(list(items(made, out, rng)))
    if len(found) < 2:
        raise BadAudio(f"{folder}: fewer than two modules of the valid split have three stems that sound together")
    absent = []
    for place in range(0, len(found), ABSENT_EVERY):
        asked, other = found[place][0], found[(place + len(found) // 2) % len(found)][-1]
        others = sorted({*asked["others"], asked["reference"]})
        item = {"id": f"{asked['song']}.absent", "target": other["target"], "query": other["query"]}
        absent.append(
            {**item, "song": asked["song"], "mix": asked["mix"], "reference": None, "kind": "absent", "others": others}
        )
    every = [item for own in found for item in own] + absent
    files.write_json(out / "items.json", every, indent=1)
    return every


def main(
    folder: Annotated[Path, typer.Argument(metavar="MODULES", help="Folder of tracker modules, a folder per package.")],
    output: Annotated[Path, typer.Argument(metavar="ITEMS", help="Folder to write.")],
    seed: Annotated[int, typer.Option(help="Another seed asks for other stems.")] = 0,
) -> None:
    """Cut evaluation items from the modules of the valid split.

    Example:
      python -m fewshot_sep.experiments.flagship.module_items sounds/modules module_items
    """
    made = write(folder, output, seed)
    counts = {kind: sum(item["kind"] == kind for item in made) for kind in ("same", "absent")}
    typer.echo(f"{output}: {counts['same']} same, {counts['absent']} absent, {len({i['song'] for i in made})} modules")


if __name__ == "__main__":
    cli.run(main)
