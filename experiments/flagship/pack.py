"""Packs a library small enough to be carried: `python -m fewshot_sep.experiments.flagship.pack LIBRARY -o PACKED --mib 240`.

For a GPU machine that cannot be reached by network, or takes little at a time. Whole songs, drawn at random, become Ogg
Vorbis (mono: a quarter of their FLAC), in tar files of at most `--volume` MiB; unpacked into one folder, in any order,
they are a library: `for part in PACKED/*.tar; do tar -xf "$part" -C library; done`. Held-out rows stay behind.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fewshot_sep import audio
from fewshot_sep.errors import BadLibrary, FewshotSepError
from fewshot_sep.loops import library
from fewshot_sep.loops.library import Library, Row

MIB = 2**20
TABLE_PER_ROW = 512  # bytes at most in library.csv
VALIDATION = 0.1  # of the size at most: a training that is watched needs some of every sort


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path, metavar="LIBRARY")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="PACKED", help="folder for the tar files")
    parser.add_argument("--mib", type=int, default=240, help="size of all together (default 240)")
    parser.add_argument("--volume", type=int, default=40, help="size of a tar file in MiB (default 40)")
    parser.add_argument("--seed", type=int, default=0, help="other songs")
    given = parser.parse_args()
    if min(given.mib, given.volume) < 1:
        parser.error("--mib, --volume: give numbers of 1 or more")
    try:
        rows, files = pack(library.read(given.library), given.output, given.mib * MIB, given.volume * MIB, given.seed)
    except FewshotSepError as error:
        parser.exit(error.exit_code, f"error: {error}\n")
    size = sum(file.stat().st_size for file in files) / MIB
    print(f"{len(rows)} files of {len({row.instrument for row in rows})} instruments, {size:.0f} MiB: {given.output}")


def pack(source: Library, folder: Path, most: int, volume: int, seed: int = 0) -> tuple[list[Row], list[Path]]:
    """Write tar files into a folder that holds none yet.

    Args:
        most, volume: bytes of all together and of a file.

    Returns:
        The rows packed, and the files.

    Raises:
        BadLibrary: not even one song of the splits `train` and `valid` goes in.
        FewshotSepError: the folder holds tar files already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.glob("*.tar")):
        raise FewshotSepError(f"{folder}: holds tar files already; give an empty folder")
    with tempfile.TemporaryDirectory(dir=folder) as name:
        place = Path(name)
        overhead = tarfile.RECORDSIZE * (1 + 2 * most // volume)  # any two neighbours hold more than one volume
        room = most - overhead
        valid = list(_chosen(source.split("valid"), place, int(VALIDATION * room), seed))
        room -= sum(_bytes(place, row) for row in valid)
        rows = [*valid, *_chosen(source.split("train"), place, room, seed)]
        if not valid or len(rows) == len(valid):
            raise BadLibrary(
                f"{source.folder}: no song to train or to validate with goes into {most / MIB:g} MiB; allow more"
            )
        library.write(place, rows)
        parts = _parts(place, [library.CSV_NAME, *(row.path for row in rows)], volume)
        return rows, [_tar(folder / f"part-{n:02}.tar", place, names) for n, names in enumerate(parts, 1)]


def _chosen(part: Library, place: Path, most: int, seed: int) -> Iterator[Row]:
    """Songs, or loops that belong to none, in random order until the next would be too much; their sound is written."""
    songs: dict[str, list[Row]] = defaultdict(list)
    for row in part:
        songs[row.song or row.path].append(row)
    names = sorted(songs)
    random.Random(seed).shuffle(names)
    used = 0
    with ThreadPoolExecutor() as pool:
        for name in names:
            rows = list(pool.map(lambda row: _written(part, row, place), songs[name]))
            used += sum(_bytes(place, row) for row in rows)
            if used > most:
                return
            yield from rows


def _written(source: Library, row: Row, place: Path) -> Row:
    samples, rate = audio.read(source.file(row))
    packed = dataclasses.replace(row, path=f"{row.path}.ogg")
    with audio.AudioWriter(place / packed.path, rate, len(samples)) as file:
        file.write(samples)
    return packed


def _bytes(place: Path, row: Row) -> int:
    """What a row takes of the pack."""
    return _member_bytes(place / row.path) + TABLE_PER_ROW


def _member_bytes(path: Path) -> int:
    """What a file takes in a tar file: a head, and whole blocks."""
    return tarfile.BLOCKSIZE * (1 - (-path.stat().st_size // tarfile.BLOCKSIZE))


def _parts(place: Path, names: Sequence[str], volume: int) -> Iterator[list[str]]:
    """The names, divided so that each part's tar file is no larger than `volume` (if no single file is)."""
    part: list[str] = []
    used = empty = 2 * tarfile.BLOCKSIZE
    most = volume // tarfile.RECORDSIZE * tarfile.RECORDSIZE
    for name in names:
        size = _member_bytes(place / name)
        if part and used + size > most:
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
    main()
