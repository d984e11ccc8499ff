"""Decides what a raw loop is (instrument, tempo, beats) from its name, its chunks and its sound; opens nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import NamedTuple

from fewshot_sep.loops.curation.analysis import Analysis, similarity
from fewshot_sep.loops.curation.filenames import Instrument, Tempo, family_of
from fewshot_sep.loops.curation.loop_chunks import LoopInfo

SURE = 0.5  # what is less certain is left to the user
SILENT_PEAK, SILENT_RMS = 10 ** (-60 / 20), 10 ** (-70 / 20)
CLIPPED = 0.01
ALIKE, ALIKE_SECONDS = 0.97, 0.03
NEAR = 0.04  # two tempi (or lengths) that differ less are the same
MIN_BPM, MAX_BPM = 60.0, 200.0
PADDED_S = 0.02  # mp3 coders leave at least this much before and after
STATUSES = ("kept", "rejected", "undecided")


@dataclass(frozen=True)
class Decision:
    """One line of `decisions.csv`.

    bpm: beats a minute, 0 for unknown. beats: from `start` on, in the source's own counting. *_by: name, folder, chunk,
    tracking, length or user. confidence: of the tempo, 0 to 1. start: of the first beat, in seconds.
    """

    path: str
    instrument: str = ""
    family: str = ""
    bpm: float = 0.0
    beats: float = 0.0
    instrument_by: str = ""
    tempo_by: str = ""
    confidence: float = 0.0
    start: float = 0.0
    status: str = "undecided"
    reason: str = ""


COLUMNS = tuple(item.name for item in fields(Decision))
EDITABLE = ("instrument", "family", "bpm", "beats", "start", "status")


class _Pulse(NamedTuple):
    """Tempo, beats and their start in seconds; by what they are known, how surely, and what speaks against them."""

    bpm: float
    beats: float
    start: float
    by: str
    confidence: float
    doubt: str = ""


@dataclass(frozen=True)
class Edit:
    """What the user wrote for one file; None where nothing was changed."""

    instrument: str | None = None
    family: str | None = None
    bpm: float | None = None
    beats: float | None = None
    start: float | None = None
    status: str | None = None


@dataclass(frozen=True)
class Evidence:
    """All that is known of one file. `named`: tempo in the path; `named_beats`: beats in the file's name."""

    path: str
    sound: Analysis
    instrument: Instrument | None = None
    named: Tempo | None = None
    named_beats: float | None = None
    chunk: LoopInfo = field(default_factory=LoopInfo)
    edit: Edit = field(default_factory=Edit)


def decide(evidence: Evidence) -> Decision:
    """What one file is, and whether it is kept; duplicates are found later, by `reject_duplicates`."""
    sound, edit, found = evidence.sound, evidence.edit, evidence.instrument
    fault = _fault(evidence)
    decision = Decision(evidence.path)
    if found and found.confidence >= SURE:
        by = "name" if found.confidence == 1 else "folder"
        decision = replace(decision, instrument=found.name, family=found.family, instrument_by=by)
    if edit.instrument is not None:
        family = edit.family or family_of(edit.instrument)
        decision = replace(decision, instrument=edit.instrument, family=family, instrument_by="user")
    elif edit.family is not None:
        decision = replace(decision, family=edit.family)
    if sound.error or not sound.frames:
        return replace(decision, status="rejected", reason=f"unreadable: {sound.error or 'no sound'}")
    pulse = _user_pulse(evidence) or _pulse(evidence)
    decision = replace(
        decision,
        bpm=round(pulse.bpm, 2),
        beats=pulse.beats,
        start=round(pulse.start if edit.start is None else edit.start, 4),
        tempo_by=pulse.by,
        confidence=round(pulse.confidence, 2),
    )
    if edit.status == "rejected":
        return replace(decision, status="rejected", reason="by the user")
    if fault and edit.status != "kept":
        return replace(decision, status="rejected", reason=fault)
    doubts = []
    if not decision.instrument:
        guess = f" (perhaps {found.name}, by its folder)" if found else ""
        doubts.append(f"instrument not in its name{guess}")
    if not decision.bpm or not decision.beats:
        doubts.append("tempo unknown")
    elif pulse.doubt or (pulse.confidence < SURE and edit.status != "kept"):
        doubts.append(pulse.doubt or f"tempo uncertain ({pulse.bpm:.1f} BPM by {pulse.by})")
    if edit.status == "kept" and decision.instrument and decision.bpm and decision.beats:
        doubts = []
    return replace(decision, status="undecided" if doubts else "kept", reason="; ".join(doubts))


