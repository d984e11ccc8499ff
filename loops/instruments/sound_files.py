"""Sound files of material: which they are, how they are read, where they are from and under which licence."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr

from fewshot_sep import audio, files, levels
from fewshot_sep.loops import tables
from fewshot_sep.loops.instruments.voice import Sound
from fewshot_sep.loops.library import SAMPLE_RATE

_log = logging.getLogger(__name__)


def among(paths: Iterable[Path]) -> list[Path]:
    """Those of the paths that are named as sound files, sorted."""
    return sorted(path for path in paths if path.suffix.lower() in files.SOUND_SUFFIXES)


def read_mono(path: str | Path) -> Sound:
    """A sound file at `SAMPLE_RATE`, channels averaged. Raises `BadAudio`."""
    samples, rate = audio.read(path)
    mono: Sound = levels.downmix(samples)
    return mono if rate == SAMPLE_RATE else soxr.resample(mono, rate, SAMPLE_RATE).astype(np.float32)


def slug(name: str) -> str:
    """A name as lower-case letters, digits and single hyphens.

    >>> slug("Tom High (12\\")")
    'tom-high-12'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "x"


class Source(NamedTuple):
    """Short name and licence of a collection."""

    short: str
    licence: str

    def part(self, name: object) -> Source:
        """A part of the collection that counts as a source of its own."""
        return self._replace(short=f"{self.short}/{name}")


@lru_cache
def known_sources() -> dict[str, Source]:
    """The table `sources.csv`: name of the file (without suffix) or folder to what it is.

    Where a folder's own name would say too little, its parent's stands before it: many machines have a `/scratch`.
    """
    rows = tables.beside(__file__, "sources.csv")
    return {row["name"]: Source(row["short"], row["licence"]) for row in rows}


def source_of(path: Path) -> Source:
    """The known source that `path` is or lies in; else its own name and the licence "unknown", with a warning."""
    places = [path, *path.parents]
    names = [path.stem, *(name for place in places for name in (place.name, f"{place.parent.name}/{place.name}"))]
    for name in names:
        if name in known_sources():
            return known_sources()[name]
    _log.warning("%s: licence not in the table of known sources, noted as unknown", path)
    return Source(slug(path.stem), "unknown")
