"""Who plays what: draws voices for songs of four bars, and renders those songs."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.random import Generator

from fewshot_sep.loops.composing import patterns
from fewshot_sep.loops.composing.ensemble import Part, Song, grouped, room_of
from fewshot_sep.loops.instruments.general_midi import COMMON, DRUM_PARTS
from fewshot_sep.loops.instruments.loudness import is_played, level
from fewshot_sep.loops.instruments.voice import Sound, Voice
from fewshot_sep.loops.library import SAMPLE_RATE, Row, is_held_out
from fewshot_sep.loops.score import Note, Sketch

PLAYS = {"invented": 3, "sampled": 3, "sung": 4, "amp": 3, "kit": 3, "soundfont": 2}
"""A voice that is used at all is used at least this often, so that a query can come from another of its rows."""

MIN_ACTIVE, VALID_VOICES = 0.5, 0.06
VALID_SONGS, UNSEEN_SONGS = 0.04, 0.05

SHARES: dict[str, dict[str, float]] = {
    "pitched": {"invented": 0.20, "sampled": 0.28, "sung": 0.14, "amp": 0.13, "soundfont": 0.25},
    "bass": {"invented": 0.20, "sampled": 0.32, "amp": 0.12, "soundfont": 0.36},
    "beat": {"invented": 0.30, "kit": 0.42, "soundfont": 0.28},
    "groove": {"kit": 0.55, "soundfont": 0.45},
    "part": {"kit": 0.5, "soundfont": 0.5},
}
"""Which kinds of voices fill each kind of slot; kinds without material give their share to the others."""


class FourBars(Song):
    """A song of four bars to a sketch of its own."""

    def render(self, seed: int) -> Iterator[tuple[Row, Sound]]:
        """The parts; one that comes out too empty is tried again, then left out.

        All parts of a kit share a groove; one that has too little in it plays a beat of its own.
        """
        shared = self.generator(seed)
        sketch = patterns.sketch(shared)
        drums, frames = patterns.groove(sketch, shared), round(sketch.seconds * SAMPLE_RATE)
        for number, part in enumerate(self.parts):
            for attempt in range(4):
                rng = self.generator(seed, number, attempt)
                role = "beat" if attempt and part.role == "part" else part.role
                sound = self.play(part, score(role, part.voice, sketch, drums, rng), frames, rng)
                if is_played(sound, MIN_ACTIVE):
                    yield self.row(part, f"{self.name}-{number}", sketch.bpm, sketch.beats, self.name), level(sound)
                    break


@dataclass
class _Deck:
    """Deals voices of one kind, evenly over instruments and collections, each dealt one `PLAYS` times or more."""

    voices: Sequence[Voice]
    draws: int
    rng: Generator
    _queue: deque[Voice] = field(default_factory=deque)

    def __post_init__(self) -> None:
        groups = grouped((self.voices[index] for index in self.rng.permutation(len(self.voices))), _group)
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
    name = "" if voice.kind == "invented" else voice.plain_name
    return name, "" if voice.kind == "soundfont" and voice.family != "drums" else voice.source.split("/")[0]


def _clash(instrument: str, taken: set[str]) -> bool:
    return (instrument == "drums" and bool(taken & set(DRUM_PARTS))) or (instrument in DRUM_PARTS and "drums" in taken)


def _slot_of(voice: Voice) -> tuple[str, ...]:
    """The kinds of slots that a voice can fill."""
    if voice.roles[0] in ("groove", "part", "beat"):
        return (voice.roles[0],)
    return (("bass",) if "bass" in voice.roles else ()) + (("pitched",) if set(voice.roles) != {"bass"} else ())


def _shares(slot: str, present: set[str], invented: float | None) -> dict[str, float]:
    """The share of each kind of voice that is present; `invented` is the wished share of invented ones, if any."""
    shares = {kind: share for kind, share in SHARES[slot].items() if kind in present}
    others = sum(share for kind, share in shares.items() if kind != "invented")
    if invented is None or not others or "invented" not in shares:
        invented = shares.get("invented", 0.0) / (sum(shares.values()) or 1.0)
    scale = (1 - invented) / (others or 1.0)
    return {kind: invented if kind == "invented" else share * scale for kind, share in shares.items()}


def plan(
    voices: Sequence[Voice],
    songs: int,
    rng: Generator,
    prefix: str,
    split: str,
    invented: float | None = None,
) -> list[Song]:
    """`songs` songs on these voices: mostly a bass, a beat or drums, and two to five other parts each.

    `invented` is the share of invented instruments among the parts that are not drum kits, where both are at hand.
    """
    slots = [_slots(rng) for _ in range(songs)]
    decks: dict[tuple[str, str], _Deck] = {}
    kinds: dict[str, list[str]] = {}
    for slot, every in SHARES.items():
        pools = {kind: [v for v in voices if v.kind == kind and slot in _slot_of(v)] for kind in every}
        shares = _shares(slot, {kind for kind, pool in pools.items() if pool}, invented)
        draws = sum(wanted.count(slot) for wanted in slots)
        order: list[str] = []
        for kind, pool in pools.items():
            count = round(draws * shares[kind]) if pool else 0
            decks[slot, kind] = _Deck(pool, count, rng)
            order += [kind] * count
        kinds[slot] = [order[index] for index in rng.permutation(len(order))]
    planned: list[Song] = []
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
        planned.append(FourBars(f"{prefix}-{number:05d}", split, tuple(parts)))
    return planned


def _slots(rng: Generator) -> list[str]:
    drums = rng.random()
    beat = ["groove"] if drums < 0.5 else ["part"] * int(rng.integers(2, 4)) if drums < 0.64 else []
    slots = ["bass"] * (rng.random() < 0.92) + beat + ["beat"] * (rng.random() < 0.42 or not beat)
    return slots + ["pitched"] * int(rng.choice((2, 3, 4, 5), p=(0.1, 0.35, 0.4, 0.15)))


def score(role: str, voice: Voice, song: Sketch, drums: Sequence[Note], rng: Generator) -> list[Note]:
    """What `voice` plays in `role`; `drums` is the song's drum part, of which a part of a kit takes its own keys."""
    if role == "groove":
        return list(drums)
    if role == "part":
        own = [note for note in drums if note.pitch in voice.keys]
        return own if len(own) >= 8 else patterns.beat(song, rng, voice.keys)
    if role == "beat":
        return patterns.beat(song, rng, voice.keys)
    return patterns.pitched(role, song, rng, voice.low, voice.high)


