"""Table 2 of the Wave-U-Net extension in form: SDR, SIR and SAR by the number of sources, on songs nobody trained on.

Slizovskaia et al. 2019 separate duets to quartets of the URMP set into all their parts and average BSS Eval's figures
over parts and pieces. Here the ensembles are drawn from songs of a library's split that no training hears: parts with
different labels, equally loud, and each is asked for in turn.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fewshot_sep.experiments.seeds.about import NAMES, TABLE_2, Ratios

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from fewshot_sep.experiments.seeds.labels import Labels
    from fewshot_sep.loops.tasks.mixing import AudioPool

    Array = NDArray[np.float32]
    Method = Callable[["Part"], Array]

COUNTS = (2, 3, 4, 5)
SECONDS = 8.0
SAMPLE_RATE = 16000
LEVEL = 0.1
"""RMS of each part."""
AUDIBLE = 0.1
"""A part must be at least that loud in the excerpt, re its whole file."""


class Part(NamedTuple):
    """A case for a method: one part of an ensemble is wanted; `reference` `(1, samples)` is the truth."""

    mixture: Array
    sample_rate: int
    queries: list[tuple[Array, int]]
    instrument: str
    reference: Array


class Cell(NamedTuple):
    """Means in dB over the parts whose estimate is not silent; BSS Eval has no figure for silence."""

    ratios: Ratios
    parts: int
    silent: int


Table = dict[str, dict[int, Cell]]


def ensembles(
    pool: AudioPool,
    labels: Labels,
    counts: Iterable[int] = COUNTS,
    each: int = 10,
    seconds: float = SECONDS,
    seed: int = 0,
) -> list[list[Part]]:
    """For each count up to `each` ensembles of so many parts; songs take turns, each with parts that are drawn anew.

    The query of a part is its instrument in another song; parts without one, without label or that are hardly heard
    in the first `seconds` of their song are left out.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    songs = [parts for song in pool.songs if (parts := _parts_by_label(pool, labels, song, seconds))]
    found = []
    for count in counts:
        able = [songs[place] for place in random.permutation(len(songs)) if len(songs[place]) >= count]
        for number in range(each if able else 0):
            by_label = able[number % len(able)]
            chosen = random.choice(sorted(by_label), count, replace=False)
            rows = [int(random.choice(by_label[label])) for label in chosen]
            found.append(_ensemble(pool, rows, seconds, random))
    return found


def _parts_by_label(pool: AudioPool, labels: Labels, song: str, seconds: float) -> dict[str, list[int]]:
    """Rows of a song that can be parts, by label."""
    found: dict[str, list[int]] = {}
    for row in pool.by_song[song]:
        label = labels.find(pool.rows[row].instrument, pool.rows[row].family)
        audible = _excerpt(pool, row, seconds).square().mean().sqrt() > AUDIBLE * pool.loudness[row]
        if label and audible and _other_songs(pool, row):
            found.setdefault(label, []).append(row)
    return found


def _excerpt(pool: AudioPool, row: int, seconds: float) -> Tensor:
    return pool.piece(row, 0, 1.0, min(pool.lengths[row], int(seconds * pool.sample_rate)))


def _other_songs(pool: AudioPool, row: int) -> list[int]:
    """Rows with the same instrument from elsewhere."""
    facts = pool.rows[row]
    return [other for other in pool.by_instrument.get(facts.instrument, []) if pool.rows[other].song != facts.song]


def _ensemble(pool: AudioPool, rows: Sequence[int], seconds: float, random: np.random.Generator) -> list[Part]:
    import torch

    sounds = [_excerpt(pool, row, seconds) for row in rows]
    samples = min(len(sound) for sound in sounds)
    references = torch.stack([sound[:samples] for sound in sounds])
    references = LEVEL * references / references.square().mean(1, keepdim=True).sqrt()
    mixture = references.sum(0, keepdim=True).cpu().numpy()
    parts = []
    for row, reference in zip(rows, references, strict=True):
        clip = _excerpt(pool, int(random.choice(_other_songs(pool, row))), seconds)[None].cpu().numpy()
        instrument = pool.rows[row].instrument
        parts.append(
            Part(mixture, pool.sample_rate, [(clip, pool.sample_rate)], instrument, reference[None].cpu().numpy())
        )
    return parts


