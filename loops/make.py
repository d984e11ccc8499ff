"""Makes a library: songs of a few bars in which different voices play together, each part a file of its own."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import zlib
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.random import Generator

from fewshot_sep.errors import BadAudio, BadLibrary, OutputError
from loops import library, oneshots, patterns
from loops.gm import COMMON, DRUM_PARTS
from loops.invent import PERCUSSION_SOUNDS, Patch
from loops.library import CSV_NAME, SAMPLE_RATE, Library, Row, is_held_out, split_of
from loops.render import InventedVoice, Voice, activity, level, read_mono

PLAYS = {"invented": 3, "sampled": 3, "sung": 4, "amp": 3, "kit": 3, "soundfont": 2}
"""A voice that is used at all is used at least this often, so that a query can come from another of its rows."""

VALID_VOICES, VALID_SONGS, UNSEEN_SONGS = 0.06, 0.04, 0.05

SHARES: dict[str, dict[str, float]] = {
    "pitched": {"invented": 0.24, "sampled": 0.28, "sung": 0.08, "amp": 0.11, "soundfont": 0.29},
    "bass": {"invented": 0.24, "sampled": 0.24, "amp": 0.12, "soundfont": 0.40},
    "beat": {"invented": 0.30, "kit": 0.42, "soundfont": 0.28},
    "groove": {"kit": 0.55, "soundfont": 0.45},
    "part": {"kit": 0.5, "soundfont": 0.5},
}
"""Which kinds of voices fill each kind of slot; kinds without material give their share to the others."""

PIECE_SECONDS, PIECE_ACTIVE, PIECE_DB = 8.0, 0.25, -50.0


class Part(NamedTuple):
    voice: Voice
    role: str


@dataclass(frozen=True)
class Song:
    """The parts of one song, before anything is rendered."""

    name: str
    split: str
    parts: tuple[Part, ...]


@dataclass
class _Deck:
    """Deals voices of one kind, evenly over instruments and collections, each dealt one `PLAYS` times or more."""

    voices: Sequence[Voice]
    draws: int
    rng: Generator
    _queue: deque[Voice] = field(default_factory=deque)

    def __post_init__(self) -> None:
        groups: dict[tuple[str, str], list[Voice]] = defaultdict(list)
        for index in self.rng.permutation(len(self.voices)):
            groups[_group(self.voices[index])].append(self.voices[index])
        order: list[Voice] = []
        while any(groups.values()):
            for (instrument, _), group in groups.items():
                turns = 3 if instrument in COMMON else 1
                order += [group.pop() for _ in range(min(len(group), turns))] * (2 if turns > 1 else 1)
        self.voices = order[: max(1, self.draws // PLAYS[order[0].kind])] if order else []

    def draw(self, taken: set[str]) -> Voice | None:
        """The next voice whose instrument is not in `taken`."""
        for _ in range(2 if self.voices else 0):
            for voice in self._queue:
                if voice.instrument not in taken and not _clash(voice.instrument, taken):
                    self._queue.remove(voice)
                    return voice
            self._queue.extend(self.voices[index] for index in self.rng.permutation(len(self.voices)))
        return None


def _group(voice: Voice) -> tuple[str, str]:
    """Whose turn it is: an instrument, less the soundfont that its name may give; for kits in each collection apart."""
    name = "" if voice.kind == "invented" else voice.instrument.split(" (")[0]
    return name, "" if voice.kind == "soundfont" and voice.family != "drums" else voice.source.split("/")[0]


def _clash(instrument: str, taken: set[str]) -> bool:
    return (instrument == "drums" and bool(taken & set(DRUM_PARTS))) or (instrument in DRUM_PARTS and "drums" in taken)


def _slot_of(voice: Voice) -> tuple[str, ...]:
    """The kinds of slots that a voice can fill."""
    if voice.roles[0] in ("groove", "part", "beat"):
        return (voice.roles[0],)
    return (("bass",) if "bass" in voice.roles else ()) + (("pitched",) if set(voice.roles) != {"bass"} else ())


def plan(voices: Sequence[Voice], songs: int, rng: Generator, prefix: str, split: str) -> list[Song]:
    """`songs` songs on these voices: mostly a bass, a beat or drums, and two to five other parts each."""
    slots = [_slots(rng) for _ in range(songs)]
    decks: dict[tuple[str, str], _Deck] = {}
    kinds: dict[str, list[str]] = {}
    for slot, shares in SHARES.items():
        pools = {kind: [v for v in voices if v.kind == kind and slot in _slot_of(v)] for kind in shares}
        total = sum(share for kind, share in shares.items() if pools[kind]) or 1.0
        draws = sum(wanted.count(slot) for wanted in slots)
        order: list[str] = []
        for kind, pool in pools.items():
            count = round(draws * shares[kind] / total) if pool else 0
            decks[slot, kind] = _Deck(pool, count, rng)
            order += [kind] * count
        kinds[slot] = [order[index] for index in rng.permutation(len(order))]
    planned = []
    for number, wanted in enumerate(slots):
        taken: set[str] = set()
        parts = []
        for slot in wanted:
            voice = decks[slot, kinds[slot].pop()].draw(taken) if kinds[slot] else None
            if voice is None:
                continue
            taken.add(voice.instrument)
            roles = [role for role in voice.roles if (role == "bass") == (slot == "bass")]
            parts.append(Part(voice, str(rng.choice(roles))))
        planned.append(Song(f"{prefix}-{number:05d}", split, tuple(parts)))
    return planned


def _slots(rng: Generator) -> list[str]:
    drums = rng.random()
    beat = ["groove"] if drums < 0.5 else ["part"] * int(rng.integers(2, 4)) if drums < 0.64 else []
    slots = ["bass"] * (rng.random() < 0.92) + beat + ["beat"] * (rng.random() < 0.42 or not beat)
    return slots + ["pitched"] * int(rng.choice((2, 3, 4, 5), p=(0.1, 0.35, 0.4, 0.15)))


def invented_voices(count: int) -> list[Voice]:
    """The first `count` invented instruments with the parts and ranges that suit them."""
    voices: list[Voice] = []
    for seed in range(count):
        kind, rng = Patch(seed).kind, np.random.default_rng((17, seed))
        low = int(rng.integers(36, 62))
        high = low + int(rng.integers(19, 34))
        keys: tuple[int, ...] = ()
        roles: tuple[str, ...] = ("melody", "chords", "arpeggio", "pad", "counter")
        if kind == "percussion":
            roles, keys = ("beat",), tuple(range(PERCUSSION_SOUNDS))
        elif kind == "voice":
            roles, low = ("vocal", "vocal", "counter"), int(rng.integers(41, 62))
            high = low + int(rng.integers(14, 22))
        elif rng.random() < 0.3:
            roles, low, high = ("bass",), 28, 55
        elif kind == "pluck":
            roles = ("strum", "arpeggio", "melody")
        family = {"voice": "invented voice", "percussion": "invented percussion"}.get(kind, "invented")
        name = Patch(seed).name
        voices.append(InventedVoice(name, f"invented/{kind}", family, "CC0", roles, low, high, keys, seed))
    return voices


def score(
    role: str, voice: Voice, song: patterns.Sketch, drums: Sequence[patterns.Note], rng: Generator
) -> list[patterns.Note]:
    """What `voice` plays in `role`; `drums` is the song's drum part, of which a part of a kit takes its own keys."""
    low, high = voice.low, voice.high
    if role == "groove":
        return list(drums)
    if role == "part":
        own = [note for note in drums if note.pitch in voice.keys]
        return own if len(own) >= 8 else patterns.beat(song, rng, voice.keys)
    if role == "beat":
        return patterns.beat(song, rng, voice.keys)
    if role == "bass":
        return patterns.bass(song, rng, low, min(high, low + 24))
    if role in ("melody", "counter", "vocal", "lead"):
        lively = {"melody": 0.5, "counter": 0.1, "vocal": 0.25, "lead": 0.8}[role]
        return patterns.melody(song, rng, low, high, lively, bends=role == "lead")
    if role in ("chords", "strum"):
        return patterns.chords(song, rng, low, high, strum=role == "strum", most=6 if role == "strum" else 5)
    return {"arpeggio": patterns.arpeggio, "pad": patterns.pad, "riff": patterns.riff}[role](song, rng, low, high)


