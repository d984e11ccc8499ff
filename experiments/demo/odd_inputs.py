"""What a dead or opposite channel, silence around the clip, or a quiet clip costs, on the bundled excerpt of a song."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import typer
from numpy.typing import NDArray

from fewshot_sep import Separator, audio, cli, metrics
from fewshot_sep.errors import FewshotSepError
from fewshot_sep.experiments.demo.run import DATA
from fewshot_sep.markdown import table

Array = NDArray[np.float32]
SECONDS = 12
QUIET_DBFS = -72.0


def cases(query: Array, rate: int) -> Iterator[tuple[str, tuple[float, ...], Array]]:
    """Names, gains of the channels in which the song is heard (it is made mono first), and clips."""
    mono = query.mean(0, keepdims=True)
    silence, short = np.zeros((1, 10 * rate), np.float32), mono[:, 2 * rate : round(2.3 * rate)]
    yield "mono", (1,), mono
    yield "both channels alike", (1, 1), mono
    yield "one channel dead", (1, 0), mono
    yield "one channel 30 dB quieter", (1, 10 ** (-30 / 20)), mono
    yield "channels of opposite polarity", (1, -1), mono
    yield "mono; a clip with a dead channel", (1,), np.concatenate([mono, 0 * mono])
    yield "mono; a clip of opposite channels", (1,), np.concatenate([mono, -mono])
    yield "mono; 10 s of silence before the clip", (1,), np.concatenate([silence, mono], 1)
    yield "mono; 10 s of silence after the clip", (1,), np.concatenate([mono, silence], 1)
    yield "mono; 0.3 s of the clip", (1,), short
    yield "mono; 0.3 s of the clip and 1 s of silence", (1,), np.concatenate([short, silence[:, :rate]], 1)
    quiet = mono / np.abs(mono).max() * np.float32(10 ** (QUIET_DBFS / 20))
    yield f"mono; the clip at {QUIET_DBFS:g} dBFS", (1,), quiet


def measure(separator: Separator) -> Iterator[tuple[str, str, str]]:
    """Of each case its name, SI-SDR (channel by channel) and level of the target re the true guitar, in dB."""
    (guitar, rate), (backing, _) = (audio.read(DATA / f"{name}.ogg") for name in ("guitar", "backing"))
    guitar, backing = (sound[:, : SECONDS * rate].mean(0) for sound in (guitar, backing))
    query, query_rate = audio.read(DATA / "query.ogg")
    for name, gains, clip in cases(query, query_rate):
        gain = np.array(gains, np.float32)[:, None]
        try:
            target = separator.separate(gain * (guitar + backing), [(clip, query_rate)], rate).target
        except FewshotSepError as error:
            yield name, str(error), ""
            continue
        figures = (each(gain * guitar, target) for each in (metrics.channelwise_si_sdr, _level_db))
        yield name, *(f"{figure:.1f}" for figure in figures)


def _level_db(reference: Array, target: Array) -> float:
    return metrics.level_db(target, reference)


def odd_inputs() -> None:
    """Print a table of what odd channels and clips do to the guitar of the bundled excerpt.

    Example:
      python -m fewshot_sep.experiments.demo.odd_inputs
    """
    head = ["song and clip", "SI-SDR (dB)", "level re the true guitar (dB)"]
    typer.echo(table(head, []))
    for row in measure(Separator.from_pretrained()):
        typer.echo(table(row, []).splitlines()[0])


if __name__ == "__main__":
    cli.run(odd_inputs)