def measure(methods: Mapping[str, Method], items: Iterable[Sequence[Part]]) -> Table:
    """Every method's figures by the number of sources.

    Raises:
        EngineMissing: the package fast-bss-eval is not installed.
    """
    import numpy as np

    from fewshot_sep.metrics import bss_eval

    found: dict[str, dict[int, list[NDArray[np.float64]]]] = {name: {} for name in methods}
    for parts in items:
        references = np.concatenate([part.reference for part in parts])
        for name, method in methods.items():
            estimates = np.concatenate([method(part).mean(0, keepdims=True) for part in parts])
            found[name].setdefault(len(parts), []).append(np.stack(bss_eval(references, estimates)))
    return {
        name: {count: _cell(np.concatenate(figures, axis=1)) for count, figures in by_count.items()}
        for name, by_count in found.items()
    }


def _cell(figures: NDArray[np.float64]) -> Cell:
    import numpy as np

    heard = figures[:, ~np.isnan(figures[0])]
    means = heard.mean(1) if heard.size else np.full(3, np.nan)
    return Cell(Ratios(*(float(mean) for mean in means)), figures.shape[1], figures.shape[1] - heard.shape[1])


def markdown(table: Table) -> str:
    """The table, the paper's figures (URMP, not comparable in value) beside those measured here."""
    lines = ["| system | sources | SDR | SIR | SAR | parts (silent) | paper: SDR | SIR | SAR |"]
    lines += ["|---|---|---|---|---|---|---|---|---|"]
    for name in [*table, *(name for name in TABLE_2 if name not in table)]:
        here, there = table.get(name, {}), TABLE_2.get(name, {})
        for count in sorted({*here, *there}):
            ours = [*(f"{value:.2f}" for value in here[count].ratios), _parts(here[count])] if count in here else []
            theirs = [f"{value:.2f}" for value in there[count]] if count in there else []
            cells = [*(ours or [""] * 4), *(theirs or [""] * 3)]
            lines.append(f"| {name} | {count} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _parts(cell: Cell) -> str:
    return f"{cell.parts} ({cell.silent})" if cell.silent else str(cell.parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path, help="the library that the systems were trained on")
    parser.add_argument("runs", type=Path, help="folder that fewshot_sep.experiments.seeds.train wrote")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for table2.md and table2.json")
    parser.add_argument("--system", action="append", choices=NAMES, help="may be repeated; all if none")
    parser.add_argument("--split", choices=("valid", "unseen"), default="valid", help="whose songs")
    parser.add_argument("--each", type=int, default=10, help="ensembles for each number of sources")
    parser.add_argument("--seed", type=int, default=0, help="of the ensembles")
    parser.add_argument("--default", action="store_true", help="also the package's own separator, by query")
    arguments = parser.parse_args()

    from fewshot_sep.experiments.seeds.labels import of_library
    from fewshot_sep.experiments.seeds.separate import load
    from fewshot_sep.loops import library as libraries
    from fewshot_sep.loops.tasks.mixing import AudioPool
    from fewshot_sep.separator import Separator

    methods: dict[str, Method] = {"mixture": lambda part: part.mixture}
    if arguments.default:
        separator = Separator.from_pretrained()
        methods[separator.preset.name] = lambda part: (
            separator.separate(part.mixture, part.queries, part.sample_rate).target
        )
    methods |= {name: load(name, arguments.runs) for name in arguments.system or NAMES}
    library = libraries.read(arguments.library)
    pool = AudioPool(library, arguments.split, SAMPLE_RATE)
    table = measure(methods, ensembles(pool, of_library(library), each=arguments.each, seed=arguments.seed))
    arguments.output.mkdir(parents=True, exist_ok=True)
    figures = {
        name: {
            count: {**cell.ratios._asdict(), "parts": cell.parts, "silent": cell.silent} for count, cell in row.items()
        }
        for name, row in table.items()
    }
    (arguments.output / "table2.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    (arguments.output / "table2.md").write_text(markdown(table), encoding="utf-8")
    print(markdown(table))


if __name__ == "__main__":
    main()
