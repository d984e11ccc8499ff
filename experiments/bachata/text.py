"""The words of the report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.bachata.run import FULL, INSTRUMENTS, SECTIONS, VARIANTS
from experiments.bachata.song_tests import WAYS

_KEYS = ("si_sdr", "si_sdri", "sdr", "sir", "sar")


def _grid(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [heading, ["---"] * len(heading), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _db(value: float) -> str:
    return f"{value:.1f}" if round(value, 1) else "0.0"


def _mean(values: Iterable[float]) -> float:
    return float(np.mean([*values]))


def report(metrics: Mapping[str, Any]) -> str:
    """report.md, of what metrics.json holds."""
    settings, trainings = metrics["settings"], metrics["trainings"]
    main = trainings["thesis"]
    full = all(settings[name] == getattr(FULL, name) for name in ("width", "batch", "epochs", "iterations"))
    size = f"width {settings['width']} ({main['parameters'] / 1e6:.2f} M parameters), batch {settings['batch']}, "
    size += f"{settings['epochs']} x {settings['iterations']} iterations"
    seconds = sum(entry["seconds"] for entry in trainings.values())
    known = [name for name in INSTRUMENTS if name not in metrics["voices_never_heard"]]
    lines = [
        "# The 2020 bachata thesis, repeated and measured",
        "",
        f"This is {'the full' if full else 'a **reduced**'} run: {size}; the thesis had width 64 (31 M), batch 32, "
        f"100 x 100 iterations. {len(trainings)} trainings took {seconds / 60:.0f} minutes. Set: "
        f"{metrics['clips']['train']:,} clips of four beats at 147 BPM and 11,025 Hz for training, "
        f"{metrics['clips']['valid']:,} for the test, rendered on {metrics['material']}.",
        "",
        "Test clips come from songs that training never heard, on voices that it never heard"
        + (f" (except the {' and '.join(known)}, of which the material has one voice: new songs only)." * bool(known)),
        "All figures in dB; SI-SDR(i) is scale-invariant SDR (and its gain over the mixture).",
        "",
        "## The thesis's figures and tables",
        "",
        "**Figure 6**, a mixture and the instruments in it as the network sees them; below, what it found:",
        "",
        "![figure 6](figure6.png)",
        "",
        *_figure_8(metrics),
        *_figure_9(metrics),
        *_figure_10(metrics),
        "**Table 1**, five examples to listen to, and parts of whole songs: [page.html](page.html), one file with players.",
        "",
        *_table_2(metrics),
        "## What the thesis could not say",
        "",
        *_test(metrics),
        *_intro_issue(metrics),
        *_louder_start(metrics),
        *_choice(metrics),
        *_future(metrics),
        "Made by `python -m experiments.bachata.run`"
        + " --full" * full
        + "; every number, and more, in [metrics.json](metrics.json).",
        "",
    ]
    return "\n".join(lines)


def _figure_8(metrics: Mapping[str, Any]) -> list[str]:
    names = {
        "plain": "neither",
        "clipped": "clipping",
        "thesis": "clipping and normalisation",
    }
    gains = metrics["variants"]
    return [
        "**Figure 8**, the loss without clipping and normalisation, with clipping, and with both:",
        "",
        "![figure 8](figure8.png)",
        "",
        "The images' scales differ, and with them the losses; what counts is the sound (median SI-SDRi):",
        "",
        *_grid(
            ["", *INSTRUMENTS, "mean"],
            [
                [label, *(_db(gains[n][i]) for i in INSTRUMENTS), _db(_mean(gains[n].values()))]
                for n, label in names.items()
            ],
        ),
        "",
    ]


def _figure_9(metrics: Mapping[str, Any]) -> list[str]:
    curve = metrics["loss"]["thesis"]
    tenth = max(1, len(curve) // 10)
    return [
        "**Figure 9**, the loss of each epoch, and mean and standard deviation over 5, 10 and 20:",
        "",
        "![figure 9](figure9.png)",
        "",
        f"Mean of the first tenth {_mean(curve[:tenth]):.2g}, of the last {_mean(curve[-tenth:]):.2g}.",
        "",
    ]


def _figure_10(metrics: Mapping[str, Any]) -> list[str]:
    last = {name: _mean(curve[-max(1, len(curve) // 5) :]) for name, curve in metrics["loss"].items()}
    spread = {name: float(np.std(curve[len(curve) // 2 :])) for name, curve in metrics["loss"].items()}
    order = sorted(INSTRUMENTS, key=lambda name: last[f"only-{name}"])
    short = metrics["trainings"]["any-instrument"]
    return [
        f"**Figure 10**, one model per instrument against one that is asked for any, {short['epochs']} x "
        f"{short['iterations']} iterations each:",
        "",
        "![figure 10](figure10.png)",
        "",
        "Mean loss of the last fifth, from low to high: "
        + ", ".join(f"{name} {last[f'only-{name}']:.2g}" for name in order)
        + f"; any instrument {last['any-instrument']:.2g}. The thesis found bass lowest and guitar highest. Its guess that "
        "the curve of any instrument is jagged by the random choice: from epoch to epoch of the second half the loss varies by "
        f"{spread['any-instrument']:.2g} there, by {_mean(spread[f'only-{n}'] for n in INSTRUMENTS):.2g} with one instrument.",
        "",
    ]


def _table_2(metrics: Mapping[str, Any]) -> list[str]:
    rows = []
    for entry in metrics["whole_songs"]["songs"]:
        gains = entry["si_sdri"]
        rows.append(
            [
                entry["song"] if entry["way"] == WAYS[0] else "",
                str(entry["intro"]) if entry["way"] == WAYS[0] else "",
                entry["way"],
                *(_db(gains[name]) for name in INSTRUMENTS),
                _db(_mean(gains.values())),
                f"{100 * entry['on_downbeats']:.0f} %",
            ]
        )
    return [
        "**Table 2**, songs rendered from the same patterns, with an intro of so many beats; SI-SDRi in place of good, fair "
        "and poor. *thesis*: clips of four beats from the first beat found, none overlapping; *songs*: bars by downbeat "
        "tracking, crossfaded, with the thesis's network or the shipped one; last column: clips that begin with a bar.",
        "",
        *_grid(["song", "intro", "way", *INSTRUMENTS, "mean", "on the bar"], rows),
        "",
    ]


def _test(metrics: Mapping[str, Any]) -> list[str]:
    rows = [
        [way if instrument == INSTRUMENTS[0] else "", instrument, *(_db(entry[instrument][key]) for key in _KEYS)]
        for way, entry in metrics["test"].items()
        for instrument in INSTRUMENTS
    ]
    return [
        f"**Test figures**, medians over {metrics['settings']['mixtures']} mixtures of the four instruments; the same "
        "queries for all ways. The last two are bounds.",
        "",
        *_grid(["", "", "SI-SDR", "SI-SDRi", "SDR", "SIR", "SAR"], rows),
        "",
        "![test](test.png)",
        "",
    ]


def _by_way(metrics: Mapping[str, Any], key: str) -> dict[str, dict[int, list[float]]]:
    found: dict[str, dict[int, list[float]]] = {way: defaultdict(list) for way in WAYS}
    for entry in metrics["whole_songs"]["songs"]:
        value = entry[key]
        found[entry["way"]][entry["intro"]] += value.values() if isinstance(value, Mapping) else [value]
    return found


def intro_cost(metrics: Mapping[str, Any]) -> dict[str, float]:
    """By how many dB an intro of 1 to 3 beats lowers the mean SI-SDRi of each way; negative: no cost."""
    gains = _by_way(metrics, "si_sdri")
    return {
        way: _mean(by_intro[0]) - _mean(value for intro in by_intro if intro for value in by_intro[intro])
        for way, by_intro in gains.items()
    }


def _intro_issue(metrics: Mapping[str, Any]) -> list[str]:
    gains, placed, cost = _by_way(metrics, "si_sdri"), _by_way(metrics, "on_downbeats"), intro_cost(metrics)
    intros = sorted(gains[WAYS[0]])
    rows = [
        [
            way,
            *(_db(_mean(gains[way][intro])) for intro in intros),
            _db(cost[way]),
            f"{100 * _mean(v for intro in intros for v in placed[way][intro]):.0f} %",
        ]
        for way in WAYS
    ]
    shifts = metrics["whole_songs"]["shifts"]
    return [
        "**The intro-issue**: mean SI-SDRi by beats of intro; what an intro of 1 to 3 beats costs; clips on the bar.",
        "",
        *_grid(["way", *(f"{intro}" for intro in intros), "cost", "on the bar"], rows),
        "",
        "![by intro](intros.png)",
        "",
        "With beats known and no intro, clips that begin 0, 1, 2 and 3 beats after the downbeats: median SI-SDRi "
        + ", ".join(_db(value) for _, value in sorted(shifts.items()))
        + ".",
        "",
    ]


def _louder_start(metrics: Mapping[str, Any]) -> list[str]:
    starts = metrics["whole_songs"]["starts"]
    return [
        "**The louder starting beat**: by how much the beats at which clips begin stand out from the others, more than in the "
        "true stem (level of the first 0.1 s, median over songs and instruments):",
        "",
        *_grid(["way", "dB"], [[way, f"{starts[way]:+.1f}"] for way in WAYS]),
        "",
    ]


def _choice(metrics: Mapping[str, Any]) -> list[str]:
    found = metrics["queries"]
    voice, section = found["voice"], found["section"]
    rows = [[name, _db(found["spread"][name]), _db(found["range"][name])] for name in INSTRUMENTS]
    return [
        f"**Does the choice of the target clip matter?** {metrics['settings']['queries']} queries for every stem: standard "
        "deviation of SI-SDR over them, and best minus worst.",
        "",
        *_grid(["", "standard deviation", "best - worst"], rows),
        "",
        "Mean SI-SDRi by the query: "
        + "; ".join(
            f"{kind} {key} {_db(values[kind])}"
            for key, values in (("voice", voice), ("section", section))
            for kind in ("same", "other")
            if kind in values
        )
        + f"; a query of another instrument in the mixture {_db(found['wrong'])}.",
        "",
    ]


def _future(metrics: Mapping[str, Any]) -> list[str]:
    variants, phases, band = metrics["variants"], metrics["phases"], metrics["band"]
    gain = {name: _mean(entry.values()) for name, entry in variants.items()}
    unseen = variants["without-guira"]
    cost, starts, queries = intro_cost(metrics), metrics["whole_songs"]["starts"], metrics["queries"]
    sections = metrics["sections"]
    own = _mean(sections[f"only-{name}"][name] for name in SECTIONS)
    elsewhere = _mean(sections[f"only-{a}"][b] for a in SECTIONS for b in SECTIONS if a != b)
    general = _mean(sections["any-instrument"][name] for name in SECTIONS)
    parameters = {name: metrics["trainings"][name]["parameters"] / 1e6 for name in VARIANTS}
    rows = [
        [
            "a GAN",
            f"SI-SDRi {_db(gain['gan'])} with a discriminator of patches, {_db(gain['thesis'])} without (mean of the "
            "instruments); on digits: `fewshot-sep mnist --variant gan`",
        ],
        [
            "residual blocks",
            f"SI-SDRi {_db(gain['residual'])} ({parameters['residual']:.2f} M parameters) against {_db(gain['thesis'])} "
            f"({parameters['thesis']:.2f} M); on digits: `--variant residual`",
        ],
        ["better phase", "the table below"],
        [
            "44 kHz",
            "at 44.1 kHz a perfect answer at 11,025 Hz has an SDR of "
            + ", ".join(f"{_db(band[name]['ceiling'])} ({name})" for name in INSTRUMENTS)
            + "; the shipped model, 44.1 kHz, has a mean SI-SDRi of "
            + ", ".join(f"{_db(band[name]['shipped'])} ({name})" for name in INSTRUMENTS)
            + " on the whole band of the songs",
        ],
        [
            "choice of the target audio",
            f"standard deviation {_db(_mean(queries['spread'].values()))} over queries of one stem; see above",
        ],
        [
            "louder starting beat",
            f"{starts['thesis']:+.1f} the thesis's way, {starts[WAYS[2]]:+.1f} by `songs` with the same network; see above",
        ],
        [
            "section-specific models",
            f"SI-SDRi of a model trained on one section alone: {_db(own)} in its own, {_db(elsewhere)} in the others; of "
            f"one trained as long on all: {_db(general)}. Queries from the same section instead: "
            f"{queries['section']['same'] - queries['section']['other']:+.1f}",
        ],
        [
            "intro-issue",
            f"an intro costs {_db(cost['thesis'])} the thesis's way, {_db(cost[WAYS[2]])} by downbeats with the same "
            f"network, {_db(cost[WAYS[3]])} with the shipped model; see above",
        ],
        [
            "unseen instruments",
            f"guira, never heard in training: SI-SDRi {_db(unseen['guira'])}, against {_db(variants['thesis']['guira'])} where "
            "it was heard; instruments that the shipped model never heard: the top README",
        ],
    ]
    ways = list(phases["true magnitudes"])
    return [
        "## Its future work, item by item",
        "",
        *_grid(["item", "answer"], rows),
        "",
        "Phases, for magnitudes that are true and for those the network predicts (median SI-SDR):",
        "",
        *_grid(["", *phases], [[way, *(_db(found[way]) for found in phases.values())] for way in ways]),
        "",
    ]
