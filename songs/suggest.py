"""Which passages of a song would make good evidence, and the command `fewshot-sep suggest` that says so.

Shown the instrument, it separates the song once and looks where the target is all there is, one of several, or not
there. Shown nothing, it looks for passages in which one instrument plays alone, each unlike the others.
"""

from __future__ import annotations

import collections
import contextlib
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray

from fewshot_sep import audio
from fewshot_sep.cli import say
from fewshot_sep.errors import BadQuery
from fewshot_sep.prompt import ROLES, ByRole, Role

if TYPE_CHECKING:  # torch, which the command does without until it has work
    from fewshot_sep.separator import Conditioning, Encoding, Separator

Array = NDArray[np.float32]

CELL_S = 0.5
PASSAGE_S = 4.0
RANGE_DB = 30.0  # below the song's loud passages nothing is evidence
# Of the mixture's energy that is the target's. Looser bounds for its absence found more passages, half of them wrong.
LEAST_ALONE, LEAST_AMONG, MOST_ABSENT = 0.7, 0.1, 0.03
USUAL = 10.0  # times as much as where it is absent is found in the passages with most of it
ALIKE = 0.8  # cosine of two passages' embeddings from which on they show the same
MAX_PASSAGES = 256  # of a long song that are looked at, where no instrument is shown

OPTIONS = dict(zip(ROLES, ("--query-at", "--with-at", "--not-at"), strict=True))


class Passage(NamedTuple):
    """Seconds `start` to `stop` of the song as evidence in a role; `score` ranks it, from 0 to 1."""

    role: Role
    start: float
    stop: float
    score: float

    def overlaps(self, other: Passage) -> bool:
        return max(self.start, other.start) < min(self.stop, other.stop)


def passages(energy: NDArray[np.float64], count: int = 3, *, trusted: bool = True) -> ByRole[Passage]:
    """The best passages by role, best first, none overlapping another of its role.

    What the separator takes for the target decides: how much of each passage's energy it is.

    Args:
        energy: of mixture and target in each cell of the song, `(2, cells)`.
        trusted: whether the separation is likely to have worked. If not, passages are of one role, among others.
    """
    width = max(round(PASSAGE_S / CELL_S), 1)
    if energy.shape[1] < width:
        return ByRole()
    of_mixture, of_target = (np.convolve(cells, np.ones(width), mode="valid") for cells in energy)
    sounds = of_mixture > of_mixture.max() * 10 ** (-RANGE_DB / 10)
    share = np.clip(of_target / np.where(sounds, of_mixture, 1), 0, 1)
    least = min(MOST_ABSENT, np.percentile(share[sounds], 90) / USUAL) if sounds.any() else MOST_ABSENT
    scores = {
        "alone": np.where((share >= LEAST_ALONE) & trusted, share, 0),
        "among": np.where((share >= LEAST_AMONG) & (share < LEAST_ALONE), share / LEAST_ALONE, 0),
        "absent": np.where((share <= least) & trusted, 1 - share, 0),
    }
    return ByRole(*(_best(role, np.where(sounds, scores[role], 0), count) for role in ROLES))


def _best(role: Role, scores: Array, count: int) -> list[Passage]:
    chosen: list[Passage] = []
    for place in np.argsort(-scores, kind="stable"):
        if scores[place] <= 0 or len(chosen) == count:
            break
        start = float(place * CELL_S)
        passage = Passage(role, start, start + PASSAGE_S, float(scores[place]))
        if not any(passage.overlaps(other) for other in chosen):
            chosen.append(passage)
    return chosen


def with_instrument(
    separator: Separator, song: audio.Source, conditioning: Conditioning, count: int = 3
) -> tuple[ByRole[Passage], str | None]:
    """Passages as evidence of an instrument that was shown, and why they may be wrong where that is likely."""
    from fewshot_sep.songs.expectation import failure
    from fewshot_sep.songs.pipeline import SongRun, SongSeparator

    run = SongRun(SongSeparator(separator), song, conditioning, "none", residual_pass=False)
    collections.deque(run.stems(), maxlen=0)
    unsure = failure(run.monitor.prediction)
    return passages(run.monitor.energy_in(CELL_S)[:2], count, trusted=not unsure), unsure


