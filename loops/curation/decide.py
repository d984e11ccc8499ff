"""Decides what a raw loop is (instrument, tempo, beats) from its name, its chunks and its sound; opens nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import NamedTuple

from fewshot_sep.loops.curation import filenames
from fewshot_sep.loops.curation.analysis import Analysis, similarity
from fewshot_sep.loops.curation.loop_chunks import LoopInfo

SURE = 0.5  # what is less certain is left to the user
SILENT_PEAK, SILENT_RMS = 10 ** (-60 / 20), 10 ** (-70 / 20)
CLIPPED = 0.01
ALIKE, ALIKE_SECONDS = 0.97, 0.03
NEAR = 0.04  # two tempi (or lengths) that differ less are the same
MIN_BPM, MAX_BPM = 60.0, 200.0
PADDED_S = 0.02  # coders leave at least this much before and after
PADDING_CODECS = (".mp3", ".m4a", ".aac", ".wma")
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
    """All that is known of one file; its path tells more (see `filenames`)."""

    path: str
    sound: Analysis
    chunk: LoopInfo = field(default_factory=LoopInfo)
    edit: Edit = field(default_factory=Edit)


class _Pulse(NamedTuple):
    """Tempo, beats and their start in seconds; by what they are known, how surely, and what speaks against them."""

    bpm: float
    beats: float
    start: float
    by: str
    confidence: float
    doubt: str = ""


class _Span(NamedTuple):
    """Where the loop may lie: start and length in seconds, and what it costs (as a relative error) to believe it."""

    start: float
    length: float
    cost: float


def decide(evidence: Evidence) -> Decision:
    """What one file is, and whether it is kept; duplicates are found later, by `reject_duplicates`."""
    sound, edit, found = evidence.sound, evidence.edit, filenames.instrument(evidence.path)
    name, family, by = "", "", ""
    if edit.instrument:
        name, family, by = edit.instrument, filenames.family_of(edit.instrument), "user"
    elif found and found.confidence >= SURE:
        name, family, by = found.name, found.family, "name" if found.confidence == 1 else "folder"
    decision = Decision(evidence.path, name, edit.family or family, instrument_by=by)
    if sound.error or not sound.frames:
        return replace(decision, status="rejected", reason=f"unreadable: {sound.error or 'no sound'}")
    pulse = _pulse_from(evidence)
    decision = replace(
        decision,
        bpm=round(pulse.bpm, 2),
        beats=pulse.beats,
        start=round(pulse.start, 4),
        tempo_by=pulse.by,
        confidence=round(pulse.confidence, 2),
    )
    confirmed = edit.status == "kept"
    fault = "by the user" if edit.status == "rejected" else _fault(evidence)
    if fault and not confirmed:
        return replace(decision, status="rejected", reason=fault)
    doubts = []
    if not decision.instrument:
        guess = f" (perhaps {found.name}, by its folder)" if found else ""
        doubts.append(f"instrument not in its name{guess}")
    if not decision.bpm or not decision.beats:
        doubts.append(pulse.doubt or "tempo unknown")
    elif (doubts or not confirmed) and (pulse.doubt or (pulse.confidence < SURE and not confirmed)):
        doubts.append(pulse.doubt or f"tempo uncertain ({pulse.bpm:.1f} BPM by {pulse.by})")
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
    says_tempo = _stated(evidence) or filenames.beats(evidence.path) or evidence.edit.bpm
    few = sound.onsets <= 1 or (sound.onsets == 2 and (sound.seconds < 1 or sound.strength < 0.3))
    if few and not says_tempo and (sound.seconds < 4 or sound.decays):
        return "one-shot: a single hit or note"
    return ""


def _spans(evidence: Evidence) -> list[_Span]:
    """The loop in its `smpl` chunk, the whole file, and what lies between padding; the last is without the padding."""
    sound, loop = evidence.sound, evidence.chunk.loop
    spans = [_Span(0.0, sound.seconds, 0.0)]
    if loop and loop[1] < sound.frames:
        spans.insert(0, _Span(loop[0] / sound.sample_rate, (loop[1] + 1 - loop[0]) / sound.sample_rate, 0.0))
    inner = sound.seconds - sound.head_s - sound.tail_s
    if inner > 0.2 and sound.head_s + sound.tail_s >= PADDED_S:
        coded = evidence.path.lower().endswith(PADDING_CODECS)
        padded = coded or min(sound.head_s, sound.tail_s) >= PADDED_S
        spans.append(_Span(sound.head_s, inner, 0.005 if padded else 0.02))
    return spans


def _pulse_from(evidence: Evidence) -> _Pulse:
    """The pulse from where the user says that it starts, if anything is said."""
    start, seconds = evidence.edit.start, evidence.sound.seconds
    if start is not None and round(start, 4) >= seconds:
        return _Pulse(0, 0, start, "user", 0, f"start at {start:g} s, but it lasts {seconds:.2f} s")
    pulse = _user_pulse(evidence)
    if pulse or start is None:
        return pulse or _pulse(evidence)
    pulse = _pulse(evidence)._replace(start=start)
    left = (seconds - start) * pulse.bpm / 60
    return pulse if left > pulse.beats - 0.1 else pulse._replace(beats=_full_beats(left))


def _user_pulse(evidence: Evidence) -> _Pulse | None:
    """What the user wrote, and what follows from it; None if neither tempo nor beats are of the user."""
    edit = evidence.edit
    if not edit.bpm and not edit.beats:
        return None
    if edit.bpm and not edit.beats and edit.start is None and (near := _whole_beats(evidence, edit.bpm, 0.08)):
        return near._replace(by="user", confidence=1.0)
    start = edit.start or 0.0
    seconds = evidence.sound.seconds - start
    bpm = edit.bpm or 60 * (edit.beats or 0.0) / seconds
    return _Pulse(bpm, edit.beats or _full_beats(seconds * bpm / 60), start, "user", 1.0)


def _stated(evidence: Evidence) -> list[tuple[float, str]]:
    """The tempi in its name and in its chunk, and where each stands."""
    return [(bpm, by) for bpm, by in ((filenames.tempo(evidence.path), "name"), (evidence.chunk.bpm, "chunk")) if bpm]


def _pulse(evidence: Evidence) -> _Pulse:
    """Tempo and beats: as named if the length or the tracked beats agree; else as tracked, or by length alone."""
    measured, stated, seconds = _measured_pulse(evidence), _stated(evidence), evidence.sound.seconds
    for bpm, by in stated:
        if fitting := _whole_beats(evidence, bpm, 0.03):
            return fitting._replace(by=by, confidence=0.95)
    if not stated:
        for count, by in ((filenames.beats(evidence.path), "name"), (evidence.chunk.beats, "chunk")):
            if count and MIN_BPM * 0.8 <= 60 * count / seconds <= MAX_BPM * 1.2:
                return _Pulse(60 * count / seconds, count, 0.0, by, 0.8)
        return measured
    tracked = evidence.sound.bpm if evidence.sound.steadiness >= 0.6 else 0.0
    for bpm, by in stated:
        if _same_tempo(bpm, tracked) or _same_tempo(bpm, measured.bpm):
            return _from_sound(evidence, bpm, by, 0.7)
    bpm, by = stated[0]
    if measured.confidence < SURE and (near := _whole_beats(evidence, bpm, 0.08)):
        return near._replace(by=by, confidence=0.5)
    doubt = f"its {by} says {bpm:g} BPM, its sound {f'{measured.bpm:.1f}' if measured.bpm else 'none'}"
    return measured._replace(doubt=doubt, confidence=min(measured.confidence, 0.4))


def _measured_pulse(evidence: Evidence) -> _Pulse:
    """The number of beats that fits the file's length and comes nearest to the tracked tempo."""
    sound = evidence.sound
    counts = [(ratio * 2.0**power, ratio == 3) for power in range(8) for ratio in (1, 3)]
    fits = [fit for span in _spans(evidence) for each in counts if (fit := _fit(sound, span, *each))]
    if fits:
        return min(fits, key=lambda fit: fit[0])[1]
    if not sound.bpm:
        return _Pulse(0, 0, 0, "", 0)
    bpm = sound.bpm / 2 if sound.bpm > MAX_BPM else sound.bpm
    return _from_sound(evidence, bpm, "tracking", 0.6 * sound.strength * sound.steadiness)


