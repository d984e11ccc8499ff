"""What a user has decided about one song: marks, clips, settings, names of stems. Values; every edit is a new one."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeAlias, get_args

from fewshot_sep.errors import FewshotSepError
from fewshot_sep.prompt import ROLES, Role
from fewshot_sep.songs.settings import Grid

VERSION = 1
REST = "residual"  # the name of what no stem has taken
RESERVED = {REST, "report", "beats", "song", "session", "clips"}
MAX_NAME, MAX_NAME_BYTES = 80, 200
MAX_ITEMS = 500  # of marks, clips or stems

Edit = Mapping[str, Any]


class BadEdit(FewshotSepError):
    """An edit or a session that makes no sense: an unknown stem, a mark outside the song, a name that cannot be."""


@dataclass(frozen=True)
class Song:
    """The song's name, its length, and the SHA-256 of its file."""

    name: str
    digest: str
    sample_rate: int
    channels: int
    frames: int
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return self.frames / self.sample_rate

    @property
    def stem(self) -> str:
        return file_name(self.name.rpartition(".")[0] or self.name)


@dataclass(frozen=True)
class Mark:
    """A passage of what the stem is taken from, in seconds, and what plays there."""

    id: str
    role: Role
    start: float
    stop: float


@dataclass(frozen=True)
class Clip:
    """A sound file as evidence; `digest` is the SHA-256 of its bytes."""

    id: str
    role: Role
    name: str
    digest: str


Item: TypeAlias = Mark | Clip


@dataclass(frozen=True)
class Stem:
    """An instrument: its evidence, how it is separated, and the stems that were taken out of the song before.

    Attributes:
        kept: part of the stack; one that is not is only there because later ones were found in what it left.
    """

    id: str
    name: str
    minus: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()
    clips: tuple[Clip, ...] = ()
    grid: Grid = "auto"
    residual_pass: bool = True
    kept: bool = True

    @property
    def evidence(self) -> tuple[Item, ...]:
        return (*self.marks, *self.clips)

    @property
    def is_shown(self) -> bool:
        """Whether any of it says where the instrument plays."""
        return any(item.role != "absent" for item in self.evidence)


@dataclass(frozen=True)
class Session:
    """A song and its stems, in the order in which they are shown; each stem's `minus` were found before it."""

    song: Song
    stems: tuple[Stem, ...]

    @property
    def kept(self) -> list[Stem]:
        return [stem for stem in self.stems if stem.kept]

    def stem(self, id: object) -> Stem:
        for stem in self.stems:
            if stem.id == id:
                return stem
        raise BadEdit("no such stem: it may have been removed in another tab")

    def needed(self, stems: Iterable[Stem]) -> list[Stem]:
        """Stems and all that were taken out before them, in an order in which they can be found."""
        ids = {stem.id for stem in stems}
        in_order = self.in_order()
        for stem in reversed(in_order):
            ids |= set(stem.minus) if stem.id in ids else set()
        return [stem for stem in in_order if stem.id in ids]

    def key(self, stem: Stem) -> str:
        """A digest of all that a stem's sound depends on."""

        @functools.cache  # else the stems before it were gone through again for each of those after them
        def key(stem: Stem) -> str:
            said = asdict(stem) | {"minus": [key(self.stem(id)) for id in stem.minus], "song": self.song.digest}
            for unheard in ("id", "name", "kept"):
                said.pop(unheard)
            for item in (*said["marks"], *said["clips"]):
                item.pop("id")
            return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:24]

        return key(stem)

    def in_order(self) -> list[Stem]:
        """The stems in an order in which they can be found. Raises ValueError: there is none."""
        found: dict[str, Stem] = {}
        while len(found) < len(self.stems):
            ready = (stem for stem in self.stems if stem.id not in found and found.keys() >= set(stem.minus))
            stem = next(ready, None)
            if stem is None:
                raise ValueError("stems that wait for each other, or for one that is not there")
            found[stem.id] = stem
        return list(found.values())

    def to_json(self) -> dict[str, Any]:
        return {"fewshot-sep session": VERSION, **asdict(self)}


def begin(song: Song) -> Session:
    """A session with one stem without evidence."""
    return Session(song, (Stem(_id(), "stem 1"),))


