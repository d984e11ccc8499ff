"""Take the guitar out of 30 s of a real song, given 8 s of it from elsewhere in the song, and say how well that went.

`make demo` runs this. The stems are known, so the gain is a figure: scale-invariant SDR of the guitar before and after.
"""

from __future__ import annotations

from pathlib import Path

from fewshot_sep import audio, metrics
from fewshot_sep.songs.cli import separate

DATA = Path(__file__).parent / "data"
OUTPUT = Path("out/demo")


def main(output: Path = OUTPUT) -> tuple[float, float]:
    """Separate the bundled excerpt into `output`.

    Returns:
        SI-SDR of the guitar in dB: in the mixture, in the separated target.
    """
    guitar, rate = audio.read(DATA / "guitar.ogg")
    backing, _ = audio.read(DATA / "backing.ogg")
    song = output / "war_of_freedom.wav"
    audio.write(song, guitar + backing, rate)
    print("War of freedom by Sectoid, 1:00 to 1:30; asked for: the guitar, by 8 s of it from 1:50")
    separate([song], output, query=[DATA / "query.ogg"], name="guitar", plot=True)
    target, _ = audio.read(output / song.stem / "guitar.wav")
    before, after = metrics.si_sdr(guitar, guitar + backing), metrics.si_sdr(guitar, target)
    print(f"SI-SDR of the guitar: {before:.2f} dB in the song, {after:.2f} dB separated ({after - before:+.2f} dB)")
    return before, after


if __name__ == "__main__":
    main()
