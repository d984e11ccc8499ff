"""Evaluation items on disk: a folder with `items.json`, and the sound files that it names.

An item asks for one instrument of one mixture: `{id, song, target, mix, query, reference, kind, others}`. Of the fields
here all later ones may be missing; unknown ones are left alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewshot_sep.errors import BadItems
from fewshot_sep.experiments.evaluation import settings

NAME = "items.json"


@dataclass(frozen=True)
class Item:
    """One question to a separator. Paths are relative to the folder, with forward slashes.

    Attributes:
        target: the instrument that is wanted.
        mix: the mixture; if None, the sum of `reference` and `others`.
        query: a clip of the instrument, from outside the evaluated window.
        reference: the target alone; None where the song does not have it.
        others: every other stem of the mixture.
        queries: more clips of the same playing, `query` among them, to cut shorter queries from.
        asked: the instrument that the query plays, where that is another than `target`.
        asked_reference: the stem of that instrument, where it is in the mixture.
        seen: whether training knew the instrument; None where the set does not say.
        clips, seconds: with how many clips of what length to ask, cut from `queries`; 0 for the query as it is.
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
    asked: str = ""
    asked_reference: str | None = None
    seen: bool | None = None
    clips: int = 0
    seconds: float = 0.0

    @property
    def sources(self) -> int:
        """How many stems are in the mixture."""
        return len(self.others) + (self.reference is not None)

    @property
    def instrument(self) -> str:
        """The instrument that the query plays."""
        return self.asked or self.target

    @property
    def material(self) -> tuple[str, ...]:
        """The files that queries may be cut from."""
        return self.queries or (self.query,)

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that the item names."""
        named = (self.mix, self.query, self.reference, self.asked_reference, *self.others, *self.queries)
        return tuple(dict.fromkeys(name for name in named if name))


def read(folder: Path) -> list[Item]:
    """The items of a folder.

    Raises:
        BadItems: no list, no items, a field missing or of the wrong type, a file missing, an id twice.
    """
    path = folder / NAME
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
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
            if not (folder / name).is_file():
                raise BadItems(f"{path}: item {item.id!r} names {folder / name}, which is not there")
    return items


def _item(entry: Any, where: str) -> Item:
    if not isinstance(entry, dict):
        raise BadItems(f"{where}: is no object")
    for name in ("id", "song", "target", "kind", "mix", "query"):
        if not isinstance(entry.get(name), str) or not entry[name]:
            raise BadItems(f"{where}: needs a text {name!r}")
    where = f"{where} ({entry['id']})"
    if entry["kind"] not in settings.NATIVE:
        raise BadItems(f"{where}: kind {entry['kind']!r} is none of {', '.join(settings.NATIVE)}")
    others, queries, reference = entry.get("others", []), entry.get("queries", []), entry.get("reference")
    for name, value in (("others", others), ("queries", queries)):
        if not isinstance(value, list) or not all(isinstance(file, str) for file in value):
            raise BadItems(f"{where}: {name!r} must be a list of file names")
    if entry["kind"] == "absent":
        reference = None
    elif not isinstance(reference, str):
        raise BadItems(f"{where}: kind {entry['kind']!r} needs a 'reference', the file of the target alone")
    seen = entry.get("seen")
    if seen is not None and not isinstance(seen, bool):
        raise BadItems(f"{where}: 'seen' must be true or false")
    texts = {name: entry[name] for name in ("id", "song", "target", "kind", "mix", "query")}
    return Item(**texts, reference=reference, others=tuple(others), queries=tuple(queries), seen=seen)


def write(folder: Path, items: Sequence[Item]) -> None:
    """Write the list of items, as `read` reads it."""
    entries = []
    for item in items:
        entry: dict[str, Any] = {"id": item.id, "song": item.song, "target": item.target, "kind": item.kind}
        entry |= {"mix": item.mix, "query": item.query, "reference": item.reference, "others": list(item.others)}
        entry |= {"queries": list(item.queries)} if item.queries else {}
        entry |= {"seen": item.seen} if item.seen is not None else {}
        entries.append(entry)
    (folder / NAME).write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
