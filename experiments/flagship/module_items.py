"""Evaluation items from the tracker modules that training leaves alone: a validation set that sounds like records."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated

import typer

from fewshot_sep import cli
from fewshot_sep.experiments.evaluation import cutter
from fewshot_sep.experiments.evaluation.case import Array
from fewshot_sep.experiments.evaluation.stems import Song, Stem
from fewshot_sep.loops.composing import modules
from fewshot_sep.loops.composing.modules import ModuleSong
from fewshot_sep.loops.library import SAMPLE_RATE

MIN_STEMS = 3
CUT = cutter.Settings(per_song=1, clips=1, clip_s=8)

stems_of = lru_cache(maxsize=1)(modules.stems)


class ModuleStem(Stem):
    """An instrument of a module: its one part is the module and its number there."""

    def load(self) -> tuple[Array, int]:
        ((path, number),) = self.parts
        return stems_of(path)[number], SAMPLE_RATE


def song_of(module: ModuleSong) -> Song:
    """A module with its stems, each an instrument that no other module has."""
    path = Path(module.path)
    names = [f"{number:02d}" for number in stems_of(path)]
    return Song(module.name, tuple(ModuleStem(name, f"{module.name}-{name}", ((path, int(name)),)) for name in names))


def module_items(
    folder: Annotated[Path, typer.Argument(metavar="MODULES", help="Folder of tracker modules, a folder per package.")],
    output: Annotated[Path, typer.Argument(metavar="ITEMS", help="Folder to write.")],
    seed: Annotated[int, typer.Option(min=0, help="Another seed cuts elsewhere.")] = 0,
) -> None:
    """Cut evaluation items from the modules of the valid split.

    Example:
      python -m fewshot_sep.experiments.flagship.module_items sounds/modules module_items
    """
    songs = [song_of(module) for module in modules.plan(folder) if module.split == "valid"]
    rich = [song for song in songs if len(song.stems) >= MIN_STEMS]
    made = cutter.cut_songs(rich, output, CUT._replace(seed=seed))
    typer.echo(f"{output}: {len(made)} items of {len({item.song for item in made})} modules")


if __name__ == "__main__":
    cli.run(module_items)
