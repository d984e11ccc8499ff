"""Separate the guitar from 30 s of a real song, shown by a clip or by marks in the song, and measure the result.

`make demo` runs this. The stems are known: the measure is the scale-invariant SDR of the guitar
(of the channels' mean), before and after.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from fewshot_sep import audio, cli, metrics
from fewshot_sep.songs.cli import separate

Array = NDArray[np.float32]

DATA = Path(__file__).parent / "data"
OUTPUT = Path("out/demo")
REST_S = 22  # from here on the guitar is silent in the song with marks: in the excerpt it plays all the time
PLAYS, RESTS = "0:00-0:20", "0:22-0:30"


def stems(marks: bool) -> tuple[Array, Array, int]:
    """Guitar and backing `(channels, samples)` with their rate; with `marks` the guitar rests from `REST_S` on."""
    guitar, rate = audio.read(DATA / "guitar.ogg")
    backing, _ = audio.read(DATA / "backing.ogg")
    if marks:
        guitar[:, REST_S * rate :] = 0
    return guitar, backing, rate


def main(
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the song and the results.")
    ] = OUTPUT,
    marks: Annotated[
        bool, typer.Option("--marks", help="Show the guitar by marks in the song, and by no clip of it alone.")
    ] = False,
    weights: Annotated[Path | None, typer.Option(metavar="FILE", help="Other weights than the bundled ones.")] = None,
) -> tuple[float, float]:
    """Separate the guitar from the bundled excerpt of a song, and print its SI-SDR in dB before and after.

    Example:
      python -m fewshot_sep.experiments.demo.run -o out/demo
      python -m fewshot_sep.experiments.demo.run -o out/demo --marks --weights FILE
    """
    guitar, backing, rate = stems(marks)
    song = out / f"war_of_freedom{'_marked' if marks else ''}.wav"
    audio.write(song, guitar + backing, rate)
    print("War of freedom by Sectoid, 1:00 to 1:30")
    if marks:
        print(f"marks: the guitar plays with others {PLAYS}, it does not play {RESTS} (silenced from 0:{REST_S} on)")
        separate([song], out=out, among_at=[PLAYS], absent_at=[RESTS], name="guitar", plot=True, weights=weights)
    else:
        print("query: 8 s of the guitar from 1:50")
        separate([song], out=out, query=[DATA / "query.ogg"], name="guitar", plot=True, weights=weights)
    target, _ = audio.read(out / song.stem / "guitar.wav")
    before, after = metrics.si_sdr(guitar, guitar + backing), metrics.si_sdr(guitar, target)
    found = f"{before:.2f} dB in the song, {after:.2f} dB separated ({after - before:+.2f} dB)"
    print(f"SI-SDR of the guitar (of the channels' mean): {found}")
    return before, after


if __name__ == "__main__":
    cli.run(main)
