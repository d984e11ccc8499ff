"""`python -m fewshot_sep.experiments.bachata.run`: the 2020 bachata thesis again, its figures and tables, and what it left open."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

OUTPUT = Path("out/bachata")
INSTRUMENTS = ("bongo", "guira", "bass", "guitar")
SECTIONS = ("verse", "chorus", "mambo")


class Variant(NamedTuple):
    """A training: the thesis's, or one that differs in something.

    Attributes:
        clip: clamp the output image to [0, 1].
        normalise: divide the images by the mixture's maximum.
        residual: blocks with shortcuts. adversarial: a discriminator beside the mean squared error.
        only: the only instrument that is asked for. without: an instrument that training never hears. section: the
            only section that training hears. Empty: no such limit.
        short: half the epochs, of fewer iterations, as in the thesis's trainings for single instruments.
    """

    clip: bool = True
    normalise: bool = True
    residual: bool = False
    adversarial: bool = False
    only: str = ""
    without: str = ""
    section: str = ""
    short: bool = False


VARIANTS = {
    "thesis": Variant(),
    "plain": Variant(clip=False, normalise=False),
    "clipped": Variant(normalise=False),
    "residual": Variant(residual=True),
    "gan": Variant(adversarial=True),
    "without-guira": Variant(without="guira"),
    "any-instrument": Variant(short=True),
    **{f"only-{name}": Variant(only=name, short=True) for name in INSTRUMENTS},
    **{f"only-{name}": Variant(section=name, short=True) for name in SECTIONS},
}


class Settings(NamedTuple):
    """All that decides what a run finds.

    Attributes:
        width: channels of the first level. batch: tasks per iteration.
        epochs, iterations: of every variant, iterations per epoch. short_iterations: of the short ones, per epoch.
        songs: of the training set. mixtures: test mixtures, each with every instrument asked for once.
        queries: clips tried for each of the first mixtures' instruments, where the choice of the query is measured.
        tunes: whole songs, each with an intro of 0, 1, 2 and 3 beats. bars: of each of a tune's sections.
    """

    width: int = 8
    batch: int = 4
    epochs: int = 100
    iterations: int = 6
    short_iterations: int = 3
    songs: int = 40
    mixtures: int = 32
    queries: int = 12
    tunes: int = 2
    bars: int = 4
    seed: int = 0

    def length(self, variant: Variant) -> tuple[int, int]:
        """Epochs and iterations per epoch of a variant."""
        return (self.epochs // 2, self.short_iterations) if variant.short else (self.epochs, self.iterations)


FULL = Settings(
    width=64, batch=32, iterations=100, short_iterations=20, songs=150, mixtures=100, queries=30, tunes=6, bars=8
)


def bachata(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run; gone on with.")] = OUTPUT,
    full: Annotated[bool, typer.Option("--full", help="The thesis's size: width 64, batch 32, 100 x 100.")] = False,
    width: Annotated[int | None, typer.Option(min=1, help="Channels of the network's first level.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Tasks per iteration.")] = None,
    epochs: Annotated[int | None, typer.Option(min=2, help="Epochs of every training.")] = None,
    iterations: Annotated[int | None, typer.Option(min=1, help="Iterations per epoch.")] = None,
    short_iterations: Annotated[int | None, typer.Option(min=1, help="Of the shorter trainings.")] = None,
    songs: Annotated[int | None, typer.Option(min=10, help="Songs of the training set.")] = None,
    mixtures: Annotated[int | None, typer.Option(min=4, help="Test mixtures.")] = None,
    queries: Annotated[
        int | None, typer.Option(min=2, help="Queries tried, to see whether the choice matters.")
    ] = None,
    tunes: Annotated[int | None, typer.Option(min=1, help="Whole songs, each with four intros.")] = None,
    bars: Annotated[int | None, typer.Option(min=2, help="Bars of each section of a whole song.")] = None,
    soundfont: Annotated[
        list[Path] | None, typer.Option(help="Soundfont to play on, may be repeated; pretty_midi's if none is given.")
    ] = None,
    samples: Annotated[list[Path] | None, typer.Option(help="Folder of samples as for `make-library`.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of set, weights and tasks.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Repeat the 2020 bachata thesis on a set rendered here, and measure what it left open."""
    chosen = {name: value for name, value in locals().items() if name in Settings._fields and value is not None}
    settings = (FULL if full else Settings())._replace(**chosen)

    from fewshot_sep.experiments.bachata import clips, measure, report, trainer
    from fewshot_sep.experiments.kit import resume
    from fewshot_sep.loops.instruments.material import Material, bundled_soundfont

    bundled = bundled_soundfont()
    fonts = tuple(soundfont or ([bundled] if bundled else []))
    material = Material(soundfonts=fonts, samples=tuple(samples or ()))
    resume.same_as_before(output, {**settings._asdict(), "material": material.summary()})
    typer.echo(f"set of {settings.songs} songs on {material.summary() or 'nothing'}")
    shelf = clips.prepare(output, material, settings.songs, settings.seed)
    typer.echo(f"training {len(VARIANTS)} variants")
    with contextlib.closing(trainer.train_all(VARIANTS, settings, shelf, output, device)) as trained:
        for number, name in enumerate(trained, 1):
            typer.echo(f"trained {name} ({number} of {len(VARIANTS)})")
    measured = measure.everything(output, settings, shelf, material, device, typer.echo)
    typer.echo(f"report: {report.write(output, settings, shelf, material, measured, device)}")


if __name__ == "__main__":
    from fewshot_sep.cli import run

    run(bachata)