def load(content: Any) -> Session:
    """What `Session.to_json` gave, checked as if a stranger had written it. Raises BadEdit."""
    try:
        _require(content["fewshot-sep session"] == VERSION)
        said = content["song"]
        song = Song(
            _text(said["name"], 255),
            str(said["digest"]),
            int(said["sample_rate"]),
            int(said["channels"]),
            int(said["frames"]),
            {str(key): str(value) for key, value in said["tags"].items()},
        )
        _require(song.frames > 0 and song.channels in (1, 2) and song.sample_rate > 0)
        session = Session(song, ())
        for said in _few(content["stems"]):
            stem = Stem(
                _known(said),
                "",
                tuple(str(id) for id in said["minus"]),
                tuple(_mark(song, mark, _known(mark)) for mark in _few(said["marks"])),
                tuple(_clip(clip, _known(clip)) for clip in _few(said["clips"])),
                kept=said["kept"] is True,
                **_settings(said),
            )
            _require(stem.id == str(said["id"]) and stem.id not in {other.id for other in session.stems})
            stem = replace(stem, name=_name(session, stem, said["name"]))
            session = replace(session, stems=(*session.stems, stem))
        _require(session.kept and session.in_order())
        return session
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise BadEdit("this is not a session of fewshot-sep, or it is damaged") from error


def resized(session: Session, frames: int) -> Session:
    """The session of a song whose length was only promised, once it is known; marks end where the song ends."""
    song = replace(session.song, frames=frames)
    end = _whole_ms(song.seconds)

    def within(stem: Stem) -> Stem:
        marks = (mark for mark in stem.marks if mark.start < end)
        return replace(stem, marks=tuple(replace(mark, stop=min(mark.stop, end)) for mark in marks))

    return Session(song, tuple(within(stem) for stem in session.stems))


def edit(session: Session, said: Edit) -> Session:
    """The session after an edit, as the page sends it: `do` and its arguments. Raises BadEdit."""
    try:
        return _edited(session, said)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise BadEdit(f"an edit that makes no sense: {str(said)[:200]}") from error


def _edited(session: Session, said: Edit) -> Session:
    if said["do"] == "next":
        return _with_next(session)
    stem = session.stem(said["stem"])
    match said["do"]:
        case "mark":
            mark = _mark(session.song, said, _id())
            new = replace(stem, marks=tuple(_few((*stem.marks, mark))))
        case "change":  # move a mark, or give a mark or a clip another role
            id = said["item"]
            marks = (
                _mark(session.song, asdict(mark) | dict(said), id) if mark.id == id else mark for mark in stem.marks
            )
            clips = (replace(clip, role=_role(said["role"])) if clip.id == id else clip for clip in stem.clips)
            new = replace(stem, marks=tuple(marks), clips=tuple(clips))
        case "delete":
            id = said["item"]
            marks = (mark for mark in stem.marks if mark.id != id)
            clips = (clip for clip in stem.clips if clip.id != id)
            new = replace(stem, marks=tuple(marks), clips=tuple(clips))
        case "set":
            new = replace(stem, **_settings(asdict(stem) | dict(said)))
        case "rename":
            new = replace(stem, name=_name(session, stem, said["name"]))
        case "order":
            return _moved(session, stem, 1 if said["by"] > 0 else -1)
        case "remove":
            return _without(session, stem)
        case unknown:
            raise ValueError(unknown)
    return _put(session, new)


def _with_next(session: Session) -> Session:
    """Begin another stem, in what those of the stack leave."""
    taken = {stem.name.casefold() for stem in session.kept}
    number = next(n for n in range(1, MAX_ITEMS) if f"stem {n}" not in taken)
    new = Stem(_id(), f"stem {number}", tuple(stem.id for stem in session.kept))
    return _stacked(session, [*session.kept, new])


def _moved(session: Session, stem: Stem, by: int) -> Session:
    """Move a stem of the stack up or down."""
    kept = session.kept
    place = kept.index(stem)
    kept.insert(max(place + by, 0), kept.pop(place))
    return _stacked(session, kept)


def _stacked(session: Session, kept: list[Stem]) -> Session:
    """The session with these stems as its stack; those that are not kept come last."""
    return replace(session, stems=(*kept, *(stem for stem in session.stems if not stem.kept)))


