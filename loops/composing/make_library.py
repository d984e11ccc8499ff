"""Makes a library: songs in which different voices play together, each part a file of its own, and cut recordings."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from fewshot_sep import audio, files
from fewshot_sep.errors import BadAudio, BadLibrary
from fewshot_sep.loops import library
from fewshot_sep.loops.composing import bachata, chamber, midi_songs, modules
from fewshot_sep.loops.composing.arrange import plan_all
from fewshot_sep.loops.composing.ensemble import Song
from fewshot_sep.loops.instruments.loudness import activity
from fewshot_sep.loops.instruments.material import Material
from fewshot_sep.loops.instruments.recordings import Recording
from fewshot_sep.loops.instruments.synth import invented_voices
from fewshot_sep.loops.instruments.voice import Sound
from fewshot_sep.loops.library import CSV_NAME, SAMPLE_RATE, Library, Row
from fewshot_sep.workers import answers_of

ROOMS = 0.4
"""Share of the songs that are played in a room."""
SONGS = {"songs": 500, "bachata": 150}


def make(
    folder: str | Path,
    material: Material | None = None,
    *,
    kind: Literal["songs", "bachata"] = "songs",
    songs: int | None = None,
    seed: int = 0,
    invented: float | None = None,
    rooms: float = ROOMS,
    workers: int | None = None,
    cluster: str | None = None,
    progress: Callable[[float], None] | None = None,
) -> Library:
    """Render a library of `songs` songs (500, or 150 of bachata) into `folder`.

    Of the kind "songs" they have four bars; there are pieces of the recordings, modules and MIDI files besides and,
    where there are winds and strings, chamber songs (see `composing.chamber`). Without material all instruments are
    invented; `invented` sets their share in [0, 1] among the parts that are not drum kits. Those of "bachata" have
    three sections, cut into bars and half bars (see `composing.bachata`). `rooms` is the share of songs that are played
    in a room. Songs of the valid split use other voices than those of the train split; held-out instruments and sources
    appear only in rows of the split "unseen". The same seed and material give the same library; what an interrupted
    run finished is kept.

    Args:
        workers, cluster: see `fewshot_sep.workers.answers_of`; all machines must see the folder and the material.

    Raises:
        BadAudio: no material where it is needed. BadLibrary: the folder holds a library made otherwise.
    """
    material = Material() if material is None else material
    songs = songs or SONGS[kind]
    if kind == "bachata":
        tasks = bachata.plan(material.voices(), songs, seed, rooms)
        if not any(task.parts for task in tasks):
            raise BadAudio(
                "the bachata set needs guitars, basses and percussion; give a General MIDI soundfont with --soundfont, "
                "or install one with `pip install --no-deps tinysoundfont pretty_midi`"
            )
        return render(folder, tasks, (), seed, workers, cluster, progress)
    voices = material.voices() + ([] if invented == 0 else invented_voices(max(30, songs)))
    if not voices and not material.modules:
        raise BadAudio("no material and no invented instruments: nothing to render; give some, or a greater --invented")
    tasks = plan_all(voices, songs, seed, invented, rooms)
    tasks += chamber.plan(voices, round(songs * chamber.SHARE * (1 - (invented or 0))), seed, rooms)
    for path in material.midi:
        tasks += midi_songs.plan(voices, midi_songs.midi_files(path), seed, rooms)
    for path in material.modules:
        tasks += modules.plan(path)
    return render(folder, tasks, material.recordings(), seed, workers, cluster, progress)


def render(
    folder: str | Path,
    songs: Sequence[Song],
    recordings: Sequence[Recording],
    seed: int,
    workers: int | None = None,
    cluster: str | None = None,
    progress: Callable[[float], None] | None = None,
) -> Library:
    """Render these songs and cut these recordings into the library in `folder`; an interrupted run is resumed."""
    folder = Path(folder)
    plan = repr((seed, [song.plan() for song in songs], [recording[1:] for recording in recordings]))  # free of paths
    fingerprint = f"{zlib.crc32(plan.encode()):08x}"
    rows, done = _resume(folder, fingerprint)
    tasks: list[Song | Recording] = [*songs, *recordings]
    jobs = [(task, folder, seed) for task in tasks if task.name not in done]
    np.random.default_rng(seed).shuffle(jobs)  # what is done is always a fair sample
    with contextlib.closing(answers_of(_work, jobs, workers, cluster)) as answers:
        try:
            for count, (name, made) in enumerate(answers, 1):
                rows += made
                done.append(name)
                if count % 20 == 0:
                    _save(folder, fingerprint, rows, done)
                if progress:
                    progress(count / len(jobs))
        finally:
            finished = _save(folder, fingerprint, rows, done)
            for place in {(folder / row.path).parent for row in rows}:  # what a killed worker had begun to write
                files.sweep(place)
    return finished


def _work(job: tuple[Song | Recording, Path, int]) -> tuple[str, list[Row]]:
    task, folder, seed = job
    return task.name, [store(folder, row, sound) for row, sound in task.render(seed)]


def store(folder: Path, row: Row, sound: Sound) -> Row:
    """Write the file of `row` and return the row with its loudness."""
    audio.write(folder / row.path, sound, SAMPLE_RATE, subtype="PCM_16")
    _, rms = activity(sound)
    return replace(row, loudness=round(20 * float(np.log10(max(rms, 1e-6))), 2))


_STATE = "make.json"
"""In the folder of a library: what it is made of, and which tasks are done."""


def _resume(folder: Path, fingerprint: str) -> tuple[list[Row], list[str]]:
    """The rows and the names of tasks that an earlier run finished."""
    state = folder / _STATE
    if not state.is_file():
        if (folder / CSV_NAME).exists():
            raise BadLibrary(f"{folder}: already holds a library that make-library did not make; give another folder")
        files.write_json(state, {"plan": fingerprint, "done": []})
        return [], []
    try:
        past = files.read_json(state)
        done = past["done"]
        if not isinstance(done, list) or not all(isinstance(name, str) for name in done):
            raise ValueError("done is no list of names")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadLibrary(f"{state}: damaged ({error}); delete the folder and make it again") from error
    if past.get("plan") != fingerprint:
        raise BadLibrary(f"{folder}: holds a library made from other material or settings; give another folder")
    if done and (folder / CSV_NAME).is_file():
        return list(library.read(folder)), done
    return [], []


def _save(folder: Path, fingerprint: str, rows: Sequence[Row], done: Sequence[str]) -> Library:
    """Write the table (sorted) and, after it, the list of what is done."""
    unique = {row.path: row for row in rows}  # a run killed between these writes does a few songs again
    made = library.write(folder, sorted(unique.values(), key=lambda row: (row.song, row.path)))
    files.write_json(folder / _STATE, {"plan": fingerprint, "done": done if rows else []})
    return made
