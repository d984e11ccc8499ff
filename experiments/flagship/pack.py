"""Packs a library small enough to be carried to a machine without network, or that takes little at a time.

Whole songs, drawn at random, become Ogg Opus of 48 kbit/s mono in tar files; unpacked into one folder, in any order,
they are a library. An instrument that comes along comes twice, if it can: one row is the query of the other. Held-out
rows are left out.
"""

from __future__ import annotations

import dataclasses
import random
import tarfile
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer

from fewshot_sep import audio, cli
from fewshot_sep.errors import BadLibrary, FewshotSepError
from fewshot_sep.loops import library as libraries
from fewshot_sep.loops.library import Library, Row

MIB = 2**20
RATE, KBIT_S = 48000, 48
TABLE_PER_ROW = 512  # bytes at most in library.csv
VALIDATION_SHARE = 0.1  # of the size at most: a training that is watched needs some of every sort


def pack(
    library: Annotated[Path, typer.Argument(help="A loop library, see `fewshot-sep make-library`.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the tar files.", rich_help_panel="output")],
    mib: Annotated[int, typer.Option(min=1, help="Size of all together.")] = 60,
    volume: Annotated[int, typer.Option(min=1, help="Size of a tar file in MiB.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Another seed takes other songs.")] = 0,
) -> None:
    """Pack whole songs of a library as Opus into small tar files.

    Example:
    python -m fewshot_sep.experiments.flagship.pack library -o packed --mib 60
    mkdir library && for part in packed/*.tar; do tar -xf "$part" -C library; done    # there
    """
    rows, files = write_parts(libraries.read(library), output, mib * MIB, volume * MIB, seed)
    size = sum(file.stat().st_size for file in files) / MIB
    typer.echo(f"{len(rows)} files of {len({row.instrument for row in rows})} instruments, {size:.0f} MiB: {output}")


def write_parts(
    source: Library, folder: Path, max_bytes: int, max_part_bytes: int, seed: int = 0
) -> tuple[list[Row], list[Path]]:
    """Write tar files into a folder that holds none yet.

    Args:
        max_bytes, max_part_bytes: of all together and of a file.

    Returns:
        The rows packed, and the files.

    Raises:
        BadLibrary: no two instruments of the split `train`, or of `valid`, go in twice.
        FewshotSepError: the folder holds tar files already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.glob("*.tar")):
        raise FewshotSepError(f"{folder}: holds tar files already; give an empty folder")
    with tempfile.TemporaryDirectory(dir=folder) as name:
        place = Path(name)
        # Any two neighbouring parts hold more than one part's size together, which bounds their number.
        room = max_bytes - tarfile.RECORDSIZE * (1 + 2 * max_bytes // max_part_bytes)
        valid = list(_chosen(source.split("valid"), place, int(VALIDATION_SHARE * room), seed))
        room -= sum(_bytes(place, row) for row in valid)
        rows = [*valid, *_chosen(source.split("train"), place, room, seed)]
        if not (_queryable(valid) and _queryable(rows[len(valid) :])):
            size = f"{max_bytes / MIB:g} MiB"
            raise BadLibrary(f"{source.folder}: too few songs to train or to validate with go into {size}; allow more")
        libraries.write(place, rows)
        parts = _parts(place, [libraries.CSV_NAME, *(row.path for row in rows)], max_part_bytes)
        return rows, [_tar(folder / f"part-{n:02}.tar", place, names) for n, names in enumerate(parts, 1)]


def _queryable(rows: Sequence[Row]) -> bool:
    """Whether tasks can be drawn from them, see `AudioPool`."""
    return sum(count > 1 for count in Counter(row.instrument for row in rows).values()) > 1


def _chosen(part: Library, place: Path, max_bytes: int, seed: int) -> Iterator[Row]:
    """Songs, and loops of no song, until the next would be too much; their sound is written."""
    songs: dict[str, list[Row]] = defaultdict(list)
    for row in part:
        songs[row.song or row.path].append(row)
    used = 0
    with ThreadPoolExecutor() as pool:
        for name in in_pairs({name: {row.instrument for row in rows} for name, rows in songs.items()}, seed):
            rows = list(pool.map(lambda row: _written(part, row, place), songs[name]))
            used += sum(_bytes(place, row) for row in rows)
            if used > max_bytes:
                return
            yield from rows


def in_pairs(instruments: Mapping[str, set[str]], seed: int) -> Iterator[str]:
    """Songs in random order, but a song whose instruments were in none before it is followed by others with them.

    Of several such songs the one comes that brings fewest new instruments with it.

    >>> list(in_pairs({"a": {"flute"}, "b": {"drums"}, "c": {"flute"}, "d": {"drums"}}, seed=0))
    ['c', 'a', 'b', 'd']
    """
    left = sorted(instruments)
    random.Random(seed).shuffle(left)
    known: Counter[str] = Counter()
    while left:
        once = {instrument for instrument, count in known.items() if count == 1}
        partners = [name for name in left if instruments[name] & once]
        name = min(partners or left[:1], key=lambda name: len(instruments[name] - known.keys()))
        left.remove(name)
        known.update(instruments[name])
        yield name


def _written(source: Library, row: Row, place: Path) -> Row:
    samples, rate = audio.read(source.file(row))
    mono = audio.resample(samples.mean(0, keepdims=True), rate, RATE)
    packed = dataclasses.replace(row, path=f"{row.path}.opus")
    with audio.AudioWriter(place / packed.path, RATE, 1, bitrate=KBIT_S) as file:
        file.write(mono)
    return packed


def _bytes(place: Path, row: Row) -> int:
    """What a row takes of the pack."""
    return _member_bytes(place / row.path) + TABLE_PER_ROW


def _member_bytes(path: Path) -> int:
    """What a file takes in a tar file: a head, and whole blocks."""
    return tarfile.BLOCKSIZE * (1 - (-path.stat().st_size // tarfile.BLOCKSIZE))


def _parts(place: Path, names: Sequence[str], max_bytes: int) -> Iterator[list[str]]:
    """The names, divided so that each part's tar file is no larger than allowed (if no single file is)."""
    part: list[str] = []
    used = empty = 2 * tarfile.BLOCKSIZE
    max_bytes = max_bytes // tarfile.RECORDSIZE * tarfile.RECORDSIZE
    for name in names:
        size = _member_bytes(place / name)
        if part and used + size > max_bytes:
            yield part
            part, used = [], empty
        part.append(name)
        used += size
    yield part


def _tar(path: Path, place: Path, names: Sequence[str]) -> Path:
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name in names:
            tar.add(place / name, name)
    return path


if __name__ == "__main__":
    cli.run(pack)