def _without(session: Session, gone: Stem) -> Session:
    """Take a stem off the stack: its sound goes back to the residual."""
    stems = [replace(stem, kept=False) if stem is gone else stem for stem in session.stems]
    while needless := [s for s in stems if not s.kept and not any(s.id in other.minus for other in stems)]:
        stems = [stem for stem in stems if stem not in needless]
    left = replace(session, stems=tuple(stems))
    return left if left.kept else _with_next(left)


def add_clip(session: Session, stem: str, role: str, name: str, digest: str) -> Session:
    """The session with one more clip of a stem."""
    of = session.stem(stem)
    clip = Clip(_id(), _role(role), _text(name, 255) or "clip", digest)
    return _put(session, replace(of, clips=tuple(_few((*of.clips, clip)))))


def contradictions(stem: Stem) -> dict[str, str]:
    """What to say of marks that overlap others which say the opposite, by the mark's id."""
    said = {}
    for mark in stem.marks:
        for other in stem.marks:
            overlap = min(mark.stop, other.stop) - max(mark.start, other.start)
            if overlap > 0 and (mark.role == "absent") != (other.role == "absent"):
                said[mark.id] = f"it contradicts the mark at {other.start:.1f} to {other.stop:.1f} s"
    return said


def file_name(text: str) -> str:
    """The text as a file's name anywhere: no separators, no control characters, no dots at its ends."""
    kept = "".join("_" if char in '/\\:*?"<>|' or not char.isprintable() else char for char in text)
    return kept.strip(". ")[:MAX_NAME].encode()[:MAX_NAME_BYTES].decode(errors="ignore").strip() or "song"


def _require(truth: object) -> None:
    if not truth:
        raise ValueError


def _id() -> str:
    return secrets.token_hex(4)


def _known(item: Mapping[str, Any]) -> str:
    """The id that an item of a file brings along, or another one where it is none."""
    id = str(item["id"])
    return id if re.fullmatch("[0-9a-f]{8}", id) else _id()


def _put(session: Session, new: Stem) -> Session:
    return replace(session, stems=tuple(new if stem.id == new.id else stem for stem in session.stems))


def _few(items: Iterable[Any]) -> list[Any]:
    found = list(items)
    if len(found) > MAX_ITEMS:
        raise BadEdit(f"more than {MAX_ITEMS} of a kind are not supported")
    return found


def _text(value: object, longest: int) -> str:
    return "".join(char for char in str(value) if char.isprintable())[:longest].strip()


def _role(value: object) -> Role:
    return ROLES[ROLES.index(value)]


def _settings(said: Edit) -> dict[str, Any]:
    if said["grid"] not in get_args(Grid) or not isinstance(said["residual_pass"], bool):
        raise ValueError(said)
    return {"grid": said["grid"], "residual_pass": said["residual_pass"]}


def _mark(song: Song, said: Edit, id: str) -> Mark:
    """A mark within the song, its ends in whole milliseconds."""
    start, stop = (min(max(float(said[end]), 0.0), song.seconds) for end in ("start", "stop"))
    start, stop = math.ceil(_thousandths(start)) / 1000, _whole_ms(stop)
    if not stop > start:
        raise BadEdit("a mark must end after it begins")
    return Mark(id, _role(said["role"]), start, stop)


def _whole_ms(seconds: float) -> float:
    return math.floor(_thousandths(seconds)) / 1000


def _thousandths(seconds: float) -> float:
    """Milliseconds, rid of what binary fractions add: a whole number of them stays the same one."""
    return round(seconds * 1000, 6)


def _clip(said: Edit, id: str) -> Clip:
    digest = str(said["digest"])
    _require(re.fullmatch("[0-9a-f]{64}", digest))
    return Clip(id, _role(said["role"]), _text(said["name"], 255), digest)


def _name(session: Session, stem: Stem, value: object) -> str:
    name = _text(value, MAX_NAME)
    if not name or name != file_name(name):
        raise BadEdit(f"{name!r} cannot be a file's name")
    others = {other.name.casefold() for other in session.kept if other.id != stem.id}
    if stem.kept and name.casefold() in others | RESERVED:
        raise BadEdit(f"{name!r} is taken: choose another name")
    return name


def clip_file(clip: Clip) -> str:
    """A clip's name beside a session: no two clips share it."""
    return f"{clip.digest[:8]} {file_name(clip.name)}"