def by_split(voices: Iterable[Voice]) -> dict[str, list[Voice]]:
    """The voices that train and those that training leaves to validation; held-out ones are in neither."""
    split: dict[str, list[Voice]] = {"train": [], "valid": []}
    for voice in voices:
        if not is_held_out(voice.instrument, voice.source):
            share = zlib.crc32(f"{voice.instrument}|{voice.source}".encode()) / 2**32
            valid = share < VALID_VOICES and voice.kind not in ("sampled", "sung")
            split["valid" if valid else "train"].append(voice)
    return split


def plan_all(
    voices: Sequence[Voice], songs: int, seed: int, invented: float | None = None, room: float = 0.0
) -> list[Song]:
    """The songs of all splits, `room` of them in a room; `invented` is the share of invented instruments."""
    rng = np.random.default_rng((seed, 1))
    held = [voice for voice in voices if is_held_out(voice.instrument) and not is_held_out("", voice.source)]
    train, valid = by_split(voices).values()
    few, unseen = round(songs * VALID_SONGS), round(songs * UNSEEN_SONGS) if held else 0
    tasks = plan(train, songs - few - unseen, rng, "song", "train", invented)
    tasks += plan(valid, few, rng, "valid", "valid", invented)
    deck = _Deck(held, 2 * unseen, rng)
    for song in plan(valid, unseen, rng, "unseen", "valid", invented):
        drawn = [deck.draw(set()) for _ in range(2)]
        guests = {voice.instrument: Part(voice, str(rng.choice(voice.roles))) for voice in drawn if voice is not None}
        tasks.append(replace(song, parts=(*song.parts[:5], *guests.values())))
    return [replace(song, room=room_of(song.name, seed, room)) for song in tasks]
