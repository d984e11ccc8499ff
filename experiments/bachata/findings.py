"""What a run found, as the blocks of its report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from fewshot_sep.experiments.bachata.settings import FULL, INSTRUMENTS
from fewshot_sep.experiments.kit.document import Block, Heading, Picture, Points, Sounds, Table, Text
from fewshot_sep.experiments.kit.tables import SI_SDR

TITLE = "The 2020 bachata thesis, repeated and measured"
FIGURES = {"si_sdr": "SI-SDR", "si_sdri": "SI-SDRi", "sdr": "SDR", "sir": "SIR", "sar": "SAR"}

Metrics = Mapping[str, Any]
"""What metrics.json holds."""


def blocks(metrics: Metrics, sounds: Sequence[Sounds] = ()) -> list[Block]:
    """The report; `sounds` are table 1 to listen to."""
    return [
        *_answers(metrics),
        Heading("The thesis's figures and tables"),
        Heading("Figure 6: a mixture and the instruments in it; below, what the network predicts", 3),
        Picture("figure6.png", "figure 6"),
        *_figure_8(metrics),
        *_figure_9(metrics),
        *_figure_10(metrics),
        Heading("Table 1: examples to listen to", 3),
        Text("`page.html` has players: five test mixtures with their stems."),
        *sounds,
        Heading("What the thesis could not say"),
        *_test(metrics),
        *_how(metrics),
    ]


def _db(value: float) -> str:
    """One decimal; no figure where next to nothing is in the denominator, such as the artefacts of a plain sum."""
    return "" if value > 90 else f"{value:.1f}" if round(value, 1) else "0.0"


def _mean(values: Iterable[float]) -> float:
    return float(np.mean([*values]))


def _with_mean(by_instrument: Mapping[str, float]) -> list[str]:
    return [*(_db(by_instrument[name]) for name in INSTRUMENTS), _db(_mean(by_instrument.values()))]


def _answers(metrics: Metrics) -> list[Block]:
    guira = {name: entry["guira"] for name, entry in metrics["variants"].items()}
    improved = {
        method: _db(_mean(entry[name]["si_sdri"] for name in INSTRUMENTS)) for method, entry in metrics["test"].items()
    }
    return [
        Text(f"All figures are in dB. {SI_SDR}"),
        Points(
            [
                "Mean SI-SDRi on test mixtures: " + ", ".join(f"{name} {db}" for name, db in improved.items()) + ".",
                f"An unseen instrument: guira has an SI-SDRi of {_db(guira['without-guira'])} if training leaves it "
                f"out, {_db(guira['thesis'])} if not.",
            ]
        ),
    ]


def _figure_8(metrics: Metrics) -> list[Block]:
    names = {"plain": "neither", "clipped": "clipping", "thesis": "clipping and normalisation"}
    rows = [[label, *_with_mean(metrics["variants"][name])] for name, label in names.items()]
    return [
        Heading("Figure 8: the loss without clipping and normalisation, with clipping, with both", 3),
        Picture("figure8.png", "figure 8"),
        Text("The scales of the images differ, and so do the losses. What counts is the sound (median SI-SDRi):"),
        Table(["", *INSTRUMENTS, "mean"], rows),
    ]


def _figure_9(metrics: Metrics) -> list[Block]:
    curve = metrics["loss"]["thesis"]
    tenth = max(1, len(curve) // 10)
    return [
        Heading("Figure 9: the loss of each epoch, and mean and standard deviation over 5, 10 and 20", 3),
        Picture("figure9.png", "figure 9"),
        Text(f"Mean of the first tenth {_mean(curve[:tenth]):.2g}, of the last {_mean(curve[-tenth:]):.2g}."),
    ]


def _figure_10(metrics: Metrics) -> list[Block]:
    curves = {name: metrics["loss"][f"only-{name}"] for name in INSTRUMENTS}
    curves["any instrument"] = metrics["loss"]["any-instrument"]
    last = {name: _mean(curve[-max(1, len(curve) // 5) :]) for name, curve in curves.items()}
    deviation = {name: float(np.std(curve[len(curve) // 2 :])) for name, curve in curves.items()}
    short = metrics["trainings"]["any-instrument"]
    return [
        Heading("Figure 10: one model per instrument against one that is queried with any", 3),
        Picture("figure10.png", "figure 10"),
        Text(
            f"Each was trained for {short['epochs']} x {short['iterations']} iterations. Mean loss of the last fifth: "
            + ", ".join(f"{name} {last[name]:.2g}" for name in sorted(last, key=lambda name: last[name]))
            + ". The thesis found bass lowest and guitar highest."
        ),
        Text(
            "The thesis explained its jagged curve by the random choice of the instrument. Standard deviation over the "
            f"epochs of the second half: {deviation['any instrument']:.2g} with any instrument, "
            f"{_mean(deviation[name] for name in INSTRUMENTS):.2g} with one (mean of the four)."
        ),
    ]


def _test(metrics: Metrics) -> list[Block]:
    rows = [
        [method if name == INSTRUMENTS[0] else "", name, *(_db(entry[name][key]) for key in FIGURES)]
        for method, entry in metrics["test"].items()
        for name in INSTRUMENTS
    ]
    return [
        Heading("Test mixtures", 3),
        Text(
            f"Medians over {metrics['settings']['mixtures']} mixtures of the four instruments, the same queries for "
            "each method. The last two know the stems: they are upper bounds."
        ),
        Table(["", "", *FIGURES.values()], rows),
    ]


def _how(metrics: Metrics) -> list[Block]:
    settings, trainings, clips = metrics["settings"], metrics["trainings"], metrics["clips"]
    full = settings == {**FULL._asdict(), "seed": settings["seed"]}
    minutes = sum(entry["seconds"] for entry in trainings.values()) / 60
    one_voice = [name for name in INSTRUMENTS if name not in metrics["test_voices"]]
    shared = metrics["collections_of_the_shipped_model"]
    lines = [
        f"This is {'the full' if full else 'a reduced'} run: width {settings['width']} "
        f"({trainings['thesis']['parameters'] / 1e6:.2f} M parameters), batch {settings['batch']}, "
        f"{settings['epochs']} x {settings['iterations']} iterations. "
        "The thesis had width 64 (31 M), batch 32, 100 x 100.",
        f"{len(trainings)} trainings took {minutes:.0f} minutes, added up.",
        f"The set is rendered on {metrics['material']}: {clips['train']:,} clips of four beats at 147 BPM and "
        f"11,025 Hz for training, {clips['valid']:,} for the test.",
        "Test clips are from other songs than training's, on other voices"
        + f" (but the {' and the '.join(one_voice)}: the material has one voice)" * bool(one_voice)
        + ".",
    ]
    if shared:
        lines.append(f"The shipped model was trained on other songs, some of them on voices of {' and '.join(shared)}.")
    made_by = "Made by `python -m fewshot_sep.experiments.bachata.run`; settings and every number in `metrics.json`."
    return [Heading("How it was made"), Points([*lines, made_by])]