def render_song(song: Song, folder: Path, seed: int) -> list[Row]:
    """Play the parts of a song, each into a FLAC file; one that comes out too empty is tried again, then left out."""
    shared = np.random.default_rng((seed, zlib.crc32(song.name.encode())))
    sketch = patterns.sketch(shared)
    drums, frames = patterns.groove(sketch, shared), round(sketch.seconds * SAMPLE_RATE)
    rows = []
    for number, (voice, role) in enumerate(song.parts):
        for attempt in range(4):
            rng = np.random.default_rng((seed, zlib.crc32(song.name.encode()), number, attempt))
            sound = voice.play(score(role, voice, sketch, drums, rng), frames, rng)
            active, rms = activity(sound)
            if active >= 0.5 and rms > 1e-5 and np.isfinite(sound).all():
                break
            drums = patterns.groove(sketch, shared) if role == "part" else drums
        else:
            continue
        path = f"{oneshots.slug(voice.instrument)}/{song.name}-{number}.flac"
        write_flac(folder / path, level(sound))
        split = split_of(voice.instrument, song.split)
        about = (voice.instrument, voice.family, voice.source, voice.licence)
        rows.append(Row(path, *about, sketch.bpm, float(sketch.beats), song.name, split))
    return rows


def cut(take: oneshots.Take, folder: Path) -> list[Row]:
    """Pieces of a recording at fixed positions, so that takes of one group stay together; not the silent ones."""
    sound, rows = read_mono(take.path), []
    size = round(min(PIECE_SECONDS, len(sound) / SAMPLE_RATE / 2) * SAMPLE_RATE)
    if size < 1.5 * SAMPLE_RATE:
        return []
    for start in range(0, len(sound) - size + 1, size):
        piece = sound[start : start + size]
        active, rms = activity(piece)
        if active < PIECE_ACTIVE or rms < 10 ** (PIECE_DB / 20):
            continue
        name = f"{oneshots.slug(take.group)}@{start / SAMPLE_RATE:05.1f}s"
        path = f"{oneshots.slug(take.instrument)}/{name}-{oneshots.slug(Path(take.path).stem)}.flac"
        write_flac(folder / path, level(piece))
        split = split_of(take.instrument, "train")
        rows.append(Row(path, take.instrument, take.family, take.source, take.licence, 0.0, 0.0, name, split))
    return rows if len(rows) > 1 else []