def _fit(sound: Analysis, span: _Span, count: float, triple: bool) -> tuple[float, _Pulse] | None:
    """So many beats in a span, and how far that is from what was tracked; None where it is not plausible."""
    bpm = 60 * count / span.length
    if not MIN_BPM <= bpm <= MAX_BPM:
        return None
    by_length = _Pulse(bpm, count, span.start, "length", 0.3)
    if sound.bpm == 0 or sound.strength < 0.2 or sound.steadiness < 0.75:
        # The length alone, in the middle of the usual tempi.
        return (span.cost, by_length) if not triple and 85 <= bpm < 170 else None
    octaves = math.log2(sound.bpm / bpm)
    error = abs(octaves - round(octaves))
    if error < math.log2(1 + NEAR) and abs(octaves) < 1.5 and not (triple and sound.strength < 0.5):
        sure = (0.25 if triple else 0.5) + 0.5 * sound.strength * sound.steadiness
        distance = error + span.cost + (0.02 if triple else 0.0) + 0.002 * abs(octaves)
        return distance, by_length._replace(by="tracking", confidence=min(sure, 0.95))
    if not triple and min(abs(abs(octaves) - math.log2(ratio)) for ratio in (4 / 3, 3 / 2)) < 0.06:
        return 1 + abs(octaves) + span.cost, by_length
    return None


