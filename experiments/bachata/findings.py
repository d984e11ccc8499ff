"""What a run found, as the blocks of its report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from fewshot_sep.experiments.bachata.measure_clips import MISI, MIXTURE_PHASE, TRUE_PHASE
from fewshot_sep.experiments.bachata.settings import (
    BARS_SHIPPED,
    BARS_THESIS,
    FULL,
    INSTRUMENTS,
    SECTIONS,
    SONG_METHODS,
    THESIS,
    THESIS_MASK,
    Settings,
)
from fewshot_sep.experiments.kit.document import Block, Heading, Picture, Points, Sounds, Table, Text

TITLE = "The 2020 bachata thesis, repeated and measured"
_FIGURES = {"si_sdr": "SI-SDR", "si_sdri": "SI-SDRi", "sdr": "SDR", "sir": "SIR", "sar": "SAR"}

Metrics = Mapping[str, Any]
"""What metrics.json holds."""


def blocks(metrics: Metrics, sounds: Sequence[Sounds] = ()) -> list[Block]:
    """The report; `sounds` are tables 1 and 2 to listen to."""
    return [
        *_answers(metrics),
        Heading("The thesis's figures and tables"),
        Heading("Figure 6: a mixture and the instruments in it; below, what the network predicts", 3),
        Picture("figure6.png", "figure 6"),
        *_figure_8(metrics),
        *_figure_9(metrics),
        *_figure_10(metrics),
        Heading("Table 1: examples to listen to", 3),
        Text("`page.html` is this report with players: five test mixtures, and parts of whole songs."),
        *sounds,
        *_table_2(metrics),
        Heading("What the thesis could not say"),
        *_test(metrics),
        *_intro_issue(metrics),
        *_louder_start(metrics),
        *_choice(metrics),
        *_future(metrics),
        *_how(metrics),
    ]


def _db(value: float) -> str:
    """One decimal; no figure where next to nothing is in the denominator, such as the artefacts of a plain sum."""
    return "" if value > 90 else f"{value:.1f}" if round(value, 1) else "0.0"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _mean(values: Iterable[float]) -> float:
    return float(np.mean([*values]))


def _with_mean(by_instrument: Mapping[str, float]) -> list[str]:
    return [*(_db(by_instrument[name]) for name in INSTRUMENTS), _db(_mean(by_instrument.values()))]


def _each(by_instrument: Mapping[str, float]) -> str:
    return ", ".join(f"{_db(by_instrument[name])} ({name})" for name in INSTRUMENTS)


def _answers(metrics: Metrics) -> list[Block]:
    cost = intro_cost(metrics)
    tested = {
        method: _mean(entry[name]["si_sdri"] for name in INSTRUMENTS) for method, entry in metrics["test"].items()
    }
    return [
        Text("All figures are in dB. SI-SDR is scale-invariant SDR, SI-SDRi its improvement over the mixture."),
        Points(
            [
                "Mean SI-SDRi on test mixtures: " + ", ".join(f"{name} {_db(v)}" for name, v in tested.items()) + ".",
                f"An intro of 1 to 3 beats costs {_db(cost[THESIS])} by the thesis's method, and "
                f"{_db(cost[BARS_THESIS])} by downbeats with the same network.",
            ]
        ),
    ]


def _figure_8(metrics: Metrics) -> list[Block]:
    names = {"plain": "neither", "clipped": "clipping", "thesis": "clipping and normalisation"}
    return [
        Heading("Figure 8: the loss without clipping and normalisation, with clipping, with both", 3),
        Picture("figure8.png", "figure 8"),
        Text("The scales of the images differ, and so do the losses. What counts is the sound (median SI-SDRi):"),
        Table(
            ["", *INSTRUMENTS, "mean"],
            [[label, *_with_mean(metrics["variants"][name])] for name, label in names.items()],
        ),
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
    curves = {name: metrics["loss"][name] for name in ("any-instrument", *(f"only-{i}" for i in INSTRUMENTS))}
    last = {name: _mean(curve[-max(1, len(curve) // 5) :]) for name, curve in curves.items()}
    deviation = {name: float(np.std(curve[len(curve) // 2 :])) for name, curve in curves.items()}
    order = sorted(INSTRUMENTS, key=lambda name: last[f"only-{name}"])
    short = metrics["trainings"]["any-instrument"]
    return [
        Heading("Figure 10: one model per instrument against one queried with any", 3),
        Picture("figure10.png", "figure 10"),
        Text(
            f"Each was trained for {short['epochs']} x {short['iterations']} iterations. Mean loss of the last fifth, "
            "from low to high: "
            + ", ".join(f"{name} {last[f'only-{name}']:.2g}" for name in order)
            + f"; any instrument {last['any-instrument']:.2g}. The thesis found bass lowest and guitar highest."
        ),
        Text(
            "The thesis explained its jagged curve by the random choice of the instrument. Standard deviation over the "
            f"epochs of the second half: {deviation['any-instrument']:.2g} with any instrument, "
            f"{_mean(deviation[f'only-{i}'] for i in INSTRUMENTS):.2g} with one (mean of the four)."
        ),
    ]


def _table_2(metrics: Metrics) -> list[Block]:
    rows = []
    for entry in metrics["songs"]["separated"]:
        about = [entry["song"], str(entry["intro"])] if entry["method"] == THESIS else ["", ""]
        rows.append([*about, entry["method"], *_with_mean(entry["si_sdri"]), _percent(entry["on_downbeats"])])
    return [
        Heading("Table 2: whole songs, SI-SDRi in place of good, fair and poor", 3),
        Text("The songs are rendered from the same patterns, with an intro of so many beats."),
        Points(
            [
                "thesis: clips of four beats from the first beat found, none overlapping, the result stretched back.",
                "mask carried back: the same clips, but a mask is taken back to the song's tempo.",
                "downbeats known: the thesis's method from the true first downbeat.",
                "songs: bars by downbeat tracking, with context and crossfades, brought to the tempo by the STFT's hop.",
                "no bars: segments of fixed length instead.",
            ]
        ),
        Table(["song", "intro", "method", *INSTRUMENTS, "mean", "clips on the bar"], rows),
        Text(
            "Stretching to the common tempo and back is itself a limit. By the thesis's method even the true stems come "
            f"back with an SI-SDR of {_each(metrics['songs']['stretched'])}."
        ),
    ]


def _test(metrics: Metrics) -> list[Block]:
    rows = [
        [method if name == INSTRUMENTS[0] else "", name, *(_db(entry[name][key]) for key in _FIGURES)]
        for method, entry in metrics["test"].items()
        for name in INSTRUMENTS
    ]
    return [
        Heading("Test figures", 3),
        Text(
            f"Medians over {metrics['settings']['mixtures']} mixtures of the four instruments, the same queries for all "
            "methods. The last two know the stems: they are upper bounds."
        ),
        Table(["", "", *_FIGURES.values()], rows),
        Picture("test.png", "SI-SDRi by instrument"),
    ]


def _by_method(metrics: Metrics, key: str) -> dict[str, dict[int, list[float]]]:
    """A figure of whole songs by method and beats of intro."""
    found: dict[str, dict[int, list[float]]] = {method: defaultdict(list) for method in SONG_METHODS}
    for entry in metrics["songs"]["separated"]:
        value = entry[key]
        found[entry["method"]][entry["intro"]] += value.values() if isinstance(value, Mapping) else [value]
    return found


def intro_cost(metrics: Metrics) -> dict[str, float]:
    """By how many dB an intro of 1 to 3 beats lowers the mean SI-SDRi of each method; negative: it raises it."""
    return {
        method: _mean(by_intro[0]) - _mean(value for intro in by_intro if intro for value in by_intro[intro])
        for method, by_intro in _by_method(metrics, "si_sdri").items()
    }


def _intro_issue(metrics: Metrics) -> list[Block]:
    improved, placed, cost = _by_method(metrics, "si_sdri"), _by_method(metrics, "on_downbeats"), intro_cost(metrics)
    intros = sorted(improved[THESIS])
    rows = [
        [
            method,
            *(_db(_mean(improved[method][intro])) for intro in intros),
            _db(cost[method]),
            _percent(_mean(value for intro in intros if intro for value in placed[method][intro])),
        ]
        for method in SONG_METHODS
    ]
    shifts = metrics["songs"]["shifts"]
    head = ["method", *(f"intro {intro}" for intro in intros), "cost", "clips on the bar, intro 1 to 3"]
    return [
        Heading("The thesis's “intro-issue”", 3),
        Text("Mean SI-SDRi by beats of intro, and what an intro of 1 to 3 beats costs:"),
        Table(head, rows),
        Picture("intros.png", "SI-SDRi by beats of intro"),
        Text(
            "The network alone, beats known, masks carried back: clips that begin 0, 1, 2 and 3 beats after the downbeats "
            f"have a median SI-SDRi of {', '.join(_db(value) for _, value in sorted(shifts.items()))}."
        ),
    ]


def _louder_start(metrics: Metrics) -> list[Block]:
    starts = metrics["songs"]["starts"]
    return [
        Heading("The louder starting beat", 3),
        Text(
            "By how much the beats at which clips begin stand out from the others, more than in the true stem (level of "
            "the first 0.1 s, median over songs and instruments):"
        ),
        Table(["method", "dB"], [[method, f"{starts[method]:+.1f}"] for method in SONG_METHODS]),
    ]


def _choice(metrics: Metrics) -> list[Block]:
    found = metrics["queries"]
    return [
        Heading("Does the choice of the query matter?", 3),
        Text(
            f"{metrics['settings']['queries']} queries for every stem: standard deviation of SI-SDR over them, and best "
            "minus worst."
        ),
        Table(
            ["", "standard deviation", "best - worst"],
            [[name, _db(found["spread"][name]), _db(found["range"][name])] for name in INSTRUMENTS],
        ),
        Text(
            f"A query of the stem's own voice is {found['voice']:+.1f} better than one of another voice. A query of the "
            f"same section is {found['section']:+.1f} better than one of another section. Mean SI-SDRi of the stem is "
            f"{_db(found['right'])} with queries of its instrument. It is {_db(found['wrong'])} with queries of another "
            "instrument in the mixture: the lower, the more the network follows the query."
        ),
    ]


def _future(metrics: Metrics) -> list[Block]:
    phases = metrics["phases"]
    return [
        Heading("Its future work, item by item"),
        Table(["item", "answer"], [[item, answer] for item, answer in _items(metrics).items()]),
        Text("Phases, for magnitudes that are true and for those the network predicts (median SI-SDR):"),
        Table(
            ["", *phases],
            [
                [name, *(_db(values[name]) for values in phases.values())]
                for name in next(iter(phases.values()))
            ],
        ),
    ]


def _items(metrics: Metrics) -> dict[str, str]:
    variants, band, sections = metrics["variants"], metrics["band"], metrics["sections"]
    mean = {name: _mean(entry.values()) for name, entry in variants.items()}
    millions = {name: f"{entry['parameters'] / 1e6:.2f} M" for name, entry in metrics["trainings"].items()}
    cost, starts, queries = intro_cost(metrics), metrics["songs"]["starts"], metrics["queries"]
    phases = metrics["phases"]["predicted magnitudes"]
    own = _mean(sections[f"only-{name}"][name] for name in SECTIONS)
    elsewhere = _mean(sections[f"only-{a}"][b] for a in SECTIONS for b in SECTIONS if a != b)
    general = _mean(sections["any-instrument"][name] for name in SECTIONS)
    ceiling, shipped = ({name: band[name][key] for name in INSTRUMENTS} for key in ("ceiling", "shipped"))
    return {
        "a GAN": "it lost, and its code is gone: SI-SDRi 7.2 with a discriminator of patches, 8.2 without, in the default "
        "run of revision 88c9d8c",
        "residual blocks": f"SI-SDRi {_db(mean['residual'])} ({millions['residual']} parameters) against "
        f"{_db(mean['thesis'])} ({millions['thesis']}); on digits: `fewshot-sep mnist --variant residual`",
        "better phase": f"predicted magnitudes have an SI-SDR of {_db(phases[MISI])} with MISI, "
        f"{_db(phases[MIXTURE_PHASE])} with the mixture's phase, {_db(phases[TRUE_PHASE])} with the true phase; table "
        "below",
        "44 kHz": f"at 44.1 kHz, a perfect answer at 11,025 Hz has an SDR of {_each(ceiling)}; the shipped model, "
        f"which works at 44.1 kHz, has a mean SI-SDRi on the songs' whole band of {_each(shipped)}",
        "choice of the target audio": f"standard deviation {_db(_mean(queries['spread'].values()))} over the queries "
        "of a stem; above",
        "louder starting beat": f"{starts[THESIS]:+.1f} by the thesis's method, {starts[BARS_THESIS]:+.1f} by `songs` "
        "with the same network; above",
        "section-specific models": f"SI-SDRi {_db(own)} in the section a model was trained on, {_db(elsewhere)} in the "
        f"others; {_db(general)} by one trained as long on all; a query from the same section instead: "
        f"{queries['section']:+.1f}",
        "intro-issue": f"an intro of 1 to 3 beats costs {_db(cost[THESIS])} by the thesis's method "
        f"({_db(cost[THESIS_MASK])} with the mask carried back), {_db(cost[BARS_THESIS])} by downbeats with the same "
        f"network, {_db(cost[BARS_SHIPPED])} with the shipped model; above",
        "unseen instruments": f"guira, left out of training: SI-SDRi {_db(variants['without-guira']['guira'])}, "
        f"against {_db(variants['thesis']['guira'])} where it was not; for the shipped model see the top README",
    }


def _how(metrics: Metrics) -> list[Block]:
    settings, trainings, clips = metrics["settings"], metrics["trainings"], metrics["clips"]
    full = settings == {**FULL._asdict(), "seed": settings["seed"]}
    minutes = sum(entry["seconds"] for entry in trainings.values()) / 60
    one_voice = [name for name in INSTRUMENTS if name not in metrics["test_voices"]]
    shared = metrics["collections_of_the_shipped_model"]
    lines = [
        f"This is {'the full' if full else 'a reduced'} run: width {settings['width']} "
        f"({trainings['thesis']['parameters'] / 1e6:.2f} M parameters), batch {settings['batch']}, "
        f"{settings['epochs']} x {settings['iterations']} iterations. The thesis had width 64 (31 M), batch 32, 100 x 100.",
        f"{len(trainings)} trainings took {minutes:.0f} minutes, added up.",
        f"The set is rendered on {metrics['material']}: {clips['train']:,} clips of four beats at 147 BPM and 11,025 Hz "
        f"for training, {clips['valid']:,} for the test.",
        "Test clips are from other songs than training's, on other voices"
        + f" (but the {' and the '.join(one_voice)}: the material has one voice)" * bool(one_voice)
        + ".",
    ]
    if shared:
        lines.append(
            f"The shipped model was trained on other songs, among them some on {' and '.join(shared)}, so these voices "
            "are not all new to it."
        )
    command = f"Made by `{_command(settings)}`; every number, and more, in `metrics.json`."
    return [Heading("How it was made"), Points(lines), Text(command)]


def _command(settings: Mapping[str, Any]) -> str:
    """The call with which such a run is made, without its material."""
    reduced, full = Settings()._asdict(), FULL._asdict()
    near = full if settings["width"] == full["width"] else reduced
    changed = [f" --{name.replace('_', '-')} {value}" for name, value in settings.items() if value != near[name]]
    return "python -m fewshot_sep.experiments.bachata.run" + " --full" * (near is full) + "".join(changed)
