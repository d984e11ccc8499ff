"""What a user has decided about one song: marks, clips, settings, names of stems. Values; every edit is a new one."""

from __future__ import annotations

import hashlib
import json
import math
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
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

    def key(self, stem: Stem) -> str:
        """A digest of all that a stem's sound depends on."""
        said = asdict(stem) | {"minus": [self.key(self.stem(id)) for id in stem.minus], "song": self.song.digest}
        for unheard in ("id", "name", "kept"):
            said.pop(unheard)
        for item in (*said["marks"], *said["clips"]):
            item.pop("id")
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:24]

    def in_order(self) -> list[Stem]:
        """The stems in an order in which they can be found."""
        found: list[Stem] = []
        while len(found) < len(self.stems):
            known = {stem.id for stem in found}
            found += [stem for stem in self.stems if stem.id not in known and known.issuperset(stem.minus)][:1]
        return found

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
        for stem in _few(content["stems"]):
            new = Stem(
                str(stem["id"]),
                "",
                tuple(str(id) for id in stem["minus"]),
                kept=stem["kept"] is True,
                **_settings(stem),
            )
            _require(_known(stem) == new.id and new.id not in {stem.id for stem in session.stems})
            session = replace(session, stems=(*session.stems, new))
            for mark in _few(stem["marks"]):
                new = replace(new, marks=(*new.marks, _mark(session, mark, _known(mark))))
            for clip in _few(stem["clips"]):
                digest = str(clip["digest"])
                _require(bool(re.fullmatch("[0-9a-f]{64}", digest)))
                new = replace(
                    new, clips=(*new.clips, Clip(_known(clip), _role(clip["role"]), _text(clip["name"], 255), digest))
                )
            session = _put(session, replace(new, name=_name(session, new, stem["name"])))
        _require(session.kept)
        places = {stem.id: set(stem.minus) for stem in session.stems}
        while places:  # each stem's predecessors must be there, and in no circle
            ready = [id for id, before in places.items() if not before & places.keys()]
            _require(ready and all(session.stem(id) for stem in session.stems for id in stem.minus))
            for id in ready:
                del places[id]
        return session
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise BadEdit("this is not a session of fewshot-sep, or it is damaged") from error


def resized(session: Session, frames: int) -> Session:
    """The session of a song whose length was only promised, once it is known; marks end where the song ends."""
    song = replace(session.song, frames=frames)

    def within(stem: Stem) -> Stem:
        marks = (mark for mark in stem.marks if mark.start < song.seconds)
        return replace(stem, marks=tuple(replace(mark, stop=min(mark.stop, song.seconds)) for mark in marks))

    return Session(song, tuple(within(stem) for stem in session.stems))


def edit(session: Session, said: Edit) -> Session:
    """The session after an edit, as the page sends it: `do` and its arguments. Raises BadEdit."""
    try:
        return _EDITS[str(said["do"])](session, said)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise BadEdit(f"an edit that makes no sense: {str(said)[:200]}") from error


def _mark_edit(session: Session, said: Edit) -> Session:
    stem = session.stem(said["stem"])
    return _put(session, replace(stem, marks=tuple(_few((*stem.marks, _mark(session, said, _id()))))))


def _change(session: Session, said: Edit) -> Session:
    """Move a mark, or give a mark or a clip another role."""
    stem, id = session.stem(said["stem"]), said["item"]
    marks = (_mark(session, asdict(mark) | dict(said), mark.id) if mark.id == id else mark for mark in stem.marks)
    clips = (replace(clip, role=_role(said["role"])) if clip.id == id else clip for clip in stem.clips)
    return _put(session, replace(stem, marks=tuple(marks), clips=tuple(clips)))


def _delete(session: Session, said: Edit) -> Session:
    stem, id = session.stem(said["stem"]), said["item"]
    marks = (mark for mark in stem.marks if mark.id != id)
    clips = (clip for clip in stem.clips if clip.id != id)
    return _put(session, replace(stem, marks=tuple(marks), clips=tuple(clips)))


def _set(session: Session, said: Edit) -> Session:
    stem = session.stem(said["stem"])
    return _put(session, replace(stem, **_settings(asdict(stem) | dict(said))))


def _rename(session: Session, said: Edit) -> Session:
    stem = session.stem(said["stem"])
    return _put(session, replace(stem, name=_name(session, stem, said["name"])))


def _order(session: Session, said: Edit) -> Session:
    """Move a stem of the stack up or down."""
    kept, stem = session.kept, session.stem(said["stem"])
    place = kept.index(stem)
    kept.insert(max(place + (1 if said["by"] > 0 else -1), 0), kept.pop(place))
    return replace(session, stems=(*kept, *(stem for stem in session.stems if not stem.kept)))


def _remove(session: Session, said: Edit) -> Session:
    """Take a stem off the stack: its sound goes back to the residual."""
    gone = session.stem(said["stem"])
    stems = [replace(stem, kept=False) if stem is gone else stem for stem in session.stems]
    while needless := [s for s in stems if not s.kept and not any(s.id in other.minus for other in stems)]:
        stems = [stem for stem in stems if stem not in needless]
    left = replace(session, stems=tuple(stems))
    return left if left.kept else _next(left, {})


def _next(session: Session, said: Edit) -> Session:
    """Begin another stem, in what those of the stack leave."""
    taken = {stem.name.casefold() for stem in session.kept}
    number = next(n for n in range(1, MAX_ITEMS) if f"stem {n}" not in taken)
    new = Stem(_id(), f"stem {number}", tuple(stem.id for stem in session.kept))
    return replace(session, stems=(*session.kept, new, *(stem for stem in session.stems if not stem.kept)))


_EDITS: dict[str, Callable[[Session, Edit], Session]] = {
    "mark": _mark_edit,
    "change": _change,
    "delete": _delete,
    "set": _set,
    "rename": _rename,
    "order": _order,
    "remove": _remove,
    "next": _next,
}


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


def _mark(session: Session, said: Edit, id: str) -> Mark:
    """A mark within the song, its ends in whole milliseconds."""
    start, stop = (min(max(float(said[end]), 0.0), session.song.seconds) for end in ("start", "stop"))
    start, stop = math.ceil(start * 1000) / 1000, math.floor(stop * 1000) / 1000
    if not stop > start:
        raise BadEdit("a mark must end after it begins")
    return Mark(id, _role(said["role"]), start, stop)


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
