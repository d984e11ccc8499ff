"""A loop library on disk: a folder of sound files and one `library.csv` that says what each of them is."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, astuple, dataclass, fields
from pathlib import Path

from fewshot_sep import files
from fewshot_sep.errors import BadLibrary

CSV_NAME = "library.csv"
SAMPLE_RATE = 44100
SPLITS = ("train", "valid", "unseen")

HELD_OUT = frozenset({"bassoon", "contrabassoon", "tuba", "accordion", "banjo", "marimba", "sitar"})
"""Instruments that no training may use, from any source: with them one measures what the query alone can do."""

HELD_OUT_SOURCES = frozenset({"freepats"})
"""Collections that no training may use, whatever they play: every row of theirs is of the split "unseen"."""

_OTHER_NAMES = {"bandoneon": "accordion", "tango accordion": "accordion", "concertina": "accordion"}


@dataclass(frozen=True)
class Row:
    """One sound file. Rows with the same `song` start together, are equally long and share key and tempo.

    Attributes:
        path: relative to the library, with forward slashes.
        bpm, beats: 0 where unknown.
        song: empty for a loop that belongs to no song.
        split: one of `SPLITS`.
        section: where in its song a loop is from (verse, chorus, mambo), if that is known.
        loudness: RMS over the active parts in dBFS, 0 where unknown.
        room: time in seconds in which the room that was rendered falls by 60 dB, 0 without one.
    """

    path: str
    instrument: str
    family: str
    source: str
    licence: str
    bpm: float
    beats: float
    song: str
    split: str
    section: str = ""
    loudness: float = 0.0
    room: float = 0.0


COLUMNS = tuple(field.name for field in fields(Row))
REQUIRED = tuple(field.name for field in fields(Row) if field.default is MISSING)
"""Columns that every table has; the others came later."""
_NUMBERS = ("bpm", "beats", "loudness", "room")


@dataclass(frozen=True)
class Library:
    """A folder and its rows."""

    folder: Path
    rows: tuple[Row, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def split(self, name: str) -> Library:
        """The rows of one split: `train`, `valid` or `unseen`."""
        return Library(self.folder, tuple(row for row in self.rows if row.split == name))

    def file(self, row: Row) -> Path:
        """Where the sound of `row` lies."""
        return self.folder / row.path


def is_held_out(instrument: str, source: str = "") -> bool:
    """True if the instrument is one of `HELD_OUT`, under this or another common name, or the source is held out.

    >>> is_held_out("Bandoneon"), is_held_out("bass clarinet"), is_held_out("flute", "freepats/kit0")
    (True, False, True)
    """
    name = instrument.strip().lower()
    return _OTHER_NAMES.get(name, name) in HELD_OUT or source.split("/")[0] in HELD_OUT_SOURCES


def split_of(instrument: str, split: str, source: str = "") -> str:
    """`split`, or `unseen` where the instrument or the source is held out."""
    return "unseen" if is_held_out(instrument, source) else split


def read(folder: str | Path) -> Library:
    """The library in `folder`.

    Raises:
        BadLibrary: there is no `library.csv`, it lacks columns or rows, a value cannot be read, or a file that it names
            is missing or lies outside the folder.
    """
    folder = Path(folder)
    table = folder / CSV_NAME
    if not table.is_file():
        make = f"`fewshot-sep make-library {files.shell_word(folder)}` or `fewshot-sep curate`"
        raise BadLibrary(f"{table}: not found; make one with {make}")
    try:
        with table.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in REQUIRED if name not in (reader.fieldnames or ())]
            if missing:
                raise BadLibrary(f"{table}: columns {', '.join(missing)} missing in the first line")
            rows = tuple(_parse(record, table, reader.line_num) for record in reader)
    except (OSError, ValueError, csv.Error) as error:  # ValueError: not UTF-8
        raise BadLibrary(f"{table}: cannot be read ({error}); make the library again") from error
    if not rows:
        raise BadLibrary(f"{table}: has no rows; make the library again")
    absent = [row.path for row in rows if not files.is_there(folder / row.path)]
    if absent:
        count = f"{len(absent)} of {len(rows)} files"
        raise BadLibrary(f"{folder}: {count} in {CSV_NAME} are missing, the first is {absent[0]}")
    return Library(folder, rows)


def _parse(record: dict[str, str], table: Path, line: int) -> Row:
    try:
        if None in record:
            raise ValueError("has more cells than columns")
        values = {name: (record[name] or "").strip() for name in COLUMNS if name in REQUIRED or name in record}
        numbers = {name: float(values[name] or 0) for name in _NUMBERS if name in values}
        row = Row(**{**values, **numbers})  # type: ignore[arg-type]
    except (KeyError, TypeError, ValueError) as error:
        raise BadLibrary(f"{table}, line {line}: {error}") from error
    try:
        files.inside(table.parent, row.path)
    except ValueError as error:
        raise BadLibrary(f"{table}, line {line}: path {row.path!r} must lie inside the library") from error
    if not all(math.isfinite(getattr(row, name)) for name in _NUMBERS):
        raise BadLibrary(f"{table}, line {line}: {', '.join(_NUMBERS)} must be finite numbers")
    if row.split not in SPLITS:
        raise BadLibrary(f"{table}, line {line}: split {row.split!r} is none of {', '.join(SPLITS)}")
    if is_held_out(row.instrument, row.source) and row.split != "unseen":
        raise BadLibrary(f"{table}, line {line}: {row.instrument} ({row.source}) is held out, its split must be unseen")
    return row


def write(folder: str | Path, rows: Iterable[Row]) -> Library:
    """Write `library.csv` for `rows`, in their order; the old table stays until the new one is whole.

    Raises:
        OutputError: it cannot be written.
    """
    library = Library(Path(folder), tuple(rows))
    with (
        files.replacing(library.folder / CSV_NAME) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(astuple(row) for row in library.rows)
    return library
