"""Harder questions, derived from the items of a set: always the same for the same set.

`itself`: the target is its own query, the best there can be. `wrong`: the query plays another instrument of the
mixture. `shuffled`: the query belongs to an item of another song. Clips of other roles come with the query.
`borders`: marks that were set carelessly: 0.3 s of what does not belong there, and an instrument that rests for half of
the clip among others. `clips`: 1, 3 or 5 clips of 1, 3 or 10 s, as far as the material allows. `sources`: the target
with fewer of the others.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fewshot_sep import audio
from fewshot_sep.errors import BadItems
from fewshot_sep.experiments.evaluation import settings
from fewshot_sep.experiments.evaluation.case import Array, Case
from fewshot_sep.experiments.evaluation.items import Item

Clip = tuple[Array, int]

CLIPS, SECONDS = (1, 3, 5), (1.0, 3.0, 10.0)
MIN_SOURCES = 2
SOUNDING_DB = -40.0  # of a cut clip, re the whole clip that it was cut from
BORDER_S = 0.3
EXACT = 1e-3  # by how much a mixture may miss the sum of its stems


class Sounds:
    """The sound files of a set, the last few kept in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.read = functools.lru_cache(maxsize=12)(self._read)

    def _read(self, name: str) -> tuple[Array, int]:
        return audio.read(self.folder / name)

    def case(self, item: Item) -> Case:
        """What a method is given for an item. Raises BadItems where stems and mixture differ in shape or rate."""
        reference = self.read(item.reference) if item.reference else None
        others = [self.read(name) for name in item.others]
        stems = [reference, *others] if reference else others
        mixture, rate = self.read(item.mix) if item.mix else (_sum([stem for stem, _ in stems]), stems[0][1])
        for samples, its_rate in stems:
            if samples.shape != mixture.shape or its_rate != rate:
                raise BadItems(
                    f"{self.folder}: item {item.id!r}: a stem has {samples.shape} samples at {its_rate} Hz, "
                    f"its mixture {mixture.shape} at {rate} Hz; they must be equal"
                )
        queries = self.clips(item) if item.clips else [self.read(item.query)]
        among, absent = ([self.read(name)] if name else [] for name in (item.among, item.without))
        if item.kind == "borders":
            (alone,), (with_others,), (without,) = queries, among, absent
            queries, absent = [_begun_with(alone, with_others)], [_begun_with(without, with_others)]
            among = [_begun_with(with_others, without, with_others[0].shape[1] / with_others[1] / 2)]
        stem = reference and reference[0]
        return Case(mixture, queries, rate, item.instrument, stem, [stem for stem, _ in others], among, absent)

    def clips(self, item: Item) -> list[tuple[Array, int]]:
        """`item.clips` passages of `item.seconds` from its material, none overlapping; fewer where there are no more.

        More clips contain the fewer ones.
        """
        found = []
        for name in item.material:
            samples, rate = self.read(name)
            length = round(item.seconds * rate)
            least = 10 ** (SOUNDING_DB / 20) * np.sqrt(np.mean(samples**2))
            for start in range(0, samples.shape[1] - length + 1, length):
                part = samples[:, start : start + length]
                if np.sqrt(np.mean(part**2)) > max(least, 1e-3):
                    found.append((part, rate))
        order = _random(item, f"clips of {item.seconds:g} s").permutation(len(found))
        return [found[place] for place in order[: item.clips]]

    def is_sum(self, item: Item) -> bool:
        """Whether the mixture is the sum of the stems, so that it can be made again of fewer."""
        if item.mix is None or item.reference is None:
            return False
        mixture, _ = self.read(item.mix)
        stems = [self.read(name)[0] for name in (item.reference, *item.others)]
        fits = all(stem.shape == mixture.shape for stem in stems)
        return fits and bool(np.abs(mixture - _sum(stems)).max() < EXACT)


def _sum(stems: list[Array]) -> Array:
    total: Array = np.sum(stems, axis=0, dtype=np.float32)
    return total


def derive(items: Sequence[Item], conditions: Iterable[str], sounds: Sounds) -> list[Item]:
    """The items of the chosen conditions: the native ones as they are, then those derived from the kind `same`."""
    chosen = set(conditions)
    same = [item for item in items if item.kind == "same"]
    derived: dict[str, Callable[[Item], Iterable[Item]]] = {
        "itself": _oracle,
        "wrong": lambda item: _mismatched(item, "wrong", same),
        "shuffled": lambda item: _mismatched(item, "shuffled", same),
        "clips": lambda item: _clips(item, sounds),
        "borders": _careless,
        "sources": lambda item: _fewer_sources(item, sounds),
    }
    found = [item for item in items if item.kind in chosen]
    return found + [new for kind, make in derived.items() if kind in chosen for item in same for new in make(item)]


def _oracle(item: Item) -> Iterable[Item]:
    if item.reference:
        yield replace(item, id=f"{item.id}/itself", kind="itself", query=item.reference, queries=())


def _mismatched(item: Item, kind: str, same: Sequence[Item]) -> Iterable[Item]:
    """The item with the clips that show another instrument: of the same mixture, or of another song."""
    inside = kind == "wrong"
    others = [other for other in same if other.target != item.target and (other.reference or not inside)]
    others = [other for other in others if (other.mix == item.mix if inside else other.song != item.song)]
    if not others:
        return
    other = others[_random(item, kind).integers(len(others))]
    yield replace(
        item,
        id=f"{item.id}/{kind}:{other.target}",
        kind=kind,
        query=other.query,
        queries=other.queries,
        among=other.among,
        without=other.without,
        queried=other.target,
        queried_reference=other.reference if inside else None,
    )


def _clips(item: Item, sounds: Sounds) -> Iterable[Item]:
    for seconds in SECONDS:
        for count in CLIPS:
            question = replace(item, id=f"{item.id}/{count}x{seconds:g}s", kind="clips", clips=count, seconds=seconds)
            if len(sounds.clips(question)) == count:
                yield question


def _careless(item: Item) -> Iterable[Item]:
    if item.among and item.without:
        yield replace(item, id=f"{item.id}/borders", kind="borders")


def _begun_with(clip: Clip, other: Clip, seconds: float = BORDER_S) -> Clip:
    """The clip, its beginning replaced by that of another one."""
    samples, rate = clip
    beginning = audio.resample(other[0].mean(0, keepdims=True), other[1], rate)[:, : round(seconds * rate)]
    beginning = beginning[:, : samples.shape[1]]
    rest = samples[:, beginning.shape[1] :]
    return np.concatenate([np.repeat(beginning, len(samples), axis=0), rest], axis=1), rate


def _fewer_sources(item: Item, sounds: Sounds) -> Iterable[Item]:
    """The target with a first, a second, ... other stem added, at most five in all and fewer than there are."""
    if item.sources <= MIN_SOURCES or not sounds.is_sum(item):
        return
    order = _random(item, "sources").permutation(len(item.others))
    for count in range(MIN_SOURCES, min(settings.MAX_SOURCES, item.sources - 1) + 1):
        others = tuple(item.others[place] for place in order[: count - 1])
        name = f"{item.id}/{count}of{item.sources}"
        yield replace(item, id=name, kind="sources", mix=None, others=others)


def _random(item: Item, purpose: str) -> np.random.Generator:
    """Chance that depends on item and purpose alone, so that one item's draw does not move another's."""
    song_and_target = f"{item.song}|{item.mix}|{item.query}|{item.target}|{purpose}"
    return np.random.default_rng(zlib.crc32(song_and_target.encode()))
