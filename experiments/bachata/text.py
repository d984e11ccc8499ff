"""The words of the report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from fewshot_sep.experiments.bachata.clip_tests import MIXTURE_PHASE
from fewshot_sep.experiments.bachata.run import FULL, INSTRUMENTS, SECTIONS, Settings
from fewshot_sep.experiments.bachata.song_tests import WAYS

_KEYS = ("si_sdr", "si_sdri", "sdr", "sir", "sar")


def _grid(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [heading, ["---"] * len(heading), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _db(value: float) -> str:
    """One decimal; no figure where next to nothing is in the denominator, such as the artefacts of a plain sum."""
    return "" if value > 90 else f"{value:.1f}" if round(value, 1) else "0.0"


def _with_mean(by_instrument: Mapping[str, float]) -> list[str]:
    return [*(_db(by_instrument[name]) for name in INSTRUMENTS), _db(_mean(by_instrument.values()))]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _mean(values: Iterable[float]) -> float:
    return float(np.mean([*values]))


def report(metrics: Mapping[str, Any]) -> str:
    """report.md, of what metrics.json holds."""
    full = metrics["settings"] == {**FULL._asdict(), "seed": metrics["settings"]["seed"]}
    lines = [
        "# The 2020 bachata thesis, repeated and measured",
        "",
        *_what_this_is(metrics, full),
        "## The thesis's figures and tables",
        "",
        "**Figure 6**, a mixture and the instruments in it as the network sees them; below, what it found:",
        "",
        "![figure 6](figure6.png)",
        "",
        *_figure_8(metrics),
        *_figure_9(metrics),
        *_figure_10(metrics),
        "**Table 1**, five examples to listen to, and parts of whole songs: [page.html](page.html), one file with "
        "players.",
        "",
        *_table_2(metrics),
        "## What the thesis could not say",
        "",
        *_test(metrics),
        *_intro_issue(metrics),
        *_louder_start(metrics),
        *_choice(metrics),
        *_future(metrics),
        f"Made by `{_command(metrics['settings'])}`; every number, and more, in [metrics.json](metrics.json).",
        "",
    ]
    return "\n".join(lines)


def _command(settings: Mapping[str, Any]) -> str:
    """The call with which such a run is made, without its material."""
    reduced, full = Settings()._asdict(), FULL._asdict()
    near = full if settings["width"] == full["width"] else reduced
    changed = [f" --{name.replace('_', '-')} {value}" for name, value in settings.items() if value != near[name]]
    return "python -m fewshot_sep.experiments.bachata.run" + " --full" * (near is full) + "".join(changed)


def _what_this_is(metrics: Mapping[str, Any], full: bool) -> list[str]:
    settings, trainings = metrics["settings"], metrics["trainings"]
    minutes = sum(entry["seconds"] for entry in trainings.values()) / 60
    known = [name for name in INSTRUMENTS if name not in metrics["voices_never_heard"]]
    heard = metrics["collections_heard_by_the_shipped_model"]
    lines = [
        f"This is {'the full' if full else 'a **reduced**'} run: width {settings['width']} "
        f"({trainings['thesis']['parameters'] / 1e6:.2f} M parameters), batch {settings['batch']}, "
        f"{settings['epochs']} x {settings['iterations']} iterations; the thesis had width 64 (31 M), batch 32, "
        f"100 x 100. {len(trainings)} trainings took {minutes:.0f} minutes, added up. Set: "
        f"{metrics['clips']['train']:,} clips of four beats at 147 BPM and 11,025 Hz for training, "
        f"{metrics['clips']['valid']:,} for the test, rendered on "
        f"{metrics['material']}.",
        "",
        "Test clips are from songs that training never heard, on voices that it never heard"
        + f" (but the {' and the '.join(known)}: the material has one voice, so only the songs are new)" * bool(known)
        + ".",
        "All figures are in dB; SI-SDR is scale-invariant SDR, SI-SDRi its improvement over the mixture.",
    ]
    if heard:
        lines.append(
            f"The shipped model was trained on other songs, among them some on {' and '.join(heard)}, so these voices "
            "are not all new to it."
        )
    return [*lines, ""]


def _figure_8(metrics: Mapping[str, Any]) -> list[str]:
    names = {"plain": "neither", "clipped": "clipping", "thesis": "clipping and normalisation"}
    gains = metrics["variants"]
    return [
        "**Figure 8**, the loss without clipping and normalisation, with clipping, and with both:",
        "",
        "![figure 8](figure8.png)",
        "",
        "The images' scales differ, and with them the losses; what counts is the sound (median SI-SDRi):",
        "",
        *_grid(["", *INSTRUMENTS, "mean"], [[label, *_with_mean(gains[name])] for name, label in names.items()]),
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
    curves = {name: metrics["loss"][name] for name in ("any-instrument", *(f"only-{i}" for i in INSTRUMENTS))}
    last = {name: _mean(curve[-max(1, len(curve) // 5) :]) for name, curve in curves.items()}
    jagged = {name: float(np.std(curve[len(curve) // 2 :])) for name, curve in curves.items()}
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
        + f"; any instrument {last['any-instrument']:.2g}. The thesis found bass lowest and guitar highest, and took "
        "the random choice for the reason why its curve is jagged. Standard deviation over the epochs of the second "
        f"half: {jagged['any-instrument']:.2g} with any instrument, "
        f"{_mean(jagged[f'only-{i}'] for i in INSTRUMENTS):.2g} "
        "with one (mean of the four).",
        "",
    ]


def _table_2(metrics: Mapping[str, Any]) -> list[str]:
    rows = []
    for entry in metrics["whole_songs"]["songs"]:
        first = entry["way"] == WAYS[0]
        about = [entry["song"], str(entry["intro"])] if first else ["", ""]
        rows.append([*about, entry["way"], *_with_mean(entry["si_sdri"]), _percent(entry["on_downbeats"])])
    back = metrics["whole_songs"]["stretched"]
    return [
        "**Table 2**, songs rendered from the same patterns, with an intro of so many beats; SI-SDRi in place of good, "
        "fair and poor.",
        "",
        "- *thesis*: clips of four beats from the first beat found, none overlapping, the found sound stretched back; "
        "*mask carried back*: the same clips, but a mask is taken back to the song's tempo; *downbeats known*: the "
        "thesis's way from the true first downbeat.",
        "- *songs*: bars by downbeat tracking, with context and crossfades, brought to the tempo by the STFT's hop; "
        "*no bars*: segments of fixed length instead.",
        "",
        *_grid(["song", "intro", "way", *INSTRUMENTS, "mean", "clips on the bar"], rows),
        "",
        "Stretching to the common tempo and back is itself a limit: the true stems come out of the thesis's way with "
        "an SI-SDR of " + ", ".join(f"{_db(back[name])} ({name})" for name in INSTRUMENTS) + ".",
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
        "queries for all ways. The last two know the stems.",
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
    """By how many dB an intro of 1 to 3 beats lowers the mean SI-SDRi of each way; negative: it raises it."""
    return {
        way: _mean(by_intro[0]) - _mean(value for intro in by_intro if intro for value in by_intro[intro])
        for way, by_intro in _by_way(metrics, "si_sdri").items()
    }


def _intro_issue(metrics: Mapping[str, Any]) -> list[str]:
    gains, placed, cost = _by_way(metrics, "si_sdri"), _by_way(metrics, "on_downbeats"), intro_cost(metrics)
    intros = sorted(gains[WAYS[0]])
    rows = [
        [
            way,
            *(_db(_mean(gains[way][intro])) for intro in intros),
            _db(cost[way]),
            _percent(_mean(value for intro in intros if intro for value in placed[way][intro])),
        ]
        for way in WAYS
    ]
    shifts = metrics["whole_songs"]["shifts"]
    heading = ["way", *(f"intro {intro}" for intro in intros), "cost", "clips on the bar, intro 1 to 3"]
    return [
        "**The intro-issue**: mean SI-SDRi by beats of intro; what an intro of 1 to 3 beats costs; clips on the bar.",
        "",
        *_grid(heading, rows),
        "",
        "![by intro](intros.png)",
        "",
        "The network alone, beats known, masks carried back: clips that begin 0, 1, 2 and 3 beats after the downbeats "
        "have a median SI-SDRi of " + ", ".join(_db(value) for _, value in sorted(shifts.items())) + ".",
        "",
    ]


def _louder_start(metrics: Mapping[str, Any]) -> list[str]:
    starts = metrics["whole_songs"]["starts"]
    return [
        "**The louder starting beat**: by how much the beats at which clips begin stand out from the others, more "
        "than in the true stem (level of the first 0.1 s, median over songs and instruments):",
        "",
        *_grid(["way", "dB"], [[way, f"{starts[way]:+.1f}"] for way in WAYS]),
        "",
    ]


def _choice(metrics: Mapping[str, Any]) -> list[str]:
    found = metrics["queries"]
    rows = [[name, _db(found["spread"][name]), _db(found["range"][name])] for name in INSTRUMENTS]
    return [
        f"**Does the choice of the target clip matter?** {metrics['settings']['queries']} queries for every stem: "
        "standard deviation of SI-SDR over them, and best minus worst.",
        "",
        *_grid(["", "standard deviation", "best - worst"], rows),
        "",
        f"A query of the stem's own voice gains {found['voice']:+.1f} over one of another voice, of the same section "
        f"{found['section']:+.1f} over one of another section. Mean SI-SDRi of the stem {_db(found['right'])} with "
        f"queries of its instrument, {_db(found['wrong'])} with queries of another one in the mixture: the lower, the "
        "more the network listens to the query.",
        "",
    ]


def _future(metrics: Mapping[str, Any]) -> list[str]:
    rows = [[item, answer] for item, answer in _answers(metrics).items()]
    phases = metrics["phases"]
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


def _answers(metrics: Mapping[str, Any]) -> dict[str, str]:
    variants, band, songs = metrics["variants"], metrics["band"], metrics["whole_songs"]
    gain = {name: _mean(entry.values()) for name, entry in variants.items()}
    millions = {name: f"{entry['parameters'] / 1e6:.2f} M" for name, entry in metrics["trainings"].items()}
    cost, starts, queries = intro_cost(metrics), songs["starts"], metrics["queries"]
    sections, phases = metrics["sections"], metrics["phases"]["predicted magnitudes"]
    own = _mean(sections[f"only-{name}"][name] for name in SECTIONS)
    elsewhere = _mean(sections[f"only-{a}"][b] for a in SECTIONS for b in SECTIONS if a != b)
    general = _mean(sections["any-instrument"][name] for name in SECTIONS)

    def each(key: str) -> str:
        return ", ".join(f"{_db(band[name][key])} ({name})" for name in INSTRUMENTS)

    return {
        "a GAN": f"SI-SDRi {_db(gain['gan'])} with a discriminator of patches, {_db(gain['thesis'])} without (mean of "
        "the instruments' medians); on digits: `fewshot-sep mnist --gan`",
        "residual blocks": f"SI-SDRi {_db(gain['residual'])} ({millions['residual']} parameters) against "
        f"{_db(gain['thesis'])} ({millions['thesis']}); on digits: `fewshot-sep mnist --variant residual`",
        "better phase": f"predicted magnitudes with MISI {_db(phases['MISI'])}, with the mixture's phase "
        f"{_db(phases[MIXTURE_PHASE])}, with the true phase {_db(phases['the true phase'])} SI-SDR; table below",
        "44 kHz": f"at 44.1 kHz, a perfect answer at 11,025 Hz has an SDR of {each('ceiling')}; the shipped model, "
        f"which works at 44.1 kHz, has a mean SI-SDRi on the songs' whole band of {each('shipped')}",
        "choice of the target audio": f"standard deviation {_db(_mean(queries['spread'].values()))} over the queries "
        "of a stem; above",
        "louder starting beat": f"{starts[WAYS[0]]:+.1f} the thesis's way, {starts[WAYS[3]]:+.1f} by `songs` with the "
        "same network; above",
        "section-specific models": f"SI-SDRi {_db(own)} in the section a model was trained on, {_db(elsewhere)} in the "
        f"others; {_db(general)} by one trained as long on all. Instead, a query from the same section: "
        f"{queries['section']:+.1f}",
        "intro-issue": f"an intro of 1 to 3 beats costs {_db(cost[WAYS[0]])} the thesis's way ({_db(cost[WAYS[1]])} "
        f"with the mask carried back), {_db(cost[WAYS[3]])} by downbeats with the same network, {_db(cost[WAYS[4]])} "
        "with the shipped model; above",
        "unseen instruments": f"guira, never heard in training: SI-SDRi {_db(variants['without-guira']['guira'])}, "
        f"against {_db(variants['thesis']['guira'])} where it was; for the shipped model see the top README",
    }
