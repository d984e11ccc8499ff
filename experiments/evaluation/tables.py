"""The tables of a report, from the rows of its methods."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from fewshot_sep.experiments.evaluation.runs import Row
from fewshot_sep.experiments.evaluation.settings import (
    COLLAPSED_DB,
    KIND_NAMES,
    MAX_SOURCES,
    NATIVE,
    PRESENT,
    SILENT_DB,
)
from fewshot_sep.experiments.kit import stats
from fewshot_sep.experiments.kit.document import Block, Heading, Points, Table, Text, section
from fewshot_sep.experiments.kit.tables import SI_SDR, interval, median, median_mean, percent
from fewshot_sep.metrics import SILENT_SI_SDR_DB

TITLES = {
    "same": "Intra-song: the query is from the same song",
    "cross": "Cross-song: the query is from another song",
    "absent": "Absent: the instrument is not in the song",
}
FIGURES = {"si_sdri": "SI-SDRi", "si_sdr": "SI-SDR", "sdr": "SDR", "sdri": "SDRi = SDR of the residual"}
FIGURES |= {"target_level": "level re target"}
FIGURES |= {"bss_sdr": "BSS Eval SDR", "bss_sir": "SIR", "bss_sar": "SAR"}
COMPARED = {"same": "si_sdri", "cross": "si_sdri", "absent": "level"}
LEVELS_DB = (-20.0, -40.0)
MIN_DIFFERENCES = 6
CHANGED = {
    "itself": (
        "oracle query",
        "The oracle query is the target itself. What it adds is lost for want of a better query or of a better "
        "encoding of it; what is still missing is the separation's own.",
    ),
    "borders": (
        "careless marks",
        "0.3 s of the clip among others begin the other clips, and in the first half of that clip the instrument "
        "rests.",
    ),
}
"""Kinds whose items are compared with those that they were derived from: the column's head, and what they are."""
Methods = dict[str, list[Row]]
"""Rows by the method's label."""


class Comparison(NamedTuple):
    """What two methods, or runs, differ in over the items of a kind that both have, by a figure."""

    first: str
    second: str
    kind: str
    figure: str
    found: stats.Difference


def of_kind(rows: Iterable[Row], *kinds: str) -> list[Row]:
    """The rows of items of a kind. Where a target does not sound, silence is right: such rows count as `absent`."""
    return [row for row in rows if (row["kind"] if row["sounds"] or row["kind"] not in NATIVE else "absent") in kinds]


def values(rows: Iterable[Row], name: str) -> list[float]:
    """A figure of the rows that have it."""
    return [row[name] for row in rows if row.get(name) is not None]


def summarise(rows: Sequence[Row], name: str) -> stats.Summary | None:
    """Median and mean of a figure over the rows that have it."""
    songs = [row["song"] for row in rows if row.get(name) is not None]
    return stats.summarise(values(rows, name), songs) if songs else None


def share(rows: Sequence[Row], name: str) -> float:
    """Of the rows that say whether something holds, those in which it does."""
    return float(np.mean(values(rows, name) or [0.0]))


def under(rows: Sequence[Row], limit_db: float) -> float:
    """The share of outputs below a level."""
    return float(np.mean([row["level"] < limit_db for row in rows]))


def pair(first: Sequence[Row], second: Sequence[Row], name: str) -> stats.Difference | None:
    """The difference in a figure over the items that both have."""
    theirs = {row["id"]: row for row in second if row.get(name) is not None}
    ours = [row for row in first if row["id"] in theirs and row.get(name) is not None]
    if not ours:
        return None
    return stats.compare(values(ours, name), [theirs[row["id"]][name] for row in ours], [row["song"] for row in ours])


def compared(first: tuple[str, Sequence[Row]], second: tuple[str, Sequence[Row]]) -> Iterable[Comparison]:
    """Two methods, each a label and its rows: where the target is there by SI-SDRi, elsewhere by level."""
    for kind, name in COMPARED.items():
        found = pair(of_kind(first[1], kind), of_kind(second[1], kind), name)
        if found:
            yield Comparison(first[0], second[0], kind, name, found)


def comparisons(methods: Methods) -> list[Comparison]:
    """The first method against each other."""
    first, *others = methods.items()
    found = [comparison for other in others for comparison in compared(first, other)]
    return sorted(found, key=lambda comparison: list(COMPARED).index(comparison.kind))


