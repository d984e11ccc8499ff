"""The report on whole songs, as blocks, from what metrics.json holds; and its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fewshot_sep import plots
from fewshot_sep.experiments.kit import document
from fewshot_sep.experiments.kit.document import Block, Picture, Points, Table, Text, section
from fewshot_sep.experiments.kit.tables import SI_SDR, number, percent
from fewshot_sep.experiments.whole_songs.measures import first_beat
from fewshot_sep.experiments.whole_songs.settings import DEFAULT, METHODS, STAGES
from fewshot_sep.songs.queries import POLYPHONIC_LOGIT

Metrics = Mapping[str, Any]


def write(folder: Path, metrics: Metrics) -> Path:
    """Write report.md, metrics.json and the figures; returns the report's path."""
    if "profiles" in metrics:
        _draw_profiles(metrics["profiles"], folder / "boundaries.png")
    if "queries" in metrics:
        _draw_queries(metrics["queries"], folder / "queries.png")
    return document.write(folder, "Whole songs", blocks(metrics), metrics)


def blocks(metrics: Metrics) -> list[Block]:
    """The parts of which there are figures."""
    made = (
        "Made by `python -m fewshot_sep.experiments.whole_songs.run SONGS --items ITEMS` with the bundled weights: "
        "SONGS are the Sectoid songs of the Debian package fretsonfire-songs-sectoid (guitar + backing), ITEMS the "
        f"development set. {SI_SDR}"
    )
    parts = {
        "Bars and tempo": _methods(metrics["songs"], metrics.get("items", [])) if "songs" in metrics else [],
        "The same song, begun elsewhere": _shifts(metrics.get("shifts", {})),
        "Boundaries": _boundaries(metrics.get("profiles", {}), metrics.get("boundaries", {})),
        "Beats": _beats(metrics.get("beats", {})),
        "Does the choice of query matter?": _queries(metrics.get("queries", {})),
        "A clip of what the target is not": _negative(metrics.get("negative query", [])),
        "More than one instrument in a query": _several(metrics.get("several instruments", {})),
        "Length": _length({name: found for name, found in metrics.items() if name.startswith("memory")}),
    }
    return [Text(made), *(block for title, content in parts.items() for block in section(title, content))]


def _methods(songs: Sequence[Metrics], items: Sequence[Metrics]) -> list[Block]:
    rows = [*songs, *items]
    names = list(dict.fromkeys(row["song"] for row in rows))

    def by_song(method: str, figure: str) -> list[float]:
        """Mean of a song's targets."""
        chosen = [row for row in rows if row["method"] == method]
        return [float(np.mean([row[figure] for row in chosen if row["song"] == song])) for song in names]

    found = {method: by_song(method, "si_sdri") for method in METHODS}
    columns = [[number(value, 2) for value in values] for values in zip(*found.values(), strict=True)]
    lines = []
    for method, values in found.items():
        plain, thesis = (np.subtract(values, found[other]) for other in ("plain", "thesis"))
        seconds = {
            stage: float(np.median([row["seconds"].get(stage, 0) for row in songs if row["method"] == method]))
            for stage in STAGES
        }
        means = (float(np.mean(some)) for some in (values, by_song(method, "spectral_snri")))
        lines.append([method, *(number(mean, 2) for mean in means)])
        lines[-1] += [f"{plain.mean():+.2f} (worst song {plain.min():+.2f})", f"{thesis.mean():+.2f}"]
        lines[-1] += [number(spent, 3) for spent in (*seconds.values(), sum(seconds.values()))]
    head = ["method", "SI-SDRi", "spectral", "over plain", "over thesis", *STAGES, "total"]
    return [
        Text("SI-SDRi (dB) of the target per song, the mean where a song has several targets."),
        Table(["song", *METHODS], [[song, *cells] for song, cells in zip(names, columns, strict=True)]),
        Text("Over all songs, each counting once. Time: median of the whole songs, seconds per second of audio."),
        Table(head, lines),
        Points([f"`{name}`: {method.about}." for name, method in METHODS.items()]),
        Text(
            "Spectral: the same improvement on magnitudes alone. A phase vocoder does not give a wave back as it was, "
            "which costs the methods that stretch the target their SI-SDR whatever they separate; magnitudes forgive "
            "that."
        ),
    ]


def _shifts(found: Metrics) -> list[Block]:
    lines = [
        [song, method, *(f"{value - values['0']:+.2f}" for count, value in values.items() if count != "0")]
        for song, methods in found.items()
        for method, values in methods.items()
    ]
    head = ["song", "method", "3 beats later", "2", "1", "1 beat of silence before", "2", "3"]
    text = "Change of the SI-SDR (dB) of the same 50 s when 1 to 3 beats are cut from the start or put before it."
    return [Text(text), Table(head, lines)] if lines else []


def _boundaries(profiles: Metrics, snr: Metrics) -> list[Block]:
    lines, names = [], []
    for song, profile in profiles.items():
        names = [name for name in profile if name not in ("meter", "truth")]
        levels = {name: first_beat(np.array(profile[name]), int(profile["meter"])) for name in ("truth", *names)}
        changes = [levels[name] - levels["plain"] for name in ("thesis", DEFAULT)]
        snrs = [number(snr[song][name]) for name in ("thesis", DEFAULT)]
        lines.append([song, *snrs, *(f"{level:+.2f}" for level in (*levels.values(), *changes))])
    head = ["song", "boundary SNR, thesis", f"boundary SNR, {DEFAULT}", "first beat, true"]
    head += [*(f"first beat, {name}" for name in names), "thesis - plain", f"{DEFAULT} - plain"]
    text = (
        "Boundary SNR (dB): within 50 ms of the boundaries, when the model lets everything through. First beat: how "
        "much louder, re the mixture, the target is on first beats than on the others (dB). The music itself has "
        "accents (true) and the model its own; what slicing adds is the difference from the same model without slices."
    )
    return [Text(text), Table(head, lines), Picture("boundaries.png", "level through the bar")] if lines else []


