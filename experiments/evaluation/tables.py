"""The tables of a report, from the rows of its methods."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from fewshot_sep.experiments.evaluation.measure import Row
from fewshot_sep.experiments.evaluation.settings import COLLAPSED_DB, MAX_SOURCES, SILENT_DB
from fewshot_sep.experiments.kit import stats
from fewshot_sep.experiments.kit.document import Block, Heading, Points, Table, Text, section
from fewshot_sep.metrics import SILENT_SI_SDR_DB

KINDS = {
    "same": "Query from the same song",
    "cross": "Query from another song",
    "absent": "Instrument not in the song",
}
FIGURES = ("si_sdri", "si_sdr", "sdri", "sdr", "bss_sdr", "bss_sir", "bss_sar")
LEVELS_DB = (-20.0, -40.0)
Methods = dict[str, list[Row]]
"""Rows by the method's label."""


class Paired(NamedTuple):
    """What two methods, or runs, differ in over the items of a kind that both have."""

    first: str
    second: str
    kind: str
    figure: str
    found: stats.Difference


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


def pairs(methods: Methods) -> Iterable[Paired]:
    """The first method against each other, where the target is there by SI-SDRi, elsewhere by level."""
    first, *others = methods
    for kind, name in (("same", "si_sdri"), ("cross", "si_sdri"), ("absent", "level")):
        for other in others:
            found = pair(of_kind(methods[first], kind), of_kind(methods[other], kind), name)
            if found:
                yield Paired(first, other, kind, name, found)


def paired_table(differences: Iterable[Paired]) -> Table:
    """A line for each comparison."""
    head = ["first", "second", "kind", "figure", "items (songs)", "median difference (dB)", "mean difference (dB)"]
    head += ["first greater", "p, items", "p, songs"]
    lines = []
    for first, second, kind, figure, found in differences:
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


def share(rows: Sequence[Row], name: str) -> float:
    return float(np.mean([row[name] for row in rows]))


def under(rows: Sequence[Row], limit_db: float) -> float:
    return float(np.mean([row["level"] < limit_db for row in rows]))


def all_tables(methods: Methods) -> list[Block]:
    blocks: list[Block] = []
    for kind, title in KINDS.items():
        having = {label: some for label, rows in methods.items() if (some := of_kind(rows, kind))}
        if having:
            blocks += [Heading(title), _absent(having) if kind == "absent" else _present(having)]
    differences = list(pairs(methods))
    if differences:
        blocks += [Heading(f"{differences[0].first} against the others, item by item"), paired_table(differences)]
    for title, table in (
        ("Number of sources", _by_sources(methods)),
        ("Number and length of queries", by_clips(methods)),
        ("The best query there can be", best_query(methods)),
        ("Wrong queries", wrong_queries(methods)),
        ("Instruments that training heard, and those that it did not", _seen(methods)),
        ("By instrument", _grouped(methods, "target", "instrument")),
        ("By song", _grouped(methods, "song", "song")),
    ):
        blocks += section(title, table)
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
        line += [percent(share(rows, name)) for name in ("collapsed", "retrieved")]
        lines.append(line)
    return Table([*head, "collapsed", "retrieved"], lines)


def _absent(methods: Methods) -> Table:
    lines = []
    for label, rows in methods.items():
        level = summarise(rows, "level")
        assert level
        shares = [percent(under(rows, limit)) for limit in LEVELS_DB]
        lines.append([label, str(level.n), interval(level.median), interval(level.mean), *shares])
    return Table(["method", "items", "level, median", "level, mean", *(f"under {x:.0f} dB" for x in LEVELS_DB)], lines)


