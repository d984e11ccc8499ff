"""Separate the guitar from 30 s of a real song, given 8 s of it from elsewhere in the song, and measure the result.

`make demo` runs this. The stems are known: the measure is the scale-invariant SDR of the guitar, before and after.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fewshot_sep import audio, cli, metrics
from fewshot_sep.songs.cli import separate

DATA = Path(__file__).parent / "data"
OUTPUT = Path("out/demo")


def main(
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the song and the results.")
    ] = OUTPUT,
) -> tuple[float, float]:
    """Separate the guitar from the bundled excerpt of a song, and print its SI-SDR in dB before and after.

    Example:
      python -m fewshot_sep.experiments.demo.run -o out/demo
    """
    guitar, rate = audio.read(DATA / "guitar.ogg")
    backing, _ = audio.read(DATA / "backing.ogg")
    song = out / "war_of_freedom.wav"
    audio.write(song, guitar + backing, rate)
    print("War of freedom by Sectoid, 1:00 to 1:30; query: 8 s of the guitar from 1:50")
    separate([song], out=out, query=[DATA / "query.ogg"], name="guitar", plot=True)
    target, _ = audio.read(out / song.stem / "guitar.wav")
    before, after = metrics.si_sdr(guitar, guitar + backing), metrics.si_sdr(guitar, target)
    print(f"SI-SDR of the guitar: {before:.2f} dB in the song, {after:.2f} dB separated ({after - before:+.2f} dB)")
    return before, after


if __name__ == "__main__":
    cli.run(main)