def distinct(separator: Separator, song: audio.Source, count: int = 3) -> list[Passage]:
    """Passages in which one instrument seems to play alone, the surest first, each unlike those before it."""
    from fewshot_sep.separator import at_most

    length = round(PASSAGE_S * song.sample_rate)
    starts = np.arange(0, max(song.frames - length + 1, 0), length // 2)
    starts = at_most(starts, MAX_PASSAGES)
    powers = np.array([np.mean(song.read(start, start + length) ** 2) for start in starts.tolist()])
    found = []
    for start in starts[powers > powers.max(initial=0) * 10 ** (-RANGE_DB / 10)].tolist():
        with contextlib.suppress(BadQuery):  # next to nothing sounds
            encoding = separator.encode(song.read(start, start + length), song.sample_rate)
            found.append((separator.polyphony_logit(encoding) or 0.0, start / song.sample_rate, encoding))
    chosen: list[tuple[float, float, Encoding]] = []
    for candidate in sorted(found, key=lambda passage: passage[0]):
        if len(chosen) < count and all(separator.similarity(candidate[2], other) < ALIKE for _, _, other in chosen):
            chosen.append(candidate)
    return [Passage("alone", start, start + PASSAGE_S, float(1 / (1 + np.exp(logit)))) for logit, start, _ in chosen]


evidence, advanced = (partial(typer.Option, rich_help_panel=panel) for panel in ("Evidence", "Advanced"))


def suggest(
    song: Annotated[Path, typer.Argument(metavar="SONG", help="The song to look for evidence in.", show_default=False)],
    *,
    query: Annotated[
        list[Path] | None, evidence("--query", "-q", metavar="CLIP", help="The instrument alone, as in separate.")
    ] = None,
    query_at: Annotated[
        list[str] | None, evidence(metavar="FROM-TO", help="It plays alone here in the song, as in separate.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Passages of each kind.")] = 3,
    device: Annotated[str, advanced(help="Where the network runs: auto, cpu or cuda.")] = "auto",
    weights: Annotated[Path | None, advanced(metavar="FILE", help="Other weights than the bundled ones.")] = None,
) -> None:
    """Find passages of a song that would make good evidence for `separate`, best first.

    With a clip of an instrument: where it seems to play alone, with others, and not at all. Without: where some
    instrument seems to play alone, a different one each time. Listen before you use them.

    Example:
      fewshot-sep suggest song.mp3
      fewshot-sep suggest song.mp3 --query guitar.wav
    """
    from fewshot_sep.separator import Separator
    from fewshot_sep.songs.queries import encode_files, encode_span, parse_span

    spans, unsure = [parse_span(text) for text in query_at or []], None
    separator = Separator.from_pretrained(weights, device=device)
    with audio.open_audio(song) as source:
        shown = [clip.encoding for clip in encode_files(separator, ByRole(query or [])).alone]
        shown += [encode_span(separator, source, span).encoding for span in spans]
        if shown:
            by_role, unsure = with_instrument(separator, source, separator.combine(ByRole(shown)), count)
            found = list(chain(*by_role))
            said = dict(zip(ROLES, ("it plays alone", "it plays with others", "it does not play"), strict=True))
        else:
            found = distinct(separator, source, count)
            said = {"alone": "one instrument alone"}
    for role, start, stop, score in found:
        say(f"{said[role]}, {score:.0%}: {OPTIONS[role]} {clock(start)}-{clock(stop)}")
    if unsure:
        say(f"listen first: {unsure}", err=True)
    if not found:
        say("no passage stands out; mark by ear where the instrument plays and where it does not", err=True)


def clock(seconds: float) -> str:
    """Minutes and seconds as the marks of `separate` are written.

    >>> clock(83.5), clock(4)
    ('1:23.5', '0:04')
    """
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{minutes:.0f}:{rest:04.1f}".removesuffix(".0") if rest % 1 else f"{minutes:.0f}:{rest:02.0f}"