def differences(comparisons: Iterable[Comparison]) -> Table:
    """A line for each comparison, kinds and figures by the names that reports have for them."""
    head = ["first", "second", "kind", "figure", "items (songs)", "median difference (dB)", "mean difference (dB)"]
    lines = []
    for first, second, kind, figure, found in comparisons:
        line = [first, second, KIND_NAMES[kind], FIGURES.get(figure, figure), f"{found.n} ({found.songs})"]
        line += [interval(found.median), interval(found.mean), percent(found.wins)]
        lines.append([*line, p_value(found.p_items, found.n), p_value(found.p_songs, found.songs)])
    return Table([*head, "first greater", "p, items", "p, songs"], lines)


def p_value(p: float, count: int) -> str:
    """Of a signed-rank test over `count` differences: of fewer than six none can be under 0.05.

    >>> p_value(0.5, 2), p_value(0.031, 6)
    ('0.5 (2 are too few to tell)', '0.031')
    """
    return f"{p:.2g}" + (f" ({count} are too few to tell)" if count < MIN_DIFFERENCES else "")


def all_tables(methods: Methods) -> list[Block]:
    """Every table that the rows allow, under its heading."""
    blocks: list[Block] = []
    for kind, title in TITLES.items():
        having = _having(methods, kind)
        blocks += section(title, [_absent(having) if kind == "absent" else _present(having)] if having else [])
    found = comparisons(methods)
    if found:
        blocks += [Heading(f"{found[0].first} against the others, item by item"), differences(found)]
    for title, table in (
        ("Number of sources", _by_sources(methods)),
        ("Number and length of queries", by_clips(methods)),
        ("The best query there can be", changed(methods, "itself")),
        ("Careless marks", changed(methods, "borders")),
        ("Wrong queries", wrong_queries(methods)),
        ("Seen and unseen instruments", _seen(methods)),
        ("By instrument", _grouped(methods, "target", "instrument")),
        ("By song", _grouped(methods, "song", "song")),
    ):
        blocks += section(title, table)
    return blocks


def _having(methods: Methods, *kinds: str) -> Methods:
    """The rows of items of some kinds, of the methods that have any."""
    return {label: some for label, rows in methods.items() if (some := of_kind(rows, *kinds))}


def _gain(rows: Sequence[Row], name: str = "si_sdri") -> str:
    return median_mean(values(rows, name))


def _intervals(rows: Sequence[Row], name: str) -> list[str]:
    """Median and mean of a figure, each with its interval."""
    found = summarise(rows, name)
    return [interval(found.median), interval(found.mean)] if found else ["", ""]


def _present(methods: Methods) -> Table:
    first, *others = FIGURES
    head = ["method", "items", *(f"{FIGURES[first]}, {what}" for what in ("median", "mean"))]
    lines = []
    for label, rows in methods.items():
        shares = [percent(share(rows, name)) for name in ("collapsed", "retrieved")]
        figures = [*_intervals(rows, first), *(_gain(rows, name) for name in others)]
        lines.append([label, str(len(rows)), *figures, *shares])
    return Table([*head, *(FIGURES[name] for name in others), "collapsed", "retrieved"], lines)


def _absent(methods: Methods) -> Table:
    lines = [
        [label, str(len(rows)), *_intervals(rows, "level"), *(percent(under(rows, limit)) for limit in LEVELS_DB)]
        for label, rows in methods.items()
    ]
    return Table(["method", "items", "level, median", "level, mean", *(f"under {x:.0f} dB" for x in LEVELS_DB)], lines)


def _by_sources(methods: Methods) -> list[Block]:
    """SDR, SIR and SAR by number of sources, in the form of table 2 of Slizovskaia et al. 2019.

    "End-to-end sound source separation conditioned on instrument labels".
    """
    lines = []
    for label in _having(methods, "sources"):
        some = of_kind(methods[label], "same", "sources")
        for count in sorted({row["sources"] for row in some if row["sources"] <= MAX_SOURCES}):
            mine = [row for row in some if row["sources"] == count]
            ratios = " / ".join(median(values(mine, name)) for name in ("bss_sdr", "bss_sir", "bss_sar"))
            lines.append([label, str(count), str(len(mine)), median(values(mine, "si_sdri")), ratios])
    head = ["method", "sources", "items", "SI-SDRi", "BSS Eval SDR / SIR / SAR"]
    note = "Medians. The same targets with one, two, ... of the other stems, and the whole mixtures of that many."
    return _noted(note, head, lines)


