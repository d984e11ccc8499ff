"""What a producer's file and folder names say of a loop: instrument, tempo, beats. Nothing is opened."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import PurePath
from typing import NamedTuple

from fewshot_sep.loops import tables
from fewshot_sep.loops.instruments.general_midi import DRUM_PARTS, PERCUSSION, PROGRAMS

MIN_BPM, MAX_BPM = 40.0, 240.0
MIN_BARE_BPM, MAX_BARE_BPM = 60, 200  # a number without "bpm" is a tempo only in this range


class Tempo(NamedTuple):
    """Beats a minute, and how sure it is that the number is a tempo, 0 to 1."""

    bpm: float
    confidence: float


class Instrument(NamedTuple):
    """Instrument, family, and how sure, 0 to 1."""

    name: str
    family: str
    confidence: float = 1.0


class _Lexicon(NamedTuple):
    """`filenames.csv` and General MIDI's names.

    meanings: instrument and family of a phrase; both empty for phrases that name a style, not an instrument. general:
    instruments that a narrower one of the same family overrules. vague: those whose name leaves the sound open.
    """

    meanings: dict[str, tuple[str, str]]
    general: frozenset[str]
    vague: frozenset[str]


@cache
def _lexicon() -> _Lexicon:
    meanings = {name: (name, "percussion") for name in PERCUSSION}
    meanings |= {name: (name, "drums") for name in DRUM_PARTS}
    meanings |= {program.instrument: (program.instrument, program.family) for program in PROGRAMS.values()}
    kinds = defaultdict[str, set[str]](set)
    for row in tables.beside(__file__, "filenames.csv"):
        meanings |= dict.fromkeys(row["phrases"].split("|"), (row["instrument"], row["family"]))
        for kind in row["kind"].split():
            kinds[kind].add(row["instrument"])
    return _Lexicon(meanings, frozenset(kinds["general"]), frozenset(kinds["vague"]))


@cache
def _phrases() -> dict[tuple[str, ...], tuple[str, str]]:
    """Meanings by the words of a phrase."""
    return {tuple(_singular(word) for word in words(phrase)): found for phrase, found in _lexicon().meanings.items()}


_FILLERS = {"loop", "loops", "and", "wav", "sample", "samples", "dry", "wet", "bpm"}


def words(text: str) -> list[str]:
    """The words of a name, lower-case: split at signs, digits and changes of case.

    >>> words("SynthBass_04-128bpm (HiHat)")
    ['synth', 'bass', '04', '128', 'bpm', 'hi', 'hat']
    """
    return [word.lower() for word in re.findall(r"\d+|[A-ZÄÖÜ]+(?![a-zäöüßñáéíóú])|[^\W\d_]+?(?=[A-Z\d_\W]|$)", text)]


def tempo(path: str) -> Tempo | None:
    """The tempo that a path (with forward slashes) names; the file's own name counts before its folders.

    >>> tempo("Pack/DS_128bpm_Bass.wav"), tempo("Beats 95 BPM/kick.wav"), tempo("x/Loop_126_Gtr.wav")
    (Tempo(bpm=128.0, confidence=1.0), Tempo(bpm=95.0, confidence=0.9), Tempo(bpm=126.0, confidence=0.8))
    >>> tempo("x/loop_007_808.wav") is None
    True
    """
    *folders, file = path.split("/")
    stem = PurePath(file).stem if "." in file else file
    if found := _marked(stem):
        return Tempo(found, 1.0)
    bare = [int(number) for number in re.findall(r"(?<![A-Za-z\d.#])([1-9]\d{1,2})(?![A-Za-z\d.])", stem)]
    bare = [number for number in bare if MIN_BARE_BPM <= number <= MAX_BARE_BPM]
    if len(bare) == 1:
        return Tempo(float(bare[0]), 0.8)
    for folder in reversed(folders):
        if found := _marked(folder):
            return Tempo(found, 0.9)
        if re.fullmatch(r"\d{2,3}", folder) and MIN_BARE_BPM <= int(folder) <= MAX_BARE_BPM:
            return Tempo(float(folder), 0.6)
    return None


def _marked(text: str) -> float | None:
    for pattern in (r"(?<!\d)(\d{2,3}(?:[.,]\d+)?)[-_ ]?bpm", r"bpm[-_ =]?(\d{2,3}(?:[.,]\d+)?)(?!\d)"):
        for number in re.findall(pattern, text.lower()):
            if MIN_BPM <= float(number.replace(",", ".")) <= MAX_BPM:
                return float(number.replace(",", "."))
    return None


def beats(path: str) -> float | None:
    """How many beats (of four in a bar) a file's name says that it has.

    >>> beats("a/Gtr_2bars_120.wav"), beats("Half Bar Fill.wav"), beats("Loop 8 beats.wav"), beats("909beat.wav")
    (8.0, 2.0, 8.0, None)
    """
    stem = PurePath(path).stem.lower()
    if re.search(r"(?<![a-z])(half|1-2|½)[-_ ]?bars?(?![a-z])", stem):
        return 2.0
    if found := re.search(r"(?<!\d)(1|2|4|8|16)[-_ ]?bars?(?![a-z])", stem):
        return 4.0 * int(found[1])
    if found := re.search(r"(?<!\d)(1|2|3|4|6|8|12|16|32)[-_ ]?beats(?![a-z])", stem):
        return float(found[1])
    return None


def instrument(path: str) -> Instrument | None:
    """The instrument that a path (with forward slashes) names: the file before its folders, the nearest folder first.

    None where no word is known, or where a name holds instruments of several families (a mixture, or two senses).

    >>> instrument("Pack/Drums/DS_HiHat_02.wav")
    Instrument(name='hi-hat', family='drums', confidence=1.0)
    >>> instrument("Pack/Gtr/riff_01.wav").name, instrument("Bass Drum 3.wav").name, instrument("Kick & Snare.wav").name
    ('guitar', 'kick', 'drums')
    >>> instrument("Bandoneon 90bpm.wav").name, instrument("Guitar with Flute.wav"), instrument("loop_3.wav")
    ('accordion', None, None)
    """
    *folders, file = path.split("/")
    stem = PurePath(file).stem if "." in file else file
    for distance, text in enumerate((stem, *reversed(folders))):
        if found := list(dict.fromkeys(_consume(words(text))[0])):
            chosen = _agree(found)
            sure = 1.0 if distance == 0 else 0.9 if names_only_an_instrument(text) else 0.4  # "Kids Beats": a pack
            return Instrument(*chosen, sure) if chosen else None
    return None


def names_only_an_instrument(folder: str) -> bool:
    """Whether a folder's name says an instrument and nothing else, so that it is no pack of its own.

    >>> names_only_an_instrument("02 - Hi Hats"), names_only_an_instrument("Funky Drums Vol 1")
    (True, False)
    """
    rest = [word for word in words(folder) if not word.isdigit() and word not in _FILLERS]
    return bool(rest) and _consume(rest)[1] == 0


def family_of(name: str) -> str:
    """The family of an instrument that the user named, "other" for one that is not known.

    >>> family_of("Shaker"), family_of("theremin")
    ('percussion', 'other')
    """
    meanings = _lexicon().meanings
    return dict(meanings.values()).get(name.lower()) or meanings.get(name.lower(), ("", ""))[1] or "other"


def is_vague(name: str) -> bool:
    """Whether an instrument's name leaves its sound open: the "synth" of two packs are two.

    >>> is_vague("synth pad"), is_vague("piano")
    (True, False)
    """
    return name.lower() in _lexicon().vague


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _consume(tokens: Sequence[str]) -> tuple[list[tuple[str, str]], int]:
    """What the words mean, longest phrases first, and how many mean nothing."""
    single, found, unknown, at = [_singular(token) for token in tokens], list[tuple[str, str]](), 0, 0
    longest = max(map(len, _phrases()))
    while at < len(single):
        for length in range(min(longest, len(single) - at), 0, -1):
            meaning = _phrases().get(tuple(single[at : at + length]))
            if meaning is not None:
                found += [meaning] if meaning[0] else []
                at += length
                break
        else:
            unknown += 1
            at += 1
    return found, unknown


def _agree(found: list[tuple[str, str]]) -> tuple[str, str] | None:
    """One instrument for all that a name says; None if it says several that have no common name."""
    narrow = [one for one in found if one[0] not in _lexicon().general]
    families = {family for _, family in narrow}
    rest = [one for one in found if one in narrow or (one[1] not in families and not (narrow and one[0] == "synth"))]
    if {"drums", "percussion"} >= {family for _, family in rest} and len(rest) > 1 and narrow:
        rest = [one for one in rest if one in narrow]
    if len(rest) > 1 and any(one[0] == "synth" for one in rest):
        rest = [one for one in rest if one[0] != "synth"]
    if len(rest) == 1:
        return rest[0]
    shared = {family for _, family in rest}
    if shared == {"drums"}:
        return "drums", "drums"
    if shared <= {"drums", "percussion"}:
        return "percussion", "percussion"
    return None
