"""What `fewshot-sep suggest` is worth: its passages against the stems, and what they gain beside a clip.

The target is the stem that is named, or the second loudest, shown by a loud clip drawn at random.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from fewshot_sep import Prompt, Separator, audio, cli, metrics
from fewshot_sep.experiments.evaluation import stems
from fewshot_sep.experiments.evaluation.case import Array
from fewshot_sep.prompt import Query
from fewshot_sep.songs.suggest import Passage, distinct, with_instrument

CLIP_S = 6
LOUD_DB = -6.0  # of a clip, re the whole target
ALONE_DB, ABSENT_DB = 6.0, -20.0  # of target re rest: from the one on it plays alone, up to the other it is absent


def suggested(
    songs: Annotated[Path, typer.Argument(help="Songs with stems, as the evaluation's cutter takes them.")],
    stem: Annotated[str | None, typer.Option(help="Name of the target's stem; without it the second loudest.")] = None,
    seconds: Annotated[int, typer.Option(min=20, help="Of each song, from its beginning.")] = 120,
    clips: Annotated[int, typer.Option(min=1, help="For each song, one after the other.")] = 2,
) -> None:
    """Print a table: for each song and clip how many suggested passages are right, and the SI-SDRi in dB.

    Example:
    python -m fewshot_sep.experiments.whole_songs.suggested SONGS --stem guitar
    """
    separator = Separator.from_pretrained()
    cli.say(
        "| song | alone | among | absent | unsure | one alone | clip | + alone, absent | + among |\n" + "|---" * 9 + "|"
    )
    for song in stems.find(songs):
        target, rest, rate = _cut(song, stem, seconds)
        for number in range(clips):
            cli.say(f"| {song.name} | {' | '.join(_row(separator, target, rest, rate, number))} |")


def _cut(song: stems.Song, stem: str | None, seconds: int) -> tuple[Array, Array, int]:
    """Target, the sum of the others, and their rate."""
    loaded = [(part.name, *part.load()) for part in song.stems]
    rate = loaded[0][2]
    cut = {name: audio.resample(sound, its, rate)[:, : seconds * rate] for name, sound, its in loaded}
    by_level = sorted(cut, key=lambda name: -float(np.square(cut[name]).mean()))
    chosen = stem if stem in cut else by_level[1]
    others = stems.total(sound for name, sound in cut.items() if name != chosen)
    target = stems.total([cut[chosen], 0 * others])
    return target, stems.total([others, 0 * target]), rate


def _row(separator: Separator, target: Array, rest: Array, rate: int, seed: int) -> list[str]:
    mixture, random = target + rest, np.random.default_rng(seed)
    parts = [target[:, start : start + CLIP_S * rate] for start in range(0, target.shape[1] - CLIP_S * rate, rate)]
    loud = [part for part in parts if metrics.level_db(part, target) > LOUD_DB]
    query: Query = (loud[int(random.integers(len(loud)))], rate)

    def cut(sound: Array, passage: Passage) -> Array:
        return sound[:, round(passage.start * rate) : round(passage.stop * rate)]

    def levels(passages: list[Passage]) -> list[float]:
        return [metrics.level_db(cut(target, passage), cut(rest, passage)) for passage in passages]

    def of_song(passages: list[Passage]) -> list[Query]:
        return [(cut(mixture, passage), rate) for passage in passages]

    def gain(prompt: Prompt) -> float:
        found = separator.separate(mixture, prompt, rate).target
        return metrics.si_sdr(target, found) - metrics.si_sdr(target, mixture)

    source = audio.ArraySource(mixture, rate)
    found, unsure = with_instrument(separator, source, separator.condition([query], rate))
    alone, among, absent = (list(passages) for passages in found)
    right = [
        [level > ALONE_DB for level in levels(alone)],
        [ABSENT_DB < level <= ALONE_DB for level in levels(among)],
        [level <= ABSENT_DB for level in levels(absent)],
        [abs(level) > ALONE_DB for level in levels(distinct(separator, source))],
    ]
    counts = [f"{sum(some)} of {len(some)}" if some else "" for some in right]
    by_clip = gain(Prompt([query]))
    with_passages = gain(Prompt([query, *of_song(alone)], absent=of_song(absent))) if alone or absent else by_clip
    with_all = gain(Prompt([query, *of_song(alone)], of_song(among), of_song(absent))) if among else with_passages
    gains = [f"{value:.1f}" for value in (by_clip, with_passages, with_all)]
    return [*counts[:3], "yes" if unsure else "", counts[3], *gains]


if __name__ == "__main__":
    cli.run(suggested)