def _fault(evidence: Evidence) -> str:
    """Why the sound is of no use whatever it is; empty if it is of use."""
    sound = evidence.sound
    if sound.cut_short:
        return "cut short: the file promises more than it holds"
    if sound.peak < SILENT_PEAK or sound.rms < SILENT_RMS:
        return "silence"
    if sound.clipped > CLIPPED:
        return f"clipping: {sound.clipped:.0%} of the samples are in flat tops"
    if evidence.chunk.one_shot:
        return "one-shot (its acid chunk says so)"
    says_tempo = evidence.named or evidence.chunk.bpm or evidence.named_beats or evidence.edit.bpm
    few = sound.onsets <= 1 or (sound.onsets == 2 and (sound.seconds < 1 or sound.strength < 0.3))
    if few and not says_tempo and (sound.seconds < 4 or sound.decays):
        return "one-shot: a single hit or note"
    return ""


class _Span(NamedTuple):
    """Where the loop may lie: start and length in seconds, and what it costs (as a relative error) to believe it."""

    start: float
    length: float
    cost: float


def _spans(evidence: Evidence) -> list[_Span]:
    sound, loop = evidence.sound, evidence.chunk.loop
    spans = [_Span(0.0, sound.seconds, 0.0)]
    if loop and loop[1] < sound.frames:
        spans.insert(0, _Span(loop[0] / sound.sample_rate, (loop[1] + 1 - loop[0]) / sound.sample_rate, 0.0))
    inner = sound.seconds - sound.head_s - sound.tail_s
    both_ends = min(sound.head_s, sound.tail_s) >= PADDED_S
    if inner > 0.2 and sound.head_s + sound.tail_s >= PADDED_S:
        lossy = evidence.path.lower().endswith((".mp3", ".m4a", ".aac", ".wma"))
        spans.append(_Span(sound.head_s, inner, 0.005 if lossy or both_ends else 0.02))
    return spans


def _whole_beats(evidence: Evidence, bpm: float, tolerance: float) -> _Pulse | None:
    """The span that is nearest to a usual number of beats at `bpm`; None if none is near."""
    best, result = tolerance, None
    for span in _spans(evidence):
        counted = span.length * bpm / 60
        power = 2.0 ** max(0, round(math.log2(max(counted, 1))))
        options = [(power, tolerance)] + [(4.0 * k, tolerance / 3) for k in range(1, 17) if 4 * k != power]
        for count, allowed in options:
            error = abs(counted / count - 1) + span.cost
            if error < min(allowed, best):
                best, result = error, _Pulse(bpm, count, span.start, "", 0.0)
    return result


def _same_tempo(one: float, other: float) -> bool:
    """Whether two tempi agree, or one is the double of the other."""
    if not one or not other:
        return False
    octaves = abs(math.log2(one / other))
    return min(octaves, abs(octaves - 1)) < math.log2(1 + NEAR)


def _user_pulse(evidence: Evidence) -> _Pulse | None:
    edit = evidence.edit
    if edit.bpm is None and edit.beats is None:
        return None
    seconds = evidence.sound.seconds - (edit.start or 0)
    if edit.bpm is None:
        return _Pulse(60 * (edit.beats or 0) / seconds, edit.beats or 0, edit.start or 0, "user", 1.0)
    if edit.beats is not None:
        return _Pulse(edit.bpm, edit.beats, edit.start or 0, "user", 1.0)
    if edit.start is None and (near := _whole_beats(evidence, edit.bpm, 0.08)):
        return near._replace(by="user", confidence=1.0)
    return _Pulse(edit.bpm, _full_beats(seconds * edit.bpm / 60), edit.start or 0.0, "user", 1.0)


def _full_beats(counted: float) -> float:
    """The whole bars in so many beats, or the half bar or beat."""
    whole = math.floor(counted + 0.1)
    return float(whole - whole % 4 if whole >= 4 else 2 if whole >= 2 else whole)