def _by_sources(methods: Methods) -> list[Block]:
    """SDR, SIR and SAR by number of sources, in the form of table 2 of Slizovskaia et al. 2019.

    "End-to-end sound source separation conditioned on instrument labels".
    """
    lines = []
    for label, rows in methods.items():
        some = of_kind(rows, "same", "sources") if of_kind(rows, "sources") else []
        for count in sorted({row["sources"] for row in some if row["sources"] <= MAX_SOURCES}):
            mine = [row for row in some if row["sources"] == count]
            ratios = " / ".join(_median(mine, name) for name in ("bss_sdr", "bss_sir", "bss_sar"))
            lines.append([label, str(count), str(len(mine)), _median(mine, "si_sdri"), ratios])
    head = ["method", "sources", "items", "SI-SDRi", "BSS Eval SDR / SIR / SAR"]
    note = "Medians. The same targets with one, two, ... of the other stems, and the whole mixtures of that many."
    return [Text(note), Table(head, lines)] if lines else []


def by_clips(methods: Methods) -> list[Block]:
    """What the number and length of the queries make of it; empty where no row tells."""
    sets = {label: some for label, rows in methods.items() if (some := of_kind(rows, "clips"))}
    forms = sorted({(row["clip_s"], row["clips"]) for rows in sets.values() for row in rows})
    if not forms:
        return []
    lines = []
    for label, rows in sets.items():
        line = [label, both(summarise(of_kind(methods[label], "same"), "si_sdri"))]
        for seconds, count in forms:
            some = [row for row in rows if (row["clip_s"], row["clips"]) == (seconds, count)]
            line.append(f"{both(summarise(some, 'si_sdri'))} ({len(some)})" if some else "")
        lines.append(line)
    head = ["method", "query as it is", *(f"{count} x {seconds:g} s (items)" for seconds, count in forms)]
    return [Text("SI-SDRi, median / mean, asked with clips cut from the same query material."), Table(head, lines)]


def best_query(methods: Methods) -> list[Block]:
    """What the target itself as the query adds to the items of kind `same`; empty where no row tells."""
    lines = []
    for label, rows in methods.items():
        best = [row | {"id": row["id"].removesuffix("/itself")} for row in of_kind(rows, "itself")]
        if best:
            own = of_kind(rows, "same")
            gain = pair(best, own, "si_sdri")
            lines.append([label, str(len(best)), *(both(summarise(some, "si_sdri")) for some in (own, best))])
            lines[-1].append(interval(gain.mean) if gain else "")
    head = ["method", "items", "query as it is", "the target as query", "mean difference"]
    note = (
        "SI-SDRi, median / mean. No query says more of a target than the target itself: what it adds is lost for want "
        "of a better query or of better listening to it, and what is still missing is the separation's own."
    )
    return [Text(note), Table(head, lines)] if lines else []


def wrong_queries(methods: Methods) -> list[Block]:
    """What comes of queries that play something else; empty where no row tells."""
    lines = []
    for label, rows in methods.items():
        wrong, shuffled = of_kind(rows, "wrong"), of_kind(rows, "shuffled")
        if wrong or shuffled:
            own = of_kind(rows, "same")
            line = [label, both(summarise(own, "si_sdri")), str(len(wrong)), both(summarise(wrong, "si_sdri"))]
            line += [both(summarise(wrong, "asked_si_sdri"))]
            line += [percent(share(wrong, "followed")) if wrong else ""]
            line += [str(len(shuffled)), both(summarise(shuffled, "si_sdri")), _median(shuffled, "level")]
            lines.append(line)
    head = ["method", "right query", "wrong: items", "wrong: SI-SDRi of the item's target", "of the query's instrument"]
    head += ["followed the query", "shuffled: items", "shuffled: SI-SDRi", "shuffled: level"]
    note = (
        "SI-SDRi, median / mean. Wrong: the query plays another instrument of the mixture, so the item's own target "
        "should score badly and the query's instrument well. Shuffled: the query of an item of another song and "
        "another instrument; a separator that listens to its query does badly here."
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


def rules() -> list[Block]:
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
                "instrument, every ratio is undefined; only the output's level is measured; the item counts as absent.",
                f"Collapsed: a target that sounds, but an output under {COLLAPSED_DB:g} dB re the mixture. Retrieved: "
                "the output's SI-SDR is greater to its target than to any other stem.",
                "p: Wilcoxon's signed-rank test, two-sided; over items it is too sure of itself, as items of one song "
                "are alike; over songs it compares the songs' mean differences.",
            ]
        ),
    ]
