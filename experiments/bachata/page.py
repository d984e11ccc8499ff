"""Tables 1 and 2 to listen to: one HTML file that holds its sound."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fewshot_sep import audio
from fewshot_sep.experiments.bachata.examples import Array, Example
from fewshot_sep.experiments.bachata.run import INSTRUMENTS

EXCERPT_S = 5.0  # of a song
_COMPRESSION = 1.0  # Vorbis at about 20 kbit/s

_HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Bachata, taken apart</title>
<style>body{font:15px sans-serif;margin:2em}table{border-collapse:collapse}
td,th{border:1px solid #bbb;padding:.3em .5em;text-align:left}
audio{width:8.5em;height:2em}</style>
"""


def player(samples: Array, sample_rate: int) -> str:
    """An `audio` element with mono sound `(samples,)` as Ogg Vorbis inside."""
    sound = audio.encode(samples[None], sample_rate, "OGG", "VORBIS", _COMPRESSION)
    data = base64.b64encode(sound).decode()
    return f'<audio controls preload="none" src="data:audio/ogg;base64,{data}"></audio>'


def _row(cells: Sequence[str], tag: str = "td") -> str:
    return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>"


def write(
    path: Path,
    examples: Sequence[Example],
    found: Sequence[Array],
    songs: Mapping[str, tuple[Array, Mapping[str, Array]]],
    sample_rate: int,
    note: str,
) -> None:
    """Table 1 (mixture, then true and found of each instrument) and excerpts of songs (mixture, then what was found).

    Shape: `found` has `(instruments, samples)` for each example; songs `(samples,)` by name; all at `sample_rate`.
    """
    lines = [_HEAD, "<h1>Bachata, taken apart</h1>", f"<p>{html.escape(note)}</p>", "<h2>Table 1: clips</h2><table>"]
    pairs = [f"{name}, {kind}" for name in INSTRUMENTS for kind in ("true", "found")]
    lines.append(_row(["example", "mixture", *pairs], "th"))
    for number, (example, stems) in enumerate(zip(examples, found, strict=True), 1):
        both = [sound for pair in zip(example.stems, stems, strict=True) for sound in pair]
        lines.append(_row([str(number), *(player(_safe(x), sample_rate) for x in (example.mixture, *both))]))
    lines += ["</table>", f"<h2>Table 2: songs, {EXCERPT_S:g} s of each</h2><table>"]
    lines.append(_row(["song", "mixture", *INSTRUMENTS], "th"))
    length = round(EXCERPT_S * sample_rate)
    for name, (mixture, stems_of) in songs.items():
        sounds = (mixture, *(stems_of[instrument] for instrument in INSTRUMENTS))
        lines.append(_row([html.escape(name), *(player(_safe(x[:length]), sample_rate) for x in sounds)]))
    lines.append("</table></html>\n")
    path.write_text("\n".join(lines), encoding="utf-8")


def _safe(samples: Array) -> Array:
    """Scaled to full scale where it would be cut off."""
    return (samples / max(1.0, float(np.abs(samples).max()))).astype(np.float32)