def _whole_beats(evidence: Evidence, bpm: float, tolerance: float) -> _Pulse | None:
    """The span that is nearest to a usual number of beats at `bpm`; None if none is near."""
    best, result = tolerance, None
    for span in _spans(evidence):
        counted = span.length * bpm / 60
        power = 2.0 ** max(0, round(math.log2(max(counted, 1))))
        for count in (power, *(4.0 * bars for bars in range(1, 17))):
            error = abs(counted / count - 1) + span.cost
            if error < min(best, tolerance if count == power else tolerance / 3):
                best, result = error, _Pulse(bpm, count, span.start, "", 0.0)
    return result


def _from_sound(evidence: Evidence, bpm: float, by: str, confidence: float) -> _Pulse:
    """Whole bars at a tempo, from where the sound begins."""
    start = _spans(evidence)[-1].start
    return _Pulse(bpm, _full_beats((evidence.sound.seconds - start) * bpm / 60), start, by, confidence)


def _full_beats(counted: float) -> float:
    """The whole bars in so many beats, or the half bar or beat."""
    whole = math.floor(counted + 0.1)
    return float(whole - whole % 4 if whole >= 4 else 2 if whole >= 2 else whole)


def _same_tempo(one: float, other: float) -> bool:
    """Whether two tempi agree, or one is the double of the other."""
    if not one or not other:
        return False
    octaves = abs(math.log2(one / other))
    return min(octaves, abs(octaves - 1)) < math.log2(1 + NEAR)


def reject_duplicates(
    decisions: list[Decision], sounds: Mapping[str, Analysis], wanted: frozenset[str] = frozenset()
) -> list[Decision]:
    """Of loops that are the same (by content, or by fingerprint and length) keep the best, and all that are `wanted`.

    The best is a decided one, then that of the highest rate, then one without lossy coding, then the first by path.
    """

    def rank(decision: Decision) -> tuple[bool, bool, int, bool, int, str]:
        path, sound = decision.path, sounds[decision.path]
        lossy, rate = path.lower().endswith((*PADDING_CODECS, ".ogg")), min(sound.sample_rate, 44100)
        return path not in wanted, decision.status != "kept", -rate, lossy, -sound.channels, path

    unique: list[str] = []
    result = {decision.path: decision for decision in decisions}
    for path in (decision.path for decision in sorted(decisions, key=rank) if decision.status != "rejected"):
        twin = next((other for other in unique if same_sound(sounds[path], sounds[other])), None)
        if twin is None or path in wanted:
            unique.append(path)
        else:
            result[path] = replace(result[path], status="rejected", reason=f"duplicate of {twin}")
    return list(result.values())


def same_sound(one: Analysis, other: Analysis) -> bool:
    """Whether two files hold the same loop, in whatever format, at whatever rate and level."""
    if one.sha256 == other.sha256:
        return True
    lengths = [max(0.01, item.seconds - item.head_s - item.tail_s) for item in (one, other)]
    return abs(lengths[0] / lengths[1] - 1) < ALIKE_SECONDS and similarity(one.fingerprint, other.fingerprint) > ALIKE
