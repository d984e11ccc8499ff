"""Makes a library: songs in which different voices play together, each part a file of its own, and cut recordings."""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from fewshot_sep import files
from fewshot_sep.errors import BadAudio, BadLibrary
from fewshot_sep.loops import library
from fewshot_sep.loops.composing import bachata, chamber, midi_songs
from fewshot_sep.loops.composing.arrange import plan_all
from fewshot_sep.loops.composing.ensemble import Song, cut
from fewshot_sep.loops.instruments.material import Material
from fewshot_sep.loops.instruments.recordings import Recording
from fewshot_sep.loops.instruments.synth import invented_voices
from fewshot_sep.loops.library import CSV_NAME, Library, Row
from fewshot_sep.loops.workers import spread

ROOMS = 0.4
"""Share of the songs that are played in a room."""


_Task = Song | Recording


def _work(job: tuple[_Task, Path, int]) -> tuple[str, list[Row]]:
    task, folder, seed = job
    return _name(task), task.render(folder, seed) if isinstance(task, Song) else cut(task, folder)


def _name(task: _Task) -> str:
    return task.name if isinstance(task, Song) else task.path


def make(
    folder: str | Path,
    material: Material | None = None,
    *,
    songs: int = 500,
    seed: int = 0,
    invented: float | None = None,
    rooms: float = ROOMS,
    workers: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> Library:
    """Render a library of `songs` songs of four bars into `folder`, plus pieces of the recordings and MIDI files.

    Where there are winds and strings, they play chamber songs besides (see `composing.chamber`). Without material all
    instruments are invented; `invented` sets their share in [0, 1] among the parts that are not drum kits. `rooms` is
    the share of songs that are played in a room. Songs of the valid split use other voices than those of the train
    split; held-out instruments and sources appear only in rows of the split "unseen". The same seed and material give
    the same library; what an interrupted run finished is kept.

    Raises `BadAudio` for missing or unreadable material, `BadLibrary` if `folder` holds a library made otherwise.
    """
    material = material or Material()
    voices = material.voices() + ([] if invented == 0 else invented_voices(max(30, songs)))
    if not voices:
        raise BadAudio("no material and no invented instruments: nothing to render; give some, or a greater --invented")
    tasks = plan_all(voices, songs, seed, invented, rooms)
    tasks += chamber.plan(voices, round(songs * chamber.SHARE * (1 - (invented or 0))), seed, rooms)
    for path in material.midi:
        tasks += midi_songs.plan(voices, midi_songs.midi_files(path), seed, rooms)
    return render(folder, tasks, material.recordings(), seed, workers, progress)


def make_bachata(
    folder: str | Path,
    material: Material,
    *,
    songs: int = 150,
    seed: int = 0,
    rooms: float = ROOMS,
    workers: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> Library:
    """Render the bachata set (see `composing.bachata`): songs of three sections, cut into bars and half bars.

    Raises `BadAudio` for missing or unreadable material, or where none of it can be an instrument of the set.
    """
    tasks = bachata.plan(material.voices(), songs, seed, rooms)
    if not any(task.parts for task in tasks):
        raise BadAudio(
            "the bachata set needs guitars, basses and percussion; give a General MIDI soundfont with --soundfont, "
            "or install one with `pip install --no-deps tinysoundfont pretty_midi`"
        )
    return render(folder, tasks, (), seed, workers, progress)


def render(
    folder: str | Path,
    songs: Sequence[Song],
    recordings: Sequence[Recording],
    seed: int,
    workers: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> Library:
    """Render these songs and cut these recordings into the library in `folder`; an interrupted run is resumed."""
    folder = Path(folder)
    run = _Run(folder, songs, recordings, seed)
    tasks: list[_Task] = [*songs, *recordings]
    jobs = [(task, folder, seed) for task in tasks if _name(task) not in run.done]
    with contextlib.closing(spread(_work, jobs, workers)) as answers:
        try:
            for count, (name, rows) in enumerate(answers, 1):
                run.rows += rows
                run.done.append(name)
                if count % 20 == 0:
                    run.save()
                if progress:
                    progress(count / len(jobs))
        finally:
            made = run.save()
    return made


class _Run:
    """What is done of a plan: `rows` of the library and names of tasks; `make.json` in the folder remembers it.

    Raises `BadLibrary` if the folder holds a library made otherwise.
    """

    def __init__(self, folder: Path, songs: Sequence[Song], recordings: Sequence[Recording], seed: int) -> None:
        listing = [song.plan() for song in songs]
        plan = repr((seed, listing, [recording[1:] for recording in recordings]))  # free of paths
        self.folder, self.state = folder, folder / "make.json"
        self.fingerprint = f"{zlib.crc32(plan.encode()):08x}"
        self.rows: list[Row] = []
        self.done: list[str] = []
        if self.state.is_file():
            self._resume()
        elif (folder / CSV_NAME).exists():
            raise BadLibrary(f"{folder}: already holds a library that make-library did not make; give another folder")
        else:
            files.write_json(self.state, {"plan": self.fingerprint, "done": []})

    def _resume(self) -> None:
        try:
            past = json.loads(self.state.read_text(encoding="utf-8"))
        except ValueError as error:
            raise BadLibrary(f"{self.state}: damaged ({error}); delete the folder and make it again") from error
        if past.get("plan") != self.fingerprint:
            raise BadLibrary(
                f"{self.folder}: holds a library made from other material or settings; give another folder"
            )
        if past["done"] and (self.folder / CSV_NAME).is_file():
            self.rows, self.done = list(library.read(self.folder)), past["done"]

    def save(self) -> Library:
        """Write the table (sorted) and, after it, the list of what is done."""
        unique = {row.path: row for row in self.rows}  # a run killed between these writes does a few songs again
        made = library.write(self.folder, sorted(unique.values(), key=lambda row: (row.song, row.path)))
        files.write_json(self.state, {"plan": self.fingerprint, "done": self.done if self.rows else []})
        return made
