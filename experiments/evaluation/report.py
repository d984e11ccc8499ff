"""What a run found: `report.md`, `metrics.json`, figures, and `page.html`, which holds all of it and sounds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fewshot_sep import audio
from fewshot_sep.experiments import seeds
from fewshot_sep.experiments.evaluation import figures, tables
from fewshot_sep.experiments.evaluation.figures import Example
from fewshot_sep.experiments.evaluation.measure import Row
from fewshot_sep.experiments.evaluation.tables import (
    FIGURES,
    KINDS,
    LEVELS_DB,
    Methods,
    of_kind,
    share,
    summarise,
    under,
)
from fewshot_sep.experiments.kit import document, stats
from fewshot_sep.experiments.kit.document import Block, Heading, Picture, Points, Table, Text

SHARES: tuple[str, ...] = ("collapsed", "retrieved", "followed")
EXTREMES = 5
LISTEN_S, LISTEN_RATE = 4, 24000


class Asked(NamedTuple):
    """A method as it was asked for; `weights` says which, and is empty where none were given."""

    spec: str
    weights: str = ""

    def __str__(self) -> str:
        return f"{self.spec}, weights {self.weights}" if self.weights else self.spec


class Facts(NamedTuple):
    """What the report says of the run besides its rows: the set's name, what each method is by its label."""

    items: str
    methods: dict[str, Asked]


def write(run: Path, rows: Sequence[Row], facts: Facts, examples: Sequence[Example]) -> None:
    """Write the report on rows into the run's folder. The first method is the one that others are compared with."""
    good = {label: [r for r in rows if r["method"] == label and "failed" not in r] for label in facts.methods}
    methods = {label: some for label, some in good.items() if some}
    summary = {label: _summary(some) for label, some in methods.items()}
    content = {
        "items": facts.items,
        "methods": {label: {"is": str(facts.methods[label]), **summary[label]} for label in methods},
        "paired": [{**pair._asdict(), "found": pair.found._asdict()} for pair in tables.pairs(methods)],
        "failed": [{name: row[name] for name in ("method", "id", "failed")} for row in rows if "failed" in row],
    }
    (run / "metrics.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    pictures = _pictures(run, methods, examples)
    blocks = [*_head(rows, facts), *tables.all_tables(methods), *_papers(methods, facts), *_cost(summary)]
    blocks += [*pictures, *_extremes(methods)]
    blocks += [*_failures(rows), *tables.rules(), _made_by(facts)]
    (run / "report.md").write_text(document.markdown(blocks), encoding="utf-8")
    sounds = [_sounds(example) for example in examples]
    blocks += document.section("Listen", sounds)
    (run / "page.html").write_text(document.page(f"Evaluation on {facts.items}", blocks, run), encoding="utf-8")


def _summary(rows: Sequence[Row]) -> dict[str, Any]:
    """All figures of a method, as metrics.json has them."""
    found: dict[str, Any] = {}
    for kind in sorted({row["kind"] for row in rows} | {"absent"}):
        some = of_kind(rows, kind)
        if not some:
            continue
        names = ("level", *FIGURES, "asked_si_sdri")
        entry = {name: _nested(value) for name in names if (value := summarise(some, name))}
        shares = {name: share(some, name) for name in SHARES if name in some[0]}
        if kind == "absent":
            shares = {f"under {limit:g} dB": under(some, limit) for limit in LEVELS_DB}
        found[kind] = {"items": len(some), **entry, **shares}
    peaks = [row["peak_mib"] for row in rows if row["peak_mib"]]
    cost = {"seconds_per_second": _per_second(rows, "seconds"), "cpu_seconds_per_second": _per_second(rows, "cpu_s")}
    return {"kinds": found, **cost, "peak_mib": max(peaks, default=None)}


def _per_second(rows: Sequence[Row], name: str) -> float:
    having = [row for row in rows if name in row]
    return sum(row[name] for row in having) / max(sum(row["audio_s"] for row in having), 1e-9)


def _nested(found: stats.Summary) -> dict[str, Any]:
    return {
        "median": [round(value, 4) for value in found.median],
        "mean": [round(value, 4) for value in found.mean],
        "items": found.n,
        "songs": found.songs,
    }


def _head(rows: Sequence[Row], facts: Facts) -> list[Block]:
    native = {row["id"]: row for row in rows if row["kind"] in KINDS}
    songs = sorted({row["song"] for row in rows})
    counts = ", ".join(f"{sum(row['kind'] == kind for row in native.values())} {kind}" for kind in KINDS)
    return [
        Heading(f"Query-by-example separation on `{facts.items}`", 1),
        Text(
            f"{len(native)} items ({counts}) of {len(songs)} songs, and the harder questions derived from them. "
            "Decibels throughout; medians and means with 95 % intervals in brackets, by resampling whole songs. "
            "What each figure means stands at the end."
        ),
        Points([f"`{label}`: `{what}`" for label, what in facts.methods.items() if str(what) != label]),
    ]


def _made_by(facts: Facts) -> Text:
    asked = []
    for label, (spec, weights) in facts.methods.items():
        asked.append(f"--method {label if label == spec else repr(f'{label}={spec}')}")
        asked += [f"--weights {label}=FILE"] if weights else []
    return Text(f"Made by `fewshot-sep evaluate ITEMS -o RUN {' '.join(asked)}`.")


def _papers(methods: Methods, facts: Facts) -> list[Block]:
    """The seed papers' systems: each paper's own figure beside ours."""
    lines = []
    for label, rows in methods.items():
        paper = seeds.PAPERS.get(facts.methods[label].spec)
        if paper:
            ours = (summarise(of_kind(rows, "same"), f"bss_{name}") for name in ("sdr", "sir", "sar"))
            means = " / ".join(f"{found.mean.value:.1f}" for found in ours if found)
            lines.append([label, f"{paper.title} ({paper.authors_year})", paper.figure, means, paper.differs])
    head = [
        "method",
        "paper",
        "the paper's own figure",
        "here, same: mean SDR / SIR / SAR",
        "what differs here",
    ]
    note = (
        "Trained here for minutes on a processor and asked on other songs than the papers': their figures show how far "
        "that is from what the systems can do, not which is better. BSS Eval, dB."
    )
    return [Heading("Systems of the seed papers"), Text(note), Table(head, lines)] if lines else []


def _cost(summary: dict[str, Any]) -> list[Block]:
    lines = []
    for label, found in summary.items():
        peak = f"{found['peak_mib']:.0f}" if found["peak_mib"] else ""
        times = (found[name] for name in ("seconds_per_second", "cpu_seconds_per_second"))
        lines.append([label, *(f"{time:.3f}" for time in times), peak])
    note = (
        "A method runs in a process of its own, which also reads the sound files; measuring happens outside of it. "
        "The row of a method that does nothing is what that alone takes. Other work on the same machine makes the "
        "seconds longer, the seconds of CPU hardly."
    )
    head = ["method", "seconds per second of audio", "seconds of CPU per second of audio", "peak memory (MiB)"]
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
        clips[name] = audio.encode(audio.resample(part, its_rate, LISTEN_RATE), LISTEN_RATE)
    return document.Sounds(example.title, clips)
