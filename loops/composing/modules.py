"""Tracker modules as songs: produced music, one exact stem for each instrument, cut into passages that stay aligned.

What an instrument of a module is called says little, and nothing is made of it: its query is another passage of it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewshot_sep import levels
from fewshot_sep.errors import BadAudio
from fewshot_sep.loops.composing.ensemble import Song
from fewshot_sep.loops.instruments import tracker
from fewshot_sep.loops.instruments.loudness import is_faint, level
from fewshot_sep.loops.instruments.sound_files import slug, source_of
from fewshot_sep.loops.instruments.tracker import Stereo
from fewshot_sep.loops.instruments.voice import Sound
from fewshot_sep.loops.library import SAMPLE_RATE, Row

VALID = 0.2
"""Share of the files that are never trained on."""
FAMILY = "module"
SECTION_S, SECTIONS, SONG_S = 8.0, 4, 60.0
"""Length and number of the sections of a module, of its first minute, that go into a library."""
FRAME_S = 0.25
RANGE_DB, SILENCE_DBFS = 40.0, -60.0
MIN_ACTIVE = 0.25
"""Share of a section in which a stem must sound to count as played there."""
MIN_LEVEL_DB = -45.0
"""Stems further below the whole are left out: nobody hears them."""
TWIN_CORRELATION = 0.985
"""Instruments whose average spectra (dB, in bands) are as alike as this are one stem: copies of one sample."""


@dataclass(frozen=True)
class ModuleSong(Song):
    """A tracker module. Passages of the same moment share `song`; a stem plays in two of them or is left out."""

    path: str = ""
    source: str = ""
    licence: str = ""

    def render(self, seed: int) -> Iterator[tuple[Row, Sound]]:
        tracks = {number: sound.mean(0) for number, sound in stems(Path(self.path), SONG_S).items()}
        if len(tracks) < 2:
            return
        starts = busiest(np.stack([active(track) for track in tracks.values()]))
        size = round(SECTION_S * SAMPLE_RATE)
        for number, track in tracks.items():
            pieces = [
                (start, track[start : start + size]) for start in (round(s * FRAME_S * SAMPLE_RATE) for s in starts)
            ]
            kept = [(start, piece) for start, piece in pieces if len(piece) == size and not is_faint(piece)]
            for start, piece in kept if len(kept) > 1 else ():
                song = f"{self.name}@{start / SAMPLE_RATE:05.1f}s"
                instrument = f"{self.name}-{number:02d}"
                path = f"{slug(FAMILY)}/{song}-{number:02d}.flac"
                about = (instrument, FAMILY, self.source, self.licence)
                yield Row(path, *about, 0.0, 0.0, song, self.split), level(piece)


def stems(path: Path, max_seconds: float = 90.0) -> dict[int, Stereo]:
    """The instruments of a module that can be heard, by number, each alone; copies of one sample are added up.

    Raises:
        BadAudio, EngineMissing: as `tracker.play`.
    """
    sounds: dict[int, Stereo] = {}
    for number in range(tracker.instruments(path)):
        sound = tracker.play(path, number, max_seconds)
        if np.abs(sound).max(initial=0.0) > 0:
            sounds[number] = sound
    whole = sum(float((sound**2).mean()) for sound in sounds.values())
    floor = whole * 10 ** (MIN_LEVEL_DB / 10)
    heard = {number: sound for number, sound in sounds.items() if float((sound**2).mean()) > floor}
    kept: dict[int, Stereo] = {}
    spectra: dict[int, NDArray[np.float32]] = {}
    for number, sound in heard.items():
        spectrum = _bands(sound.mean(0))
        twin = next((n for n, other in spectra.items() if np.corrcoef(other, spectrum)[0, 1] > TWIN_CORRELATION), None)
        if twin is None:
            kept[number], spectra[number] = sound, spectrum
        else:
            kept[twin] = kept[twin] + sound
    return kept


def _bands(sound: Sound, size: int = 4096, bands: int = 96) -> NDArray[np.float32]:
    """Average power in dB in `bands` bands of equal ratio from 40 Hz up."""
    frames = sound[: len(sound) // size * size].reshape(-1, size)[::3]
    power = (np.abs(np.fft.rfft(frames * np.hanning(size), axis=1)) ** 2).mean(0)
    edges = np.unique(np.geomspace(4, len(power), bands + 1).astype(int))
    return np.asarray(10 * np.log10(np.add.reduceat(power, edges[:-1]) + 1e-9), np.float32)


def active(sound: Sound) -> NDArray[np.bool_]:
    """Where a stem sounds, for each quarter of a second."""
    frame = round(FRAME_S * SAMPLE_RATE)
    return levels.active(levels.frame_power(sound, frame), RANGE_DB, SILENCE_DBFS)


def busiest(table: NDArray[np.bool_]) -> list[int]:
    """First frames of `SECTIONS` sections (fewer if the song is shorter), apart, in which most stems sound.

    Args:
        table: `(stems, frames)`, where each of them is active.
    """
    length = round(SECTION_S / FRAME_S)
    starts = np.arange(0, table.shape[1] - length + 1, max(1, length // 4))
    counts = [(table[:, start : start + length].mean(1) >= MIN_ACTIVE).sum() for start in starts]
    chosen: list[int] = []
    for place in np.argsort(-np.array(counts, dtype=int), kind="stable"):
        start = int(starts[place])
        if len(chosen) < SECTIONS and all(abs(start - other) >= length for other in chosen):
            chosen.append(start)
    return sorted(chosen)


def module_files(folder: Path) -> list[Path]:
    """Modules in `folder`, at any depth, each of several equal ones once.

    Raises:
        BadAudio: there are none.
    """
    found: dict[int, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in tracker.SUFFIXES and path.is_file():
            found.setdefault(zlib.crc32(path.read_bytes()), path)
    if not found:
        raise BadAudio(f"{folder}: has no tracker modules; give a folder that has, or leave it out")
    return list(found.values())


def split_of_file(path: Path) -> str:
    """`valid` for a fifth of the modules, by name."""
    return "valid" if zlib.crc32(slug(path.stem).encode()) / 2**32 < VALID else "train"


def plan(folder: Path) -> list[ModuleSong]:
    """A song for each module in `folder`; its package is the folder that it lies in."""
    songs = []
    for path in module_files(folder):
        source = source_of(path.parent)
        name = f"module-{slug(source.short)}-{slug(path.stem)}"
        songs.append(ModuleSong(name, split_of_file(path), (), 0.0, str(path), source.short, source.licence))
    return songs
