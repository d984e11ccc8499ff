"""Evaluation items on disk: a folder with `items.json`, and the sound files that it names.

An item queries one instrument of one mixture: `{id, song, target, mix, query, reference, kind, others}`. Of the fields
here all later ones may be missing; unknown ones are left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from fewshot_sep import files
from fewshot_sep.errors import BadItems
from fewshot_sep.experiments.evaluation import settings

NAME = "items.json"


@dataclass(frozen=True)
class Item:
    """One query to a separator. Paths are relative to the folder, with forward slashes.

    Attributes:
        target: the instrument that is wanted.
        mix: the mixture; if None, the sum of `reference` and `others`.
        query: a clip of the instrument, from outside the evaluated window.
        reference: the target alone; None where the song does not have it.
        others: every other stem of the mixture.
        queries: more clips of the same playing, `query` among them, to cut shorter queries from.
        queried: the instrument that the query plays, where that is another than `target`.
        queried_reference: the stem of that instrument, where it is in the mixture.
        seen: whether training knew the instrument; None where the set does not say.
        clips, seconds: how many clips of what length are the query, cut from `queries`; 0 for the query as it is.
        among: a clip of the song, from outside the evaluated window, in which the target plays with the others.
        without: such a clip of the song without the target.
    """

    id: str
    song: str
    target: str
    kind: str
    mix: str | None
    query: str
    reference: str | None
    others: tuple[str, ...]
    queries: tuple[str, ...] = ()
    queried: str = ""
    queried_reference: str | None = None
    seen: bool | None = None
    clips: int = 0
    seconds: float = 0.0
    among: str | None = None
    without: str | None = None

    @property
    def sources(self) -> int:
        """How many stems are in the mixture."""
        return len(self.others) + (self.reference is not None)

    @property
    def instrument(self) -> str:
        """The instrument that the query plays."""
        return self.queried or self.target

    @property
    def material(self) -> tuple[str, ...]:
        """The files that queries may be cut from."""
        return self.queries or (self.query,)

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that the item names."""
        single = (self.mix, self.query, self.reference, self.queried_reference, self.among, self.without)
        named = (*single, *self.others, *self.queries)
        return tuple(dict.fromkeys(name for name in named if name))


def read(folder: Path) -> list[Item]:
    """The items of a folder.

    Raises:
        BadItems: no list, no items, a field missing or of the wrong type, a file missing, an id twice.
    """
    path = folder / NAME
    try:
        entries = files.read_json(path)
    except (OSError, ValueError) as error:
        raise BadItems(
            f"{path}: no readable list of items ({error}); make one: "
            "python -m fewshot_sep.experiments.evaluation.cutter SONGS ITEMS"
        ) from error
    if not isinstance(entries, list) or not entries:
        raise BadItems(f"{path}: holds no items; it must be a list of objects")
    items = [_item(entry, f"{path}, item {number}") for number, entry in enumerate(entries, 1)]
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise BadItems(f"{path}: two items have the id {item.id!r}; give each its own")
        seen.add(item.id)
        for name in item.files:
            try:
                file = files.inside(folder, name)
            except ValueError as error:
                raise BadItems(f"{path}: item {item.id!r}: {error}") from error
            if not files.is_there(file):
                raise BadItems(f"{path}: item {item.id!r} names {folder / name}, which is not there")
    return items


def _item(entry: Any, where: str) -> Item:
    if not isinstance(entry, dict):
        raise BadItems(f"{where}: is no object")
    texts: dict[str, Any] = {name: entry.get(name) for name in ("id", "song", "target", "kind", "mix", "query")}
    for name, value in texts.items():
        if not isinstance(value, str) or not value:
            raise BadItems(f"{where}: needs a text {name!r}")
    where = f"{where} ({entry['id']})"
    kind = settings.KIND_ALIASES.get(entry["kind"], entry["kind"])
    if kind not in settings.NATIVE:
        raise BadItems(f"{where}: kind {kind!r} is none of {', '.join(settings.NATIVE)}")
    named = {name: entry.get(name, []) for name in ("others", "queries")}
    for name, value in named.items():
        if not isinstance(value, list) or not all(isinstance(file, str) for file in value):
            raise BadItems(f"{where}: {name!r} must be a list of file names")
    reference, seen = entry.get("reference") if kind != "absent" else None, entry.get("seen")
    if kind != "absent" and not isinstance(reference, str):
        raise BadItems(f"{where}: kind {kind!r} needs a 'reference', the file of the target alone")
    if not isinstance(seen, bool | None):
        raise BadItems(f"{where}: 'seen' must be true or false")
    passages: dict[str, Any] = {name: entry.get(name) for name in ("among", "without")}
    for name, value in passages.items():
        if not isinstance(value, str | None):
            raise BadItems(f"{where}: {name!r} must be the name of a file")
    lists: dict[str, Any] = {name: tuple(value) for name, value in named.items()}
    return Item(**{**texts, "kind": kind}, **lists, **passages, reference=reference, seen=seen)


def write(folder: Path, items: Sequence[Item]) -> None:
    """Write the list of items, as `read` reads it."""
    usual = {field.name: field.default for field in fields(Item)}
    entries = [{name: value for name, value in asdict(item).items() if value != usual[name]} for item in items]
    files.write_json(folder / NAME, entries, indent=1)