def _beats(found: Metrics) -> list[Block]:
    if not found:
        return []
    head = list(next(iter(found.values())))
    lines = [[song, *(number(figures[name], 2) for name in head)] for song, figures in found.items()]
    text = "F-measure (70 ms) against the tempo of the songs' charts, their constant delay taken away."
    return [Text(text), Table(["song", *head], lines)]


def _queries(found: Metrics) -> list[Block]:
    lines = []
    for song, values in found.items():
        alone, several, shorter = values["alone"], values["averaged"], values["shorter"]
        cells = [min(alone), np.mean(alone), max(alone), *(np.mean(shorter[length]) for length in ("1", "3"))]
        cells += [np.mean(several[count]) if count in several else None for count in ("3", "5")]
        lines.append([song, *(number(cell, 2) for cell in (*cells, values["all"]))])
    head = ["song", "worst 6 s", "mean", "best", "mean of 1 s", "mean of 3 s", "3 averaged", "5 averaged"]
    text = "SI-SDRi (dB) of the guitar in the same minute, by clips of it from elsewhere in the song."
    return [Text(text), Table([*head, "all averaged"], lines), Picture("queries.png", "queries")] if lines else []


def _negative(rows: Sequence[Metrics]) -> list[Block]:
    if not rows:
        return []
    before, after = (np.array([row[key] for row in rows]) for key in ("without", "with"))
    change = after - before
    return [
        Text(
            f"`--not` with a clip of the loudest other instrument, on {len(change)} items of the development set. Mean "
            f"SI-SDRi: {before.mean():.2f} -> {after.mean():.2f} dB. Median: {np.median(before):.2f} -> "
            f"{np.median(after):.2f} dB. Better for {percent(float(np.mean(change > 0)))} of the items; at best "
            f"{change.max():+.1f} dB, at worst {change.min():+.1f} dB."
        )
    ]


def _several(found: Metrics) -> list[Block]:
    if not found:
        return []
    return [
        Text(
            f"`separate` warns where the log odds exceed {POLYPHONIC_LOGIT:g}: at "
            f"{percent(found['false positive rate'])} of the items' {found['clips']} queries (one instrument each), "
            f"and at {percent(found['true positive rate'])} of {found['mixtures']} passages of 4 s from their "
            f"mixtures. Area under the ROC curve: {found['area']:.2f}."
        )
    ]


def _length(found: Metrics) -> list[Block]:
    stages = ("tracking", "network", "masking", "process")
    lines = [
        [
            *(name.removeprefix("memory, "), str(values["bars"])),
            *(*(number(values[stage], 3) for stage in stages), number(values["peak_mib"], 0)),
        ]
        for name, values in found.items()
    ]
    text = (
        "One song over and over, through the whole command; seconds per second of audio. Peak memory: the greatest of "
        "this row and those above it."
    )
    return [Text(text), Table(["song", "bars", *stages, "peak memory (MiB)"], lines)] if lines else []


def _draw_profiles(profiles: Metrics, picture: Path) -> None:
    figure, axes = plots.new_figure(len(profiles), 1, 9, 2.4 * len(profiles))
    for axis, (song, profile) in zip(axes[:, 0], profiles.items(), strict=True):
        meter = int(profile["meter"])
        for name, line in profile.items():
            if name != "meter":
                levels = np.array(line)
                beats = 1 + (np.arange(len(levels)) + 0.5) * meter / len(levels)
                style = {"color": "black", "linestyle": ":"} if name == "truth" else {"marker": "."}
                axis.plot(beats, levels - levels.mean(), label=name, **style)
        axis.set(title=plots.plain(song), xlabel="beat of the bar", ylabel="target re mixture (dB)")
        axis.set_xticks(range(1, meter + 2))
        axis.grid(alpha=0.3)
    axes[0, 0].legend(ncols=4)
    figure.savefig(picture, dpi=100)


def _draw_queries(songs: Metrics, picture: Path) -> None:
    figure, axes = plots.new_figure(1, 1, 9, 4)
    axis = axes[0, 0]
    for place, values in enumerate(songs.values()):
        groups = {f"{seconds} s": shorter for seconds, shorter in values["shorter"].items()}
        groups["6 s"] = values["alone"]
        groups |= {f"{count} averaged": several for count, several in values["averaged"].items()}
        for index, (name, si_sdri) in enumerate(groups.items()):
            x, color = place + 0.15 * (index - 2), f"C{index}"
            axis.plot([x] * len(si_sdri), si_sdri, ".", color=color, alpha=0.7, label=None if place else name)
            axis.plot(x, np.mean(si_sdri), "_", color=color, markersize=14)
        axis.plot(place + 0.42, values["all"], "k*", markersize=9, label=None if place else "all averaged")
    axis.axhline(0, color="black", linewidth=0.5)
    axis.set_xticks(range(len(songs)), list(map(plots.plain, songs)))
    axis.set(ylabel="SI-SDRi of the guitar (dB)", title="the same minute, by different clips of the same guitar")
    axis.legend(ncols=6, fontsize="small")
    axis.grid(axis="y", alpha=0.3)
    figure.savefig(picture, dpi=100)
