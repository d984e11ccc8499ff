"""Cuts evaluation items from songs with stems.

Of each song it takes windows in which as many stems as possible sound, and from outside all of them up to five query
clips of each stem, a passage of the song `without` it (where it rests, if it does) and another with it `among` the
others. A mixture is the sum of its stems. For each stem that sounds in a window there is an item `same` and, where
another song has the instrument, one `cross`; for each window one `absent`, with an instrument from another song whose
whole family the song lacks, unless a stem without a name might play it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray

from fewshot_sep import audio, cli, levels, metrics
from fewshot_sep.errors import BadItems
from fewshot_sep.experiments.evaluation import items, stems
from fewshot_sep.experiments.evaluation.case import Array
from fewshot_sep.experiments.evaluation.items import Item
from fewshot_sep.experiments.evaluation.settings import NATIVE
from fewshot_sep.experiments.evaluation.stems import Song, Stem
from fewshot_sep.loops.curation import filenames

FRAME_S = 0.1
FRAMES_PER_S = 10
RANGE_DB, SILENCE_DBFS = 40.0, -60.0  # frames further below the stem's loudest, or below this, are silent
IN_WINDOW, IN_QUERY = 0.25, 0.5  # least share of active frames
MIN_LEVEL_DB = -35.0  # of a target re its mixture
MIN_QUERY_S = 1
PEAK = 0.99


class Settings(NamedTuple):
    seconds: int = 10
    per_song: int = 3
    clips: int = 5
    clip_s: int = 10
    seed: int = 0


USUAL = Settings()


class Cut(NamedTuple):
    """What was cut from a song. Paths are relative to the set.

    Attributes:
        mixtures: one file for each window.
        windows: for each window the file of every stem that sounds in it.
        queryable: the stems loud enough to be queried, each with the number of its window.
        queries: clips of every stem that there are clips of.
        passages: for every stem the files `among` and `without`, as far as there are any.
    """

    song: Song
    mixtures: list[str]
    windows: list[dict[Stem, str]]
    queryable: list[tuple[int, Stem]]
    queries: dict[Stem, tuple[str, ...]]
    passages: dict[Stem, dict[str, str]]


def cut(folder: Path, out: Path, settings: Settings = USUAL) -> list[Item]:
    """Write a set of items made of the songs in `folder`; the same settings give the same set.

    Raises:
        BadItems: no songs with stems; as `cut_songs`.
    """
    return cut_songs(stems.find(folder), out, settings)


def cut_songs(songs: Sequence[Song], out: Path, settings: Settings = USUAL) -> list[Item]:
    """As `cut`, of these songs.

    Raises:
        BadItems: an output folder that holds something, nothing that could be queried.
    """
    if out.exists() and any(out.iterdir()):
        raise BadItems(f"{out}: is not empty; give a new folder, so that no items of another set are left in it")
    (out / "audio").mkdir(parents=True, exist_ok=True)
    cuts = [_cut_song(song, out, settings) for song in cli.tracked(songs, "cutting")]
    found = [item for made in cuts for item in _items(made, [other for other in cuts if other is not made], settings)]
    if not found:
        raise BadItems(
            f"{out}: in no window of {settings.seconds} s of {len(songs)} songs do two stems sound of which one sounds "
            "elsewhere too; try fewer --seconds"
        )
    items.write(out, found)
    return found


def active(samples: Array, rate: int) -> NDArray[np.bool_]:
    """Whether something sounds, for each tenth of a second."""
    return levels.active(levels.frame_power(samples, round(FRAME_S * rate)), RANGE_DB, SILENCE_DBFS)


def _cut_song(song: Song, out: Path, settings: Settings) -> Cut:
    """Twice through the stems, so that only one is in memory: where they sound, then what is cut from them."""
    rate, activity = 0, {}
    for stem in song.stems:
        samples, own_rate = stem.load()
        rate = rate or own_rate
        activity[stem] = active(samples, own_rate)
    frames = max(map(len, activity.values()))
    table = np.stack([np.pad(row, (0, frames - len(row))) for row in activity.values()])
    starts = _windows(table, settings, _random(song.name, settings.seed))
    taken = np.zeros(frames, dtype=bool)
    for start in starts:
        taken[start : start + settings.seconds * FRAMES_PER_S] = True

    passages = {
        (other, name): place
        for other, row, others in zip(song.stems, table, table.sum(0) - table > 0, strict=True)
        for name, place in _passages(row, others, taken, settings).items()
        if other.instrument
    }
    sums: dict[tuple[Stem, str], Array] = {}
    pieces: list[dict[Stem, Array]] = [{} for _ in starts]
    queries = {}
    for stem, row in zip(song.stems, table, strict=True):
        samples, own_rate = stem.load()
        samples = audio.resample(samples, own_rate, rate)
        for piece, start in zip(pieces, starts, strict=True):
            if row[start : start + settings.seconds * FRAMES_PER_S].mean() >= IN_WINDOW:
                piece[stem] = _part(samples, start, settings.seconds, rate)
        for key, (length, place) in passages.items():
            if key != (stem, "without"):
                part = _part(samples, place, length, rate)
                sums[key] = stems.total([sums[key], part]) if key in sums else part
        length, places = _query_places(row & ~taken, taken, settings)
        clips = [_part(samples, place, length, rate) for place in places]
        if clips and stem.instrument:
            queries[stem] = tuple(
                _write(out, f"{song.name}.{stem.name}.query{number}", clip, rate)
                for number, clip in enumerate(clips, 1)
            )
    made = Cut(song, [], [], [], queries, {stem: {} for stem in song.stems})
    for (stem, name), passage in sums.items():
        made.passages[stem][name] = _write(out, f"{song.name}.{stem.name}.{name}", passage, rate)
    for window, piece in enumerate(pieces):
        channels = max(len(sound) for sound in piece.values())
        spread = {stem: np.broadcast_to(sound, (channels, sound.shape[1])) for stem, sound in piece.items()}
        mixture = stems.total(spread.values())
        gain = min(1.0, PEAK / max(float(np.abs(sound).max()) for sound in (mixture, *spread.values())))
        name = f"{song.name}.{window + 1}"
        made.mixtures.append(_write(out, f"{name}.mix", mixture * gain, rate))
        made.windows.append({stem: _write(out, f"{name}.{stem.name}", s * gain, rate) for stem, s in spread.items()})
        loud = [stem for stem, sound in spread.items() if metrics.level_db(sound, mixture) > MIN_LEVEL_DB]
        made.queryable.extend((window, stem) for stem in loud if stem.instrument)
    return made


def _windows(table: NDArray[np.bool_], settings: Settings, rng: np.random.Generator) -> list[int]:
    """First frames of windows that do not overlap, those with most stems first; at most half of the song."""
    length = settings.seconds * FRAMES_PER_S
    starts = np.arange(0, table.shape[1] - length + 1, max(1, length // 4))
    counts = np.array([(table[:, start : start + length].mean(1) >= IN_WINDOW).sum() for start in starts], dtype=int)
    most = max(1, min(settings.per_song, table.shape[1] // (2 * length)))
    chosen: list[int] = []
    for place in np.lexsort((rng.random(len(starts)), -counts)):
        start = int(starts[place])
        if counts[place] > 1 and len(chosen) < most and all(abs(start - other) >= length for other in chosen):
            chosen.append(start)
    return sorted(chosen)


def _query_places(active: NDArray[np.bool_], taken: NDArray[np.bool_], settings: Settings) -> tuple[int, list[int]]:
    """Length in seconds and first frames of clips that overlap neither a window nor each other, the fullest first.

    Where no clip of the wanted length fits, half of it is tried, and so on.
    """
    length = settings.clip_s
    while length >= MIN_QUERY_S:
        size = length * FRAMES_PER_S
        starts = [s for s in range(0, len(active) - size + 1, FRAMES_PER_S) if not taken[s : s + size].any()]
        shares = {start: active[start : start + size].mean() for start in starts}
        chosen: list[int] = []
        for start in sorted(starts, key=lambda start: -shares[start]):
            if shares[start] >= IN_QUERY and all(abs(start - other) >= size for other in chosen):
                chosen.append(start)
        if chosen:
            return length, chosen[: settings.clips]
        length //= 2
    return 0, []


def _passages(
    active: NDArray[np.bool_], others: NDArray[np.bool_], taken: NDArray[np.bool_], settings: Settings
) -> dict[str, tuple[int, int]]:
    """Length in seconds and first frame of the passages `without` a stem and with it `among` others.

    They do not overlap: the same passage with and without the stem would give it away.
    """
    found, taken = {}, taken.copy()
    for name, choices in (("without", (others & ~active, others)), ("among", (others & active,))):
        for sounding in choices:
            length, places = _query_places(sounding & ~taken, taken, settings._replace(clips=1))
            if places:
                found[name] = length, places[0]
                taken[places[0] : places[0] + length * FRAMES_PER_S] = True
                break
    return found


def _part(samples: Array, frame: int, seconds: int, rate: int) -> Array:
    """A passage; silence after the end."""
    start, length = round(frame * FRAME_S * rate), seconds * rate
    part = samples[:, start : start + length]
    return np.pad(part, ((0, 0), (0, length - part.shape[1])))


def _write(out: Path, name: str, samples: Array, rate: int) -> str:
    file = f"audio/{name.replace(' ', '_')}.flac"
    audio.write(out / file, samples / max(1.0, float(np.abs(samples).max())), rate)
    return file


def _item(made: Cut, window: int, target: str, kind: str, stem: Stem | None, queries: tuple[str, ...]) -> Item:
    sounds = made.windows[window]
    name = f"{made.song.name}.{window + 1}.{target.replace(' ', '_')}.{kind}"
    others = tuple(file for other, file in sounds.items() if other is not stem)
    passages = made.passages[stem] if stem else {}
    return Item(
        name,
        made.song.name,
        target,
        kind,
        made.mixtures[window],
        queries[0],
        sounds[stem] if stem else None,
        others,
        queries=queries,
        among=passages.get("among"),
        without=passages.get("without"),
    )


def _items(made: Cut, others: list[Cut], settings: Settings) -> Iterator[Item]:
    """The items of a song: those of kind `same`, `cross` and `absent`; `others` are the other songs."""
    foreign = [
        (stem.instrument, clips)
        for other in others
        for stem, clips in other.queries.items()
        if not filenames.is_vague(stem.instrument)
    ]
    for window, stem in made.queryable:
        if stem in made.queries:
            yield _item(made, window, stem.instrument, "same", stem, made.queries[stem])
    for window, stem in made.queryable:
        if pool := [clips for instrument, clips in foreign if instrument == stem.instrument]:
            rng = _random(f"{made.song.name} {window} {stem.name} cross", settings.seed)
            yield _item(made, window, stem.instrument, "cross", stem, pool[rng.integers(len(pool))])
    played = set[str]().union(*(kinds_of(stem.instrument) for stem in made.song.stems))
    missing = [(instrument, clips) for instrument, clips in foreign if not kinds_of(instrument) & played]
    if missing and all(stem.instrument for stem in made.song.stems):
        for window in range(len(made.mixtures)):
            rng = _random(f"{made.song.name} {window} absent", settings.seed)
            instrument, clips = missing[rng.integers(len(missing))]
            yield _item(made, window, instrument, "absent", None, clips)


def kinds_of(instrument: str) -> set[str]:
    """The families that a name speaks of, or the name itself where it speaks of none.

    >>> sorted(kinds_of("brass and strings")), kinds_of("violin"), kinds_of("theremin")
    (['brass', 'strings'], {'strings'}, {'theremin'})
    """
    families = filenames.families(instrument)
    return {"strings" if family == "ensemble" else family for family in families} or {instrument}


def _random(purpose: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


def main(
    songs: Annotated[Path, typer.Argument(help="Folder of songs with stems, in any of the forms of stems.py.")],
    output: Annotated[Path, typer.Argument(metavar="ITEMS", help="Folder to write.")],
    seconds: Annotated[int, typer.Option(min=1, help="Length of a window.")] = USUAL.seconds,
    per_song: Annotated[int, typer.Option(min=1, help="Windows of a song, at most.")] = USUAL.per_song,
    clips: Annotated[int, typer.Option(min=1, help="Query clips of a stem, at most.")] = USUAL.clips,
    clip_seconds: Annotated[int, typer.Option(min=1, help="Length of a query clip.")] = USUAL.clip_s,
    seed: Annotated[int, typer.Option(min=0, help="Another seed cuts elsewhere.")] = USUAL.seed,
) -> None:
    """Cut evaluation items from songs with stems.

    Example:
      python -m fewshot_sep.experiments.evaluation.cutter SONGS ITEMS --seconds 10 --per-song 3
    """
    made = cut(songs, output, Settings(seconds, per_song, clips, clip_seconds, seed))
    kinds = {kind: sum(item.kind == kind for item in made) for kind in NATIVE}
    typer.echo(f"{output / items.NAME}: {', '.join(f'{count} {kind}' for kind, count in kinds.items())}")


if __name__ == "__main__":
    cli.run(main)
