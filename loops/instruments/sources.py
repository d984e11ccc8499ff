"""Where material is from and under which licence: the table `sources.csv`."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from fewshot_sep.loops import tables
from fewshot_sep.loops.instruments.sound_files import slug

_log = logging.getLogger(__name__)


class Source(NamedTuple):
    """Short name and licence of a collection; `synthetic` if its instruments only borrow the names of real ones."""

    short: str
    licence: str
    synthetic: bool = False


@lru_cache
def known_sources() -> dict[str, Source]:
    """Name of the file (without suffix) or folder to what it is.

    Where a folder's own name would say too little, its parent's stands before it: many machines have a `/scratch`.
    """
    rows = tables.beside(__file__, "sources.csv")
    return {row["name"]: Source(row["short"], row["licence"], row["synthetic"] == "yes") for row in rows}


def source_of(path: Path) -> Source:
    """The known source that `path` is or lies in; else its own name and the licence "unknown", with a warning."""
    places = [path, *path.parents]
    names = [path.stem, *(name for place in places for name in (place.name, f"{place.parent.name}/{place.name}"))]
    for name in names:
        if name in known_sources():
            return known_sources()[name]
    _log.warning("%s: licence not in the table of known sources, noted as unknown", path)
    return Source(slug(path.stem), "unknown")