def _pulse(evidence: Evidence) -> _Pulse:
    """Tempo and beats: as named if the length or the tracked beats agree; else as tracked, or by length alone."""
    measured = _measured_pulse(evidence)
    tempi = [(evidence.named.bpm if evidence.named else None, "name"), (evidence.chunk.bpm, "chunk")]
    stated = [(bpm, by) for bpm, by in tempi if bpm]
    for bpm, by in stated:
        if fitting := _whole_beats(evidence, bpm, 0.03):
            return fitting._replace(by=by, confidence=0.95)
    if not stated:
        for count, by in ((evidence.named_beats, "name"), (evidence.chunk.beats, "chunk")):
            bpm = 60 * (count or 0) / evidence.sound.seconds
            if count and MIN_BPM * 0.8 <= bpm <= MAX_BPM * 1.2:
                return _Pulse(bpm, count, 0.0, by, 0.8)
        return measured
    tracked = evidence.sound.bpm if evidence.sound.steadiness >= 0.6 else 0.0
    for bpm, by in stated:
        if _same_tempo(bpm, tracked) or _same_tempo(bpm, measured.bpm):
            start = _spans(evidence)[-1].start
            return _Pulse(bpm, _full_beats((evidence.sound.seconds - start) * bpm / 60), start, by, 0.7)
    bpm, by = stated[0]
    if measured.confidence < SURE and (near := _whole_beats(evidence, bpm, 0.08)):
        return near._replace(by=by, confidence=0.5)
    doubt = f"its {by} says {bpm:g} BPM, its sound {measured.bpm:.1f}"
    return measured._replace(doubt=doubt, confidence=min(measured.confidence, 0.4))


def _measured_pulse(evidence: Evidence) -> _Pulse:
    """The number of beats that fits the file's length and comes nearest to the tracked tempo."""
    sound = evidence.sound
    weak = sound.bpm == 0 or sound.strength < 0.2 or sound.steadiness < 0.75
    fits: list[tuple[float, _Pulse]] = []
    for start, length, cost in _spans(evidence):
        for power in range(8):
            for count in (2.0**power, 3 * 2.0**power):
                bpm = 60 * count / length
                if not MIN_BPM <= bpm <= MAX_BPM:
                    continue
                triple = 0.0 if count == 2**power else 0.02
                if weak:  # the length alone, in the middle of the usual tempi
                    if not triple and 85 <= bpm < 170:
                        fits.append((cost, _Pulse(bpm, count, start, "length", 0.3)))
                    continue
                octaves = math.log2(sound.bpm / bpm)
                error = abs(octaves - round(octaves))
                if error < math.log2(1 + NEAR) and abs(octaves) < 1.5 and not (triple and sound.strength < 0.5):
                    sure = (0.5 if triple == 0 else 0.25) + 0.5 * sound.strength * sound.steadiness
                    distance = error + cost + triple + 0.002 * abs(octaves)
                    fits.append((distance, _Pulse(bpm, count, start, "tracking", min(sure, 0.95))))
                elif not triple and min(abs(abs(octaves) - math.log2(r)) for r in (4 / 3, 3 / 2)) < 0.06:
                    fits.append((1 + abs(octaves) + cost, _Pulse(bpm, count, start, "length", 0.3)))
    if fits:
        return min(fits, key=lambda fit: fit[0])[1]
    if not sound.bpm:
        return _Pulse(0, 0, 0, "", 0)
    bpm = sound.bpm / 2 if sound.bpm > MAX_BPM else sound.bpm
    start = _spans(evidence)[-1].start
    beats = _full_beats((sound.seconds - start) * bpm / 60)
    return _Pulse(bpm, beats, start, "tracking", 0.6 * sound.strength * sound.steadiness)


def reject_duplicates(
    decisions: list[Decision], sounds: Mapping[str, Analysis], wanted: frozenset[str] = frozenset()
) -> list[Decision]:
    """Of loops that are the same (by content, or by fingerprint and length) keep the best, and all that are `wanted`.

    The best is a decided one, then that of the highest rate, then one without lossy coding, then the first by path.
    """

    def rank(decision: Decision) -> tuple[bool, bool, int, bool, int, str]:
        about = sounds[decision.path]
        lossy = decision.path.lower().endswith((".mp3", ".ogg", ".m4a"))
        rate = min(about.sample_rate, 44100)
        keep = decision.path in wanted
        return not keep, decision.status != "kept", -rate, lossy, -about.channels, decision.path

    unique: list[Decision] = []
    result = {decision.path: decision for decision in decisions}
    for decision in sorted((d for d in decisions if d.status != "rejected"), key=rank):
        twin = next((other for other in unique if same_sound(sounds[decision.path], sounds[other.path])), None)
        if twin is None or decision.path in wanted:
            unique.append(decision)
        else:
            reason = f"duplicate of {twin.path}"
            result[decision.path] = replace(decision, status="rejected", reason=reason)
    return list(result.values())


def same_sound(one: Analysis, other: Analysis) -> bool:
    """Whether two files hold the same loop, in whatever format, at whatever rate and level."""
    if one.sha256 == other.sha256:
        return True
    lengths = [max(0.01, item.seconds - item.head_s - item.tail_s) for item in (one, other)]
    return abs(lengths[0] / lengths[1] - 1) < ALIKE_SECONDS and similarity(one.fingerprint, other.fingerprint) > ALIKE
