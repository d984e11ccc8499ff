"""What a curation did: `report.md` with counts, minutes and tempi, and contact sheets of spectrograms."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fewshot_sep import audio, presets
from fewshot_sep.loops.curation.curate import DECISIONS, UNDECIDED, Curated
from fewshot_sep.loops.curation.decide import Decision
from fewshot_sep.loops.instruments.sound_files import slug
from fewshot_sep.loops.library import Row
from fewshot_sep.plots import new_figure, spectrogram

SHEET = 12  # spectrograms on a contact sheet
BIN_BPM = 10


def write(curated: Curated) -> Path:
    """Write `report.md` and `report/`, a contact sheet for each instrument, into the library; the report's path."""
    folder = curated.library.folder
    sheets = {}
    by_instrument: dict[str, list[Row]] = defaultdict(list)
    for row in curated.library:
        by_instrument[row.instrument].append(row)
    (folder / "report").mkdir(exist_ok=True)
    for old in (folder / "report").glob("sheet-*.png"):
        old.unlink()
    for instrument, rows in sorted(by_instrument.items()):
        sheets[instrument] = f"report/sheet-{slug(instrument)}.png"
        contact_sheet(folder, rows, folder / sheets[instrument])
    if curated.decisions:
        _histogram(curated.decisions, folder / "report" / "tempi.png")
    path = folder / "report.md"
    path.write_text(_text(curated, by_instrument, sheets), encoding="utf-8")
    return path


def _text(curated: Curated, by_instrument: dict[str, list[Row]], sheets: dict[str, str]) -> str:
    decisions, settings = curated.decisions, curated.settings
    preset = presets.get(settings.preset)
    seconds = preset.segment / preset.sample_rate
    counts = Counter(decision.status for decision in decisions)
    lines = [
        "# What the curation did",
        "",
        f"{len(decisions)} files: {counts['kept']} kept, {counts['rejected']} rejected, {counts['undecided']} "
        f"undecided ([{UNDECIDED}]({UNDECIDED}): fill in what is missing, then call again with `--decisions`).",
        f"{len(curated.library)} pieces of four beats, {len(curated.library) * seconds / 60:.1f} minutes: "
        f"{preset.segment} samples at {preset.sample_rate} Hz (preset `{preset.name}`), stretched with "
        f"{settings.stretcher}, beats tracked with {settings.tracker}. All decisions: [{DECISIONS}]({DECISIONS}).",
        "",
        "| instrument | family | loops | pieces | minutes | split | gain |",
        "|---|---|---|---|---|---|---|",
    ]
    owner = {piece: path for path, pieces in curated.pieces.items() for piece in pieces}
    for name, rows in sorted(by_instrument.items()):
        loops, splits = len({owner[row.path] for row in rows}), ", ".join(sorted({row.split for row in rows}))
        gain = settings.gain(name.split(" (")[0])
        minutes = len(rows) * seconds / 60
        lines.append(f"| {name} | {rows[0].family} | {loops} | {len(rows)} | {minutes:.1f} | {splits} | {gain:g} |")
    lines += ["", "## Tempo", "", "| BPM | loops kept |", "|---|---|"]
    tempi = Counter(int(d.bpm // BIN_BPM) * BIN_BPM for d in decisions if d.status == "kept")
    lines += [f"| {low} to {low + BIN_BPM} | {count} |" for low, count in sorted(tempi.items())]
    said = Counter(d.tempo_by for d in decisions if d.status == "kept")
    lines += ["", "Tempo known by: " + ", ".join(f"{by} {count}" for by, count in said.most_common()) + "."]
    lines += ["", "![tempi](report/tempi.png)", "", "## Rejected", "", "| reason | files |", "|---|---|"]
    reasons = Counter(_short(d.reason) for d in decisions if d.status == "rejected")
    lines += [f"| {reason} | {count} |" for reason, count in reasons.most_common()]
    lines += ["", "## Undecided", "", "| file | why | BPM, if any |", "|---|---|---|"]
    lines += [f"| {_cell(d.path)} | {_cell(d.reason)} | {d.bpm:g} |" for d in decisions if d.status == "undecided"]
    noted = [(path, note) for path, note in sorted(curated.notes.items()) if note]
    lines += ["", "## Done to fit four beats", "", "| file | what |", "|---|---|"]
    lines += [f"| {_cell(path)} | {note} |" for path, note in noted]
    lines += ["", "## Contact sheets", ""]
    for name, sheet in sheets.items():
        lines += [f"### {name}", "", f"![{name}]({sheet})", ""]
    return "\n".join(lines).rstrip() + "\n"


def _short(reason: str) -> str:
    return reason.split(":")[0].split(" of ")[0].split(" (")[0]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").encode("utf-8", "replace").decode()


def contact_sheet(folder: Path, rows: Sequence[Row], picture: Path) -> None:
    """Spectrograms of up to `SHEET` pieces, spread evenly over `rows`, on one scale each."""
    chosen = [rows[int(k)] for k in np.linspace(0, len(rows) - 1, min(SHEET, len(rows)))]
    columns = min(4, len(chosen))
    figure, axes = new_figure(-(-len(chosen) // columns), columns, 4 * columns, 2.6 * -(-len(chosen) // columns))
    for panel in axes.flat[len(chosen) :]:
        panel.set_axis_off()
    for panel, row in zip(axes.flat, chosen, strict=False):
        samples, rate = audio.read(folder / row.path)
        spectrogram(panel, samples, rate, Path(row.path).stem[:34], columns=200)
    figure.savefig(picture, dpi=60)


def _histogram(decisions: Sequence[Decision], picture: Path) -> None:
    figure, axes = new_figure(1, 1, 7, 3)
    tempi = {status: [d.bpm for d in decisions if d.status == status and d.bpm] for status in ("kept", "undecided")}
    axes[0, 0].hist(list(tempi.values()), bins=list(range(40, 241, BIN_BPM)), stacked=True, label=list(tempi))
    axes[0, 0].set(xlabel="tempo (BPM)", ylabel="loops")
    axes[0, 0].legend()
    figure.savefig(picture, dpi=80)