def by_clips(methods: Methods) -> list[Block]:
    """What the number and length of the queries make of it; empty where no row tells."""
    sets = _having(methods, "clips")
    forms = sorted({(row["clip_s"], row["clips"]) for rows in sets.values() for row in rows})
    lines = []
    for label, rows in sets.items():
        line = [label, _gain(of_kind(methods[label], "same"))]
        for form in forms:
            some = [row for row in rows if (row["clip_s"], row["clips"]) == form]
            line.append(f"{_gain(some)} ({len(some)})" if some else "")
        lines.append(line)
    head = ["method", "query as it is", *(f"{count} x {seconds:g} s (items)" for seconds, count in forms)]
    return _noted("SI-SDRi, median / mean, queried with clips cut from the same material.", head, lines)


def changed(methods: Methods, kind: str) -> list[Block]:
    """Items of a kind beside the intra-song ones that they were derived from; empty where no row tells."""
    name, note = CHANGED[kind]
    lines = []
    for label, rows in _having(methods, kind).items():
        derived = [row | {"id": row["id"].removesuffix(f"/{kind}")} for row in rows]
        own = of_kind(methods[label], "same")
        gain = pair(derived, own, "si_sdri")
        lines.append([label, str(len(derived)), _gain(own), _gain(derived), interval(gain and gain.mean)])
    return _noted(
        f"SI-SDRi, median / mean. {note}", ["method", "items", "query as it is", name, "mean difference"], lines
    )


def wrong_queries(methods: Methods) -> list[Block]:
    """What comes of queries that play something else; empty where no row tells."""
    lines = []
    for label in _having(methods, "wrong", "shuffled"):
        own, wrong, shuffled = (of_kind(methods[label], kind) for kind in ("same", "wrong", "shuffled"))
        line = [label, _gain(own), str(len(wrong)), _gain(wrong), _gain(wrong, "asked_si_sdri")]
        line += [percent(share(wrong, "followed")) if wrong else ""]
        lines.append([*line, str(len(shuffled)), _gain(shuffled), median(values(shuffled, "level"))])
    head = ["method", "right query", "wrong: items", "wrong: SI-SDRi of the item's target", "of the query's instrument"]
    head += ["followed the query", "shuffled: items", "shuffled: SI-SDRi", "shuffled: level"]
    note = (
        "SI-SDRi, median / mean. Wrong: the query plays another instrument of the mixture, so the item's own target "
        "should score badly and the query's instrument well. Shuffled: the query of an item of another song and "
        "another instrument; a separator that depends on its query does badly here."
    )
    return _noted(note, head, lines)


def _seen(methods: Methods) -> list[Block]:
    lines = []
    for label, rows in _having(methods, *PRESENT).items():
        parts = [[row for row in rows if row["seen"] is seen] for seen in (True, False)]
        if all(parts):
            lines.append([label, *(cell for part in parts for cell in (str(len(part)), _gain(part)))])
    head = ["method", "seen: items", "SI-SDRi", "unseen: items", "SI-SDRi"]
    rows = [row for rows in methods.values() for row in of_kind(rows, *PRESENT)]
    names = sorted({row["target"] for row in rows if not row["seen"]})
    note = f"SI-SDRi, median / mean. Not in the training of the bundled weights: {', '.join(names)}."
    return _noted(note, head, lines)


def _grouped(methods: Methods, field: str, title: str) -> list[Block]:
    sets = _having(methods, *PRESENT)
    largest: list[Row] = max(sets.values(), key=len, default=[])

    def cells(group: str) -> list[str]:
        sizes = sum(row[field] == group for row in largest)
        parts = ([row for row in rows if row[field] == group] for rows in sets.values())
        return [group, str(sizes), *(median(values(part, "si_sdri")) for part in parts)]

    lines = [cells(group) for group in sorted({row[field] for row in largest})]
    return _noted("SI-SDRi, median over intra-song and cross-song items.", [title, "items", *sets], lines)


def _noted(note: str, head: list[str], lines: list[list[str]]) -> list[Block]:
    """A table under a note; nothing where it has no lines."""
    return [Text(note), Table(head, lines)] if lines else []


def rules() -> list[Block]:
    """What the figures mean."""
    return [
        Heading("What the figures mean"),
        Points(
            [
                f"{SI_SDR} SDR is over all channels, `10 log10(|s|^2 / |s - e|^2)`. The ending i: improvement over the "
                "mixture taken as it is. Pairs without brackets are median / mean.",
                "Residual: the mixture without the output. Its error is the output's, so its SDR is the target's SDRi.",
                "Level re target: of the output re the true target, below 0 where some was left behind. SI-SDR does "
                "not see it.",
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
