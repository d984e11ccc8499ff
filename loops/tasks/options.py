"""How training tasks are drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fewshot_sep.evidence import ABSENT, ALONE, AMONG

Roles = tuple[int, ...]


@dataclass(frozen=True)
class EvidenceOptions:
    """What tasks are told of their instrument. Shares are probabilities per clip, or as said.

    Attributes:
        roles: which roles a task has clips of, and the share of such tasks.
        several: of batches with two or three clips for each role; the others have one.
        gain_db: a clip is by up to so many dB louder or quieter than its sources.
        marked_same_recording: takes the place of `MixingOptions.same_recording` where a song was marked, that is, where
            there are clips among others or without the instrument.
        alone_border, absent_border: what does not belong in a clip sounds at its beginning or end, for up to `border_s`
            seconds: the others beside an instrument alone, cut out of the mixture's own recording; the target in a clip
            without it.
        resting: the target sounds in one half of a clip among others only.
        fewer_others: clips among others, and without the target, that hold some of the others only.
        others_elsewhere: clips without the target whose instruments are from other recordings.
    """

    roles: tuple[tuple[Roles, float], ...] = (((ALONE,), 1.0),)
    several: float = 0.0
    gain_db: float = 0.0
    marked_same_recording: float = 0.5
    alone_border: float = 0.0
    absent_border: float = 0.0
    border_s: float = 0.3
    resting: float = 0.3
    fewer_others: float = 0.3
    others_elsewhere: float = 0.15


@dataclass(frozen=True)
class MixingOptions:
    """How tasks are drawn. Shares are probabilities per task, or per source where said.

    Attributes:
        sources: fewest and most sources in a mixture.
        coherent: mixtures whose sources come from one song at one place.
        absent: queries of an instrument that is not in the mixture; a quarter of them of the target's family.
        cross: queries from another source (another instrument's maker, another recording) than the target.
        same_recording: queries from another passage of the very recording that the target is from, at its pitch, in
            its room, as when the clip is cut out of the song. Share, like the next, of the tasks that are not absent.
        all_but_one: tasks whose target is all sources but one, queried by another passage of them: as in the
            residual-estimation pass of `fewshot_sep.Separator`.
        same_family_query: queries by another instrument of the target's family, where no other of it is in the mixture:
            a nylon guitar queries the distorted one if that is the only guitar (families of `plan.RELATED`).
        same_family_interferer: random mixtures that hold a second instrument of the target's family.
        gain_db: standard deviation of each source's level.
        shift_semitones: range of the pitch shift (by resampling), drawn independently for mixture and query.
        equalise, room, band_limit: shares of sources that get them (`band_limit`: of tasks, query drawn by itself).
        mastered: share of tasks whose sources are mastered together once mixed, see `loops.tasks.mastering`.
        emphasis: instruments or families to draw more often than by the root of their rows: name and factor.
        evidence: what tasks are told of their instrument.
    """

    sources: tuple[int, int] = (2, 6)
    coherent: float = 0.5
    absent: float = 0.1
    cross: float = 0.75
    same_recording: float = 0.3
    all_but_one: float = 0.1
    same_family_query: float = 0.15
    same_family_interferer: float = 0.3
    gain_db: float = 5.0
    shift_semitones: float = 3.0
    equalise: float = 0.6
    room: float = 0.4
    band_limit: float = 0.3
    mastered: float = 0.0
    emphasis: tuple[tuple[str, float], ...] = ()
    evidence: EvidenceOptions = EvidenceOptions()


USUAL = MixingOptions()

PROMPTED = replace(
    USUAL,
    mastered=0.35,
    evidence=EvidenceOptions(
        roles=(
            ((ALONE,), 0.35),
            ((ALONE, ABSENT), 0.2),
            ((AMONG, ABSENT), 0.25),
            ((ALONE, AMONG, ABSENT), 0.1),
            ((ALONE, AMONG), 0.1),
        ),
        several=0.2,
        gain_db=10.0,
        alone_border=0.15,
        absent_border=0.2,
        marked_same_recording=0.4,
    ),
)
"""Clips of all roles, as songs are marked: with wrong borders, rests and missing others."""

PLAIN = MixingOptions(
    coherent=0,
    absent=0,
    cross=0.5,
    same_recording=0,
    all_but_one=0,
    same_family_query=0,
    same_family_interferer=0,
    shift_semitones=0,
    equalise=0,
    room=0,
    band_limit=0,
)
"""The thesis's mixing: random loops, summed; the query is another loop of the target's instrument."""