def write_flac(path: Path, sound: np.ndarray) -> None:
    """Mono 16-bit FLAC, under a temporary name until it is whole."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(part, sound, SAMPLE_RATE, subtype="PCM_16", format="FLAC")
        part.replace(path)
    except (OSError, soundfile.LibsndfileError) as error:
        raise OutputError(f"{path}: cannot be written ({error}); check the disk and its permissions") from error
    finally:
        part.unlink(missing_ok=True)


def _leave_interrupts() -> None:
    """In a worker: Ctrl-C is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


_Job = tuple[Song | oneshots.Take, Path, int]


def _work(job: _Job) -> tuple[str, list[Row]]:
    task, folder, seed = job
    if isinstance(task, Song):
        return task.name, render_song(task, folder, seed)
    return task.path, cut(task, folder)


def _voices(
    soundfonts: Iterable[Path],
    drumkits: Iterable[Path],
    notes: Iterable[Path],
    samples: Iterable[Path],
    speech: Iterable[Path],
) -> list[Voice]:
    found: list[Voice] = []
    readers = (
        (soundfonts, oneshots.soundfont_voices),
        (drumkits, oneshots.drumkit_voices),
        (notes, oneshots.note_voices),
        (samples, oneshots.sample_voices),
        (speech, oneshots.speech_voices),
    )
    for paths, reader in readers:
        for path in paths:
            if not path.exists():
                raise BadAudio(f"{path}: not found; give the path of an unpacked source, or leave it out")
            found += reader(path)
    return found


def _is_valid(voice: Voice) -> bool:
    share = zlib.crc32(f"{voice.instrument}|{voice.source}".encode()) / 2**32
    return share < VALID_VOICES and voice.kind not in ("sampled", "sung")


