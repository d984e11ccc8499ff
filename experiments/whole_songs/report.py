"""The songs report as Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from fewshot_sep.experiments.whole_songs.measures import first_beat
from fewshot_sep.experiments.whole_songs.methods import OURS, WAYS
from fewshot_sep.songs.queries import POLYPHONIC_LOGIT


def markdown(metrics: dict[str, Any]) -> str:
    """The whole report, from what is in metrics.json."""
    parts = [
        "# Whole songs",
        "",
        "Made by `python -m fewshot_sep.experiments.whole_songs.run SONGS --items ITEMS` with the bundled weights: SONGS are the Sectoid",
        "songs of the Debian package fretsonfire-songs-sectoid (guitar + backing), ITEMS the development set.",
        "",
        *_ways(metrics),
        *_shifts(metrics),
        *_seams(metrics),
        *_beats(metrics),
        *_queries(metrics),
        *_held_back(metrics),
        *_crowds(metrics),
        *_length(metrics),
    ]
    return "\n".join(parts) + "\n"


def _table(head: list[str], rows: Iterable[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in ([*head], ["---"] * len(head), *rows)] + [""]


def _ways(metrics: dict[str, Any]) -> list[str]:
    lines = [
        "## Bars and tempo",
        "",
        "SI-SDRi (dB) of the target per song, the mean where a song has several targets.",
        "",
    ]
    rows = [*metrics.get("songs", []), *metrics.get("items", [])]
    lines += _table(["song", *WAYS], [_song(rows, song) for song in dict.fromkeys(row["song"] for row in rows)])
    lines += [
        "Over all songs, each counting once. Time: median of the whole songs, seconds per second of audio.",
        "",
    ]
    body = []
    for way in WAYS:
        gains, spectral = (_by_song(rows, way, key) for key in ("gain", "spectral gain"))
        against = {name: np.subtract(gains, _by_song(rows, name, "gain")) for name in ("plain", "thesis")}
        seconds = _stages(metrics["songs"], way)
        body.append(
            [
                way,
                f"{np.mean(gains):.2f}",
                f"{np.mean(spectral):.2f}",
                f"{against['plain'].mean():+.2f} (worst song {against['plain'].min():+.2f})",
                f"{against['thesis'].mean():+.2f}",
                *(f"{seconds.get(stage, 0):.3f}" for stage in ("tracking", "stretching", "network", "masking")),
                f"{sum(seconds.values()):.3f}",
            ]
        )
    head = [
        "way",
        "SI-SDRi",
        "spectral",
        "over plain",
        "over thesis",
        "tracking",
        "stretching",
        "network",
        "masking",
        "total",
    ]
    lines += _table(head, body)
    lines += [f"- **{name}**: {way.about}." for name, way in WAYS.items()]
    return [
        *lines,
        "",
        "*Spectral*: the same improvement on magnitudes alone. A phase vocoder does not give a wave back as it was,",
        "which costs the ways that stretch the found sound their SI-SDR whatever they found; magnitudes forgive that.",
        "",
    ]


def _song(rows: list[dict[str, Any]], song: str) -> list[str]:
    means = [np.mean([r["gain"] for r in rows if r["song"] == song and r["way"] == way]) for way in WAYS]
    return [song, *(f"{mean:.2f}" for mean in means)]


def _by_song(rows: list[dict[str, Any]], way: str, key: str) -> list[float]:
    songs = dict.fromkeys(row["song"] for row in rows)
    return [float(np.mean([r[key] for r in rows if r["song"] == song and r["way"] == way])) for song in songs]


def _stages(rows: list[dict[str, Any]], way: str) -> dict[str, float]:
    chosen = [row["seconds"] for row in rows if row["way"] == way]
    return {
        stage: float(np.median([s.get(stage, 0) for s in chosen]))
        for stage in dict.fromkeys(k for s in chosen for k in s)
    }


def _shifts(metrics: dict[str, Any]) -> list[str]:
    if "shifts" not in metrics:
        return []
    rows = []
    for song, ways in metrics["shifts"].items():
        for way, found in ways.items():
            moved = {count: value - found["0"] for count, value in found.items() if count != "0"}
            rows.append([song, way, *(f"{value:+.2f}" for value in moved.values())])
    head = ["song", "way", "3 beats later", "2", "1", "1 beat of silence before", "2", "3"]
    return [
        "## The same song, begun elsewhere",
        "",
        "Change of the SI-SDR (dB) of the same 50 s when 1 to 3 beats are cut from the start or put before it.",
        "",
        *_table(head, rows),
    ]


def _seams(metrics: dict[str, Any]) -> list[str]:
    if "profiles" not in metrics:
        return []
    names = [name for name in next(iter(metrics["profiles"].values())) if name not in ("meter", "truth")]
    rows = []
    for song, profile in metrics["profiles"].items():
        meter = int(profile["meter"])
        true = first_beat(np.array(profile["truth"]), meter)
        levels = {name: first_beat(np.array(profile[name]), meter) for name in names}
        snr = metrics["boundaries"][song]
        rows.append(
            [
                song,
                f"{snr['thesis']:.1f}",
                f"{snr[OURS]:.1f}",
                f"{true:+.2f}",
                *(f"{levels[name]:+.2f}" for name in names),
                f"{levels['thesis'] - levels['plain']:+.2f}",
                f"{levels[OURS] - levels['plain']:+.2f}",
            ]
        )
    head = [
        "song",
        "join SNR, thesis",
        f"join SNR, {OURS}",
        "first beat, true",
        *(f"first beat, {name}" for name in names),
    ]
    head += ["thesis - plain", f"{OURS} - plain"]
    return [
        "## Seams",
        "",
        "*Join SNR* (dB): within 50 ms of the boundaries, when the model lets everything through. *First beat*: how much",
        "louder, re the mixture, the target is on first beats than on the others (dB). The music itself has accents",
        "(*true*) and the model its own; what slicing adds is the difference from the same model without slices.",
        "",
        *_table(head, rows),
        "![level through the bar](boundaries.png)",
        "",
    ]


def _beats(metrics: dict[str, Any]) -> list[str]:
    if "beats" not in metrics:
        return []
    head = list(next(iter(metrics["beats"].values())))
    rows = [[song, *(f"{found[name]:.2f}" for name in head)] for song, found in metrics["beats"].items()]
    return [
        "## Beats",
        "",
        "F-measure (70 ms) against the tempo of the songs' charts, their constant delay taken away.",
        "",
        *_table(["song", *head], rows),
    ]


def _queries(metrics: dict[str, Any]) -> list[str]:
    if "queries" not in metrics:
        return []
    rows = []
    for song, found in metrics["queries"].items():
        alone = found["alone"]
        shorter = [f"{np.mean(found['shorter'][length]):.2f}" for length in ("1", "3")]
        several = [
            f"{np.mean(found['averaged'][count]):.2f}" if count in found["averaged"] else "" for count in ("3", "5")
        ]
        rows.append(
            [
                song,
                f"{min(alone):.2f}",
                f"{np.mean(alone):.2f}",
                f"{max(alone):.2f}",
                *shorter,
                *several,
                f"{found['all']:.2f}",
            ]
        )
    head = [
        "song",
        "worst 6 s",
        "mean",
        "best",
        "mean of 1 s",
        "mean of 3 s",
        "3 averaged",
        "5 averaged",
        "all averaged",
    ]
    return [
        "## Does the choice of query matter?",
        "",
        "SI-SDRi (dB) of the guitar in the same minute, for clips of it from elsewhere in the song.",
        "",
        *_table(head, rows),
        "![queries](queries.png)",
        "",
    ]


def _held_back(metrics: dict[str, Any]) -> list[str]:
    if "not" not in metrics:
        return []
    without, held = (np.array([row[key] for row in metrics["not"]]) for key in ("without", "with"))
    change = held - without
    return [
        "## A clip of what it is not",
        "",
        f"`--not` with a clip of the loudest other instrument, on {len(change)} items of the development set: mean "
        f"SI-SDRi {without.mean():.2f} -> {held.mean():.2f} dB, median {np.median(without):.2f} -> "
        f"{np.median(held):.2f}; better for {np.mean(change > 0):.0%} of the items, at best {change.max():+.1f} dB, at "
        f"worst {change.min():+.1f} dB.",
        "",
    ]


def _crowds(metrics: dict[str, Any]) -> list[str]:
    if "crowds" not in metrics:
        return []
    found = metrics["crowds"]
    return [
        "## More than one instrument in a query",
        "",
        f"`separate` warns where the log odds exceed {POLYPHONIC_LOGIT:g}: at {found['false alarms']:.0%} of the items' "
        f"{found['clips']} queries (one instrument each), and at {found['hits']:.0%} of {found['mixtures']} passages "
        f"of 4 s from their mixtures. Area under the ROC curve: {found['area']:.2f}.",
        "",
    ]


def _length(metrics: dict[str, Any]) -> list[str]:
    found = {name: values for name, values in metrics.items() if name.startswith("memory")}
    stages = ("tracking", "network", "masking", "process")
    rows = [
        [
            name.removeprefix("memory, "),
            f"{values['bars']}",
            *(f"{values[stage]:.3f}" for stage in stages),
            f"{values['peak_mib']:.0f}",
        ]
        for name, values in found.items()
    ]
    return [
        "## Length",
        "",
        "One song over and over, through the whole command; seconds per second of audio. Peak memory: the greatest of",
        "this row and those above it.",
        "",
        *_table(["song", "bars", *stages, "peak memory (MiB)"], rows),
    ]
