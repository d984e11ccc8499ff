"""What a run found: `report.md`, `metrics.json`, figures, and `page.html`, which holds all of it and sounds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.benchmark import document, figures, stats
from experiments.benchmark.document import Block, Heading, Picture, Points, Table, Text
from experiments.benchmark.figures import Example
from experiments.benchmark.measure import COLLAPSED_DB, SILENT_DB, Row
from fewshot_sep import audio
from fewshot_sep.metrics import SILENT_SI_SDR_DB

KINDS = {
    "same": "Query from the same song",
    "cross": "Query from another song",
    "absent": "Instrument not in the song",
}
FIGURES = ("si_sdri", "si_sdr", "sdri", "sdr", "bss_sdr", "bss_sir", "bss_sar")
LEVELS_DB = (-20.0, -40.0)
EXTREMES = 5
LISTEN_S, LISTEN_RATE = 4, 32000

Methods = dict[str, list[Row]]
"""Rows by the method's label."""


class Facts(NamedTuple):
    """What the report says of the run besides its rows: the set's name, what each method is by its label."""

    items: str
    methods: dict[str, str]


def write(run: Path, rows: Sequence[Row], facts: Facts, examples: Sequence[Example]) -> None:
    """Write the report on rows into the run's folder. The first method is the one that others are compared with."""
    good = {label: [r for r in rows if r["method"] == label and "failed" not in r] for label in facts.methods}
    methods = {label: some for label, some in good.items() if some}
    summary = {label: _summary(some) for label, some in methods.items()}
    content = {
        "items": facts.items,
        "methods": {label: {"is": facts.methods[label], **summary[label]} for label in methods},
        "paired": [
            {"first": a, "second": b, "kind": k, "figure": f, **d._asdict()} for a, b, k, f, d in _pairs(methods)
        ],
        "failed": [{name: row[name] for name in ("method", "id", "failed")} for row in rows if "failed" in row],
    }
    (run / "metrics.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    pictures = _pictures(run, methods, examples)
    blocks = [*_head(rows, facts), *_tables(methods), *_cost(summary), *pictures, *_extremes(methods)]
    blocks += [*_failures(rows), *_rules()]
    (run / "report.md").write_text(document.markdown(blocks), encoding="utf-8")
    sounds = [_sounds(example) for example in examples]
    blocks += [Heading("Listen"), *sounds] if sounds else []
    (run / "page.html").write_text(document.page(f"Evaluation on {facts.items}", blocks, run), encoding="utf-8")


def of_kind(rows: Iterable[Row], *kinds: str) -> list[Row]:
    """The rows of items of a kind. Where a target does not sound, silence is right: such rows count as `absent`."""
    return [row for row in rows if (row["kind"] if row["sounds"] or row["kind"] not in KINDS else "absent") in kinds]


def summarise(rows: Sequence[Row], name: str) -> stats.Summary | None:
    """Median and mean of a figure over the rows that have it."""
    having = [row for row in rows if row.get(name) is not None]
    return stats.summarise([r[name] for r in having], [r["song"] for r in having]) if having else None


def pair(first: Sequence[Row], second: Sequence[Row], name: str) -> stats.Difference | None:
    """The difference in a figure over the items that both have."""
    theirs = {row["id"]: row for row in second}
    both = [(row, theirs[row["id"]]) for row in first if row["id"] in theirs]
    both = [(a, b) for a, b in both if a.get(name) is not None and b.get(name) is not None]
    if not both:
        return None
    return stats.compare([a[name] for a, _ in both], [b[name] for _, b in both], [a["song"] for a, _ in both])


def paired_table(pairs: Iterable[tuple[str, str, str, str, stats.Difference]]) -> Table:
    """Rows of `(first, second, kind, figure, difference)`."""
    head = ["first", "second", "kind", "figure", "items (songs)", "median difference (dB)", "mean difference (dB)"]
    head += ["first greater", "p, items", "p, songs"]
    lines = []
    for first, second, kind, figure, found in pairs:
        line = [first, second, kind, NAMES[figure], f"{found.n} ({found.songs})", interval(found.median)]
        line += [interval(found.mean), percent(found.wins), f"{found.p_items:.2g}", f"{found.p_songs:.2g}"]
        lines.append(line)
    return Table(head, lines)


NAMES = {"si_sdri": "SI-SDRi", "sdri": "SDRi", "level": "level"}


def interval(found: stats.Interval) -> str:
    """
    >>> interval(stats.Interval(4.84, 3.1, 6.0))
    '4.8 [3.1, 6.0]'
    """
    return f"{found.value:.1f} [{found.low:.1f}, {found.high:.1f}]"


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def both(found: stats.Summary | None) -> str:
    """Median / mean."""
    return f"{found.median.value:.1f} / {found.mean.value:.1f}" if found else ""


def _median(rows: Sequence[Row], name: str) -> str:
    values = [row[name] for row in rows if row.get(name) is not None]
    return f"{np.median(values):.1f}" if values else ""


def _share(rows: Sequence[Row], name: str) -> float:
    return float(np.mean([row[name] for row in rows]))


def _under(rows: Sequence[Row], limit_db: float) -> float:
    return float(np.mean([row["level"] < limit_db for row in rows]))


def _summary(rows: Sequence[Row]) -> dict[str, Any]:
    """All figures of a method, as metrics.json has them."""
    found: dict[str, Any] = {}
    for kind in sorted({row["kind"] for row in rows} | {"absent"}):
        some = of_kind(rows, kind)
        if not some:
            continue
        names = ("level", *FIGURES, "asked_si_sdri")
        entry = {name: _nested(value) for name in names if (value := summarise(some, name))}
        shares = {name: _share(some, name) for name in ("collapsed", "retrieved", "followed") if name in some[0]}
        if kind == "absent":
            shares = {f"under {limit:g} dB": _under(some, limit) for limit in LEVELS_DB}
        found[kind] = {"items": len(some), **entry, **shares}
    peaks = [row["peak_mib"] for row in rows if row["peak_mib"]]
    seconds = sum(row["seconds"] for row in rows) / sum(row["audio_s"] for row in rows)
    return {"kinds": found, "seconds_per_second": seconds, "peak_mib": max(peaks, default=None)}


def _nested(found: stats.Summary) -> dict[str, Any]:
    return {
        "median": [round(value, 4) for value in found.median],
        "mean": [round(value, 4) for value in found.mean],
        "items": found.n,
        "songs": found.songs,
    }


def _pairs(methods: Methods) -> Iterable[tuple[str, str, str, str, stats.Difference]]:
    """The first method against each other, where the target is there by SI-SDRi, elsewhere by level."""
    first, *others = methods
    for kind, name in (("same", "si_sdri"), ("cross", "si_sdri"), ("absent", "level")):
        for other in others:
            found = pair(of_kind(methods[first], kind), of_kind(methods[other], kind), name)
            if found:
                yield first, other, kind, name, found


def _head(rows: Sequence[Row], facts: Facts) -> list[Block]:
    native = {row["id"]: row for row in rows if row["kind"] in KINDS}
    songs = sorted({row["song"] for row in rows})
    counts = ", ".join(f"{sum(row['kind'] == kind for row in native.values())} {kind}" for kind in KINDS)
    return [
        Heading(f"Query-by-example separation on `{facts.items}`", 1),
        Text(
            f"{len(native)} items ({counts}) of {len(songs)} songs, and the harder questions derived from them. Decibels "
            "throughout; medians and means with 95 % intervals in brackets, by resampling whole songs. "
            "What each figure means stands at the end."
        ),
        Points([f"`{label}`: {what}" for label, what in facts.methods.items()]),
    ]


def _tables(methods: Methods) -> list[Block]:
    blocks: list[Block] = []
    for kind, title in KINDS.items():
        having = {label: some for label, rows in methods.items() if (some := of_kind(rows, kind))}
        if having:
            blocks += [Heading(title), _absent(having) if kind == "absent" else _present(having)]
    pairs = list(_pairs(methods))
    if pairs:
        blocks += [Heading(f"{pairs[0][0]} against the others, item by item"), paired_table(pairs)]
    for title, table in (
        ("Number of sources", _by_sources(methods)),
        ("Number and length of queries", _by_clips(methods)),
        ("Wrong queries", _wrong(methods)),
        ("Instruments that training heard, and those that it did not", _seen(methods)),
        ("By instrument", _grouped(methods, "target", "instrument")),
        ("By song", _grouped(methods, "song", "song")),
    ):
        blocks += [Heading(title), *table] if table else []
    return blocks


def _present(methods: Methods) -> Table:
    head = [
        "method",
        "items",
        "SI-SDRi, median",
        "SI-SDRi, mean",
        "SI-SDR",
        "SDRi",
        "SDR",
        "BSS Eval SDR",
        "SIR",
        "SAR",
    ]
    lines = []
    for label, rows in methods.items():
        gain = summarise(rows, "si_sdri")
        assert gain
        line = [label, str(gain.n), interval(gain.median), interval(gain.mean)]
        line += [both(summarise(rows, name)) for name in FIGURES[1:]]
        line += [percent(_share(rows, name)) for name in ("collapsed", "retrieved")]
        lines.append(line)
    return Table([*head, "collapsed", "retrieved"], lines)


def _absent(methods: Methods) -> Table:
    lines = []
    for label, rows in methods.items():
        level = summarise(rows, "level")
        assert level
        shares = [percent(_under(rows, limit)) for limit in LEVELS_DB]
        lines.append([label, str(level.n), interval(level.median), interval(level.mean), *shares])
    return Table(["method", "items", "level, median", "level, mean", *(f"under {x:.0f} dB" for x in LEVELS_DB)], lines)


def _by_sources(methods: Methods) -> list[Block]:
    """The form of table 2 of the paper on conditioned Wave-U-Nets: SDR, SIR and SAR by number of sources."""
    sets = {label: of_kind(rows, "same", "sources") for label, rows in methods.items()}
    counts = sorted({row["sources"] for rows in sets.values() for row in rows if row["kind"] == "sources"})
    counts = sorted(
        {*counts, *(row["sources"] for rows in sets.values() for row in rows if counts and row["sources"] <= 5)}
    )
    if not counts:
        return []

    def cells(label: str, count: int) -> list[str]:
        some = [row for row in sets[label] if row["sources"] == count]
        ratios = " / ".join(_median(some, name) for name in ("bss_sdr", "bss_sir", "bss_sar"))
        return [str(len(some)), _median(some, "si_sdri"), ratios] if some else ["0", "", ""]

    lines = [[label, str(count), *cells(label, count)] for label, rows in sets.items() if rows for count in counts]
    head = ["method", "sources", "items", "SI-SDRi", "BSS Eval SDR / SIR / SAR"]
    note = "Medians. The same targets with one, two, ... of the other stems, and the whole mixtures of that many."
    return [Text(note), Table(head, [line for line in lines if line[2] != "0"])]


def _by_clips(methods: Methods) -> list[Block]:
    sets = {label: some for label, rows in methods.items() if (some := of_kind(rows, "clips"))}
    forms = sorted({(row["clip_s"], row["clips"]) for rows in sets.values() for row in rows})
    if not forms:
        return []
    lines = []
    for label, rows in sets.items():
        whole = [row for row in of_kind(methods[label], "same")]
        line = [label, both(summarise(whole, "si_sdri"))]
        for seconds, count in forms:
            some = [row for row in rows if (row["clip_s"], row["clips"]) == (seconds, count)]
            line.append(f"{both(summarise(some, 'si_sdri'))} ({len(some)})" if some else "")
        lines.append(line)
    head = ["method", "query as it is", *(f"{count} x {seconds:g} s (items)" for seconds, count in forms)]
    return [Text("SI-SDRi, median / mean, asked with clips cut from the same query material."), Table(head, lines)]


def _wrong(methods: Methods) -> list[Block]:
    lines = []
    for label, rows in methods.items():
        wrong, shuffled = of_kind(rows, "wrong"), of_kind(rows, "shuffled")
        if wrong or shuffled:
            own = of_kind(rows, "same")
            line = [label, both(summarise(own, "si_sdri")), str(len(wrong)), both(summarise(wrong, "si_sdri"))]
            line += [both(summarise(wrong, "asked_si_sdri"))]
            line += [percent(_share(wrong, "followed")) if wrong else ""]
            line += [str(len(shuffled)), both(summarise(shuffled, "si_sdri")), _median(shuffled, "level")]
            lines.append(line)
    head = ["method", "right query", "wrong: items", "wrong: SI-SDRi of the item's target", "of the query's instrument"]
    head += ["followed the query", "shuffled: items", "shuffled: SI-SDRi", "shuffled: level"]
    note = (
        "SI-SDRi, median / mean. Wrong: the query plays another instrument of the mixture, so the item's own target "
        "should score badly and the query's instrument well. Shuffled: the query of an item of another song and another "
        "instrument; a separator that listens to its query does badly here."
    )
    return [Text(note), Table(head, lines)] if lines else []


def _seen(methods: Methods) -> list[Block]:
    lines = []
    for label, rows in methods.items():
        some = of_kind(rows, "same", "cross")
        parts = [[row for row in some if row["seen"] is seen] for seen in (True, False)]
        if all(parts):
            lines.append([label, *(cell for p in parts for cell in (str(len(p)), both(summarise(p, "si_sdri"))))])
    head = ["method", "heard: items", "SI-SDRi", "not heard: items", "SI-SDRi"]
    names = sorted(
        {row["target"] for rows in methods.values() for row in of_kind(rows, "same", "cross") if not row["seen"]}
    )
    note = f"SI-SDRi, median / mean. Not heard by the training of the bundled weights: {', '.join(names)}."
    return [Text(note), Table(head, lines)] if lines else []


def _grouped(methods: Methods, field: str, title: str) -> list[Block]:
    sets = {label: some for label, rows in methods.items() if (some := of_kind(rows, "same", "cross"))}
    if not sets:
        return []
    largest = max(sets.values(), key=len)
    groups = sorted({row[field] for row in largest})
    lines = []
    for group in groups:
        count = sum(row[field] == group for row in largest)
        cells = [_median([row for row in rows if row[field] == group], "si_sdri") for rows in sets.values()]
        lines.append([group, str(count), *cells])
    return [
        Text("SI-SDRi, median over items with a target, query from the same or another song."),
        Table([title, "items", *sets], lines),
    ]


def _cost(summary: dict[str, Any]) -> list[Block]:
    lines = []
    for label, found in summary.items():
        peak = f"{found['peak_mib']:.0f}" if found["peak_mib"] else ""
        lines.append([label, f"{found['seconds_per_second']:.3f}", peak])
    note = (
        "A method runs in a process of its own, which also reads the sound files; measuring happens outside of it. "
        "The row of a method that does nothing is what that alone takes."
    )
    head = ["method", "seconds per second of audio", "peak memory (MiB)"]
    return [Heading("Time and memory"), Text(note), Table(head, lines)]


def _pictures(run: Path, methods: Methods, examples: Sequence[Example]) -> list[Block]:
    present = {label: some for label, rows in methods.items() if (some := of_kind(rows, "same", "cross"))}
    absent = {label: some for label, rows in methods.items() if (some := of_kind(rows, "absent"))}
    blocks: list[Block] = [Heading("Figures")]
    for name, title, draw, shown in (
        ("boxes.png", "SI-SDRi by method and by instrument", figures.boxes, present),
        ("levels.png", "level of the output against SDRi", figures.level_against_gain, present),
        ("absent.png", "level of the output where the instrument is absent", figures.absent, absent),
    ):
        if shown:
            draw(shown, run / name)
            blocks.append(Picture(name, title))
    if examples:
        figures.examples(examples, run / "examples.png")
        blocks.append(Picture("examples.png", "best, median and worst item of the first method"))
    return blocks


def _extremes(methods: Methods) -> list[Block]:
    label, rows = next(iter(methods.items()))
    ranked = sorted(of_kind(rows, "same", "cross"), key=lambda row: -row["si_sdri"])
    some = [*ranked[:EXTREMES], *ranked[max(EXTREMES, len(ranked) - EXTREMES) :]]
    if not some:
        return []
    lines = [[r["id"], *(f"{r[name]:.1f}" for name in ("si_sdri", "si_sdr", "sdr", "level"))] for r in some]
    head = ["item", "SI-SDRi", "SI-SDR", "SDR", "level"]
    return [Heading(f"Best and worst items of {label}"), Table(head, lines)]


def _failures(rows: Sequence[Row]) -> list[Block]:
    failed = [row for row in rows if "failed" in row]
    lines = [[row["method"], row["id"], row["failed"]] for row in failed]
    return [Heading("Failed"), Table(["method", "item", "why"], lines)] if failed else []


def _rules() -> list[Block]:
    return [
        Heading("What the figures mean"),
        Points(
            [
                "SI-SDR: of the channels' mean, mean removed; SDR: over all channels, `10 log10(|s|^2 / |s - e|^2)`. "
                "The ending i: improvement over the mixture taken as it is. Pairs without brackets are median / mean.",
                f"A silent output (60 dB under the target) has an SI-SDR of {SILENT_SI_SDR_DB:g} dB, which is also the "
                "least possible; its SDR is 0 dB, so read SI-SDRi first.",
                "BSS Eval SDR, SIR, SAR: version 3 by fast-bss-eval, of the channels' mean, 512 taps; interference is "
                "the sum of all other stems. Undefined for silent outputs, which are left out; at most 100 dB.",
                f"Silent references: where the target is under {SILENT_DB:g} dB re the mixture, or the song lacks the "
                "instrument, every ratio is undefined; only the output's level is measured, and the item counts as absent.",
                f"Collapsed: a target that sounds, but an output under {COLLAPSED_DB:g} dB re the mixture. Retrieved: the "
                "output's SI-SDR is greater to its target than to any other stem.",
                "p: Wilcoxon's signed-rank test, two-sided; over items it is too sure of itself, as items of one song are "
                "alike; over songs it compares the songs' mean differences.",
            ]
        ),
    ]


def _sounds(example: Example) -> document.Sounds:
    """A few seconds of each sound, mono: where the target is loudest."""
    target, rate = example.sounds["target"]
    power = np.cumsum(np.concatenate([[0.0], np.square(target, dtype=np.float64).sum(0)]))
    length = min(LISTEN_S * rate, target.shape[1])
    start = int(np.argmax(power[length:] - power[:-length])) if target.shape[1] > length else 0
    clips = {}
    for name, (samples, its_rate) in example.sounds.items():
        begin = 0 if name == "query" else start
        part = samples[:, begin : begin + LISTEN_S * its_rate].mean(0, keepdims=True)
        clips[name] = audio.to_mp3(audio.resample(part, its_rate, LISTEN_RATE), LISTEN_RATE)
    return document.Sounds(example.title, clips)