def make(
    folder: str | Path,
    *,
    soundfonts: Sequence[str | Path] = (),
    drumkits: Sequence[str | Path] = (),
    notes: Sequence[str | Path] = (),
    stems: Sequence[str | Path] = (),
    samples: Sequence[str | Path] = (),
    speech: Sequence[str | Path] = (),
    songs: int = 500,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> Library:
    """Render a library of `songs` songs into `folder`, plus the pieces of the given stems and loops.

    Invented instruments need no material; the rest is soundfont files, and folders of Hydrogen drum kits, of recorded
    notes, of aligned stems (one per song), of Sonic Pi's samples, of speakers' clips, which are made to sing. Songs of
    the valid split use other voices than those of the train split; held-out instruments appear only in rows of the
    split "unseen". The same seed and material give the same library; what an interrupted run finished is kept.

    Raises `BadAudio` for missing or unreadable material, `BadLibrary` if `folder` holds a library made otherwise.
    """
    folder = Path(folder)
    found = _voices(*([Path(path) for path in paths] for paths in (soundfonts, drumkits, notes, samples, speech)))
    voices = found + invented_voices(max(30, songs))
    tasks: list[Song] = _plan_all(voices, songs, seed)
    takes = [take for path in stems for take in oneshots.stem_takes(Path(path))]
    takes += [take for path in samples for take in oneshots.sample_takes(Path(path))]
    rows, done = _resume(folder, tasks, takes, seed)
    todo: list[Song | oneshots.Take] = [*tasks, *takes]
    jobs: list[_Job] = [(task, folder, seed) for task in todo if _name(task) not in done]
    total = max(1, len(jobs))
    with multiprocessing.Pool(min(workers or os.cpu_count() or 1, total), _leave_interrupts) as pool:
        try:
            for count, (name, new) in enumerate(pool.imap_unordered(_work, jobs), 1):
                rows += new
                done.append(name)
                if count % 20 == 0:
                    _save(folder, rows, done)
                if progress:
                    progress(count / total)
        finally:
            result = _save(folder, rows, done)
    return result


def _plan_all(voices: list[Voice], songs: int, seed: int) -> list[Song]:
    rng = np.random.default_rng((seed, 1))
    held = [voice for voice in voices if is_held_out(voice.instrument)]
    valid = [voice for voice in voices if _is_valid(voice) and voice not in held]
    train = [voice for voice in voices if not is_held_out(voice.instrument) and not _is_valid(voice)]
    few, unseen = round(songs * VALID_SONGS), round(songs * UNSEEN_SONGS) if held else 0
    tasks = plan(train, songs - few - unseen, rng, "song", "train") + plan(valid, few, rng, "valid", "valid")
    deck = _Deck(held, 2 * unseen, rng)
    for song in plan(valid, unseen, rng, "unseen", "valid"):
        drawn = [deck.draw(set()) for _ in range(2)]
        guests = [Part(voice, str(rng.choice(voice.roles))) for voice in drawn if voice is not None]
        tasks.append(
            Song(song.name, song.split, (*song.parts[:5], *{part.voice.instrument: part for part in guests}.values()))
        )
    return tasks


def _name(task: Song | oneshots.Take) -> str:
    return task.name if isinstance(task, Song) else task.path


def _resume(folder: Path, songs: list[Song], takes: list[oneshots.Take], seed: int) -> tuple[list[Row], list[str]]:
    """Rows and names of what a run with the same plan has already done; an empty folder is given the plan's mark."""
    listing = [(song.name, [(p.voice.instrument, p.voice.source, p.role) for p in song.parts]) for song in songs]
    mark = f"{zlib.crc32(repr((seed, listing, [take[1:] for take in takes])).encode()):08x}"
    state = folder / "make.json"
    if state.is_file():
        try:
            past = json.loads(state.read_text(encoding="utf-8"))
        except ValueError as error:
            raise BadLibrary(f"{state}: damaged ({error}); delete the folder and make the library again") from error
        if past.get("plan") != mark:
            raise BadLibrary(f"{folder}: holds a library made from other material or settings; give another folder")
        rows = list(library.read(folder)) if past["done"] and (folder / CSV_NAME).is_file() else []
        return rows, past["done"] if rows else []
    if (folder / CSV_NAME).exists():
        raise BadLibrary(f"{folder}: already holds a library that make-library did not make; give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    state.write_text(json.dumps({"plan": mark, "done": []}), encoding="utf-8")
    return [], []


def _save(folder: Path, rows: list[Row], done: list[str]) -> Library:
    """Write the table (sorted by path) and, after it, the list of what is done."""
    unique = {row.path: row for row in rows}  # a run killed between the two writes below does a few songs again
    result = library.write(folder, sorted(unique.values(), key=lambda row: (row.song, row.path)))
    state, part = folder / "make.json", folder / ".make.json.part"
    mark = json.loads(state.read_text(encoding="utf-8"))["plan"]
    part.write_text(json.dumps({"plan": mark, "done": done if rows else []}), encoding="utf-8")
    part.replace(state)
    return result
