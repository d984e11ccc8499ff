"""What a curation did: `report.md` with counts, minutes and tempi, and contact sheets of spectrograms."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fewshot_sep import audio, files, presets
from fewshot_sep.loops.curation.curate import Curated
from fewshot_sep.loops.curation.edits import DECISIONS, UNDECIDED
from fewshot_sep.loops.instruments.sound_files import slug
from fewshot_sep.loops.library import Row
from fewshot_sep.markdown import name as plain
from fewshot_sep.markdown import table
from fewshot_sep.plots import new_figure, spectrogram

SHEET = 12  # spectrograms on a contact sheet
BIN_BPM = 10


def write(curated: Curated) -> Path:
    """Write `report.md` and `report/`, a contact sheet for each instrument, into the library; the report's path."""
    folder, pictures = curated.library.folder, curated.library.folder / "report"
    by_instrument = defaultdict[str, list[Row]](list)
    for row in sorted(curated.library, key=lambda row: row.instrument):
        by_instrument[row.instrument].append(row)
    pictures.mkdir(exist_ok=True)
    for old in pictures.glob("*.png"):
        old.unlink()
    for instrument, rows in by_instrument.items():
        _contact_sheet(folder, rows, pictures / _sheet(instrument))
    files.write_text(folder / "report.md", _text(curated, by_instrument))
    return folder / "report.md"


def _sheet(instrument: str) -> str:
    return f"sheet-{slug(instrument)}.png"


def _text(curated: Curated, by_instrument: dict[str, list[Row]]) -> str:
    settings = curated.settings
    preset = presets.get(settings.preset)
    minutes = preset.segment / preset.sample_rate / 60
    kept, rejected, undecided = map(curated.of_status, ("kept", "rejected", "undecided"))
    owner = {piece: path for path, entry in curated.entries.items() for piece in entry.pieces}
    instruments = [
        (
            name,
            rows[0].family,
            str(len({owner[row.path] for row in rows})),
            str(len(rows)),
            f"{len(rows) * minutes:.1f}",
            ", ".join(sorted({row.split for row in rows})),
            f"{settings.gain(name.split(' (')[0]):g}",
        )
        for name, rows in by_instrument.items()
    ]
    tempi = Counter(int(decision.bpm // BIN_BPM) * BIN_BPM for decision in kept)
    sources = Counter(decision.tempo_by for decision in kept).most_common()
    reasons = Counter(decision.reason.split(":")[0].split(" of ")[0].split(" (")[0] for decision in rejected)
    blocks = [
        "# What the curation did",
        f"{len(curated.decisions)} files: {len(kept)} kept, {len(rejected)} rejected, {len(undecided)} undecided "
        f"([{UNDECIDED}]({UNDECIDED}): fill in what is missing, then call again with `--decisions`).\n"
        f"{len(curated.library)} pieces of four beats, {len(curated.library) * minutes:.1f} minutes: "
        f"{preset.segment} samples at {preset.sample_rate} Hz (preset `{preset.name}`), stretched with "
        f"{settings.stretcher}, beats tracked with {settings.tracker}. All decisions: [{DECISIONS}]({DECISIONS}).",
        table(("instrument", "family", "loops", "pieces", "minutes", "split", "gain"), instruments),
        "## Tempo",
        table(("BPM", "loops kept"), [(f"{low} to {low + BIN_BPM}", str(n)) for low, n in sorted(tempi.items())]),
        f"Tempo known by: {', '.join(f'{by} {count}' for by, count in sources)}.",
        "## Rejected",
        table(("reason", "files"), [(reason, str(count)) for reason, count in reasons.most_common()]),
        "## Undecided",
        table(("file", "why", "BPM, if any"), [(d.path, d.reason, f"{d.bpm:g}") for d in undecided]),
        "## Done to fit four beats",
        table(("file", "what"), [(path, e.note) for path, e in sorted(curated.entries.items()) if e.note]),
        "## Contact sheets",
        *(f"### {plain(name)}\n\n![{plain(name)}](report/{_sheet(name)})" for name in by_instrument),
    ]
    return "\n\n".join(blocks) + "\n"


def _contact_sheet(folder: Path, rows: Sequence[Row], picture: Path) -> None:
    """Spectrograms of up to `SHEET` pieces, spread evenly over `rows`, on one scale each."""
    chosen = [rows[int(k)] for k in np.linspace(0, len(rows) - 1, min(SHEET, len(rows)))]
    columns = min(4, len(chosen))
    height = -(-len(chosen) // columns)
    figure, axes = new_figure(height, columns, 4 * columns, 2.6 * height)
    for panel in axes.flat[len(chosen) :]:
        panel.set_axis_off()
    for panel, row in zip(axes.flat, chosen, strict=False):
        samples, rate = audio.read(folder / row.path)
        spectrogram(panel, samples, rate, Path(row.path).stem[:34], columns=200)
    figure.savefig(picture, dpi=60)
