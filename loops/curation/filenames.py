"""What a producer's file and folder names say of a loop: instrument, tempo, beats. Nothing is opened.

Paths are given with forward slashes. A file's own name counts before its folders, the nearest folder first.
"""

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
_FILLERS = {"loop", "loops", "and", "wav", "sample", "samples", "dry", "wet", "bpm"}


class Instrument(NamedTuple):
    """Instrument, family, and how sure, 0 to 1."""

    name: str
    family: str
    confidence: float = 1.0


class _Lexicon(NamedTuple):
    """`filenames.csv` and General MIDI's names.

    meanings: instrument and family of a phrase; both empty for phrases that name a style, not an instrument.
    by_words: the same by the words of a phrase. kinds: "general" instruments are overruled by a narrower one of the
    same family, the names of "vague" ones leave the sound open.
    """

    meanings: dict[str, tuple[str, str]]
    by_words: dict[tuple[str, ...], tuple[str, str]]
    kinds: dict[str, set[str]]


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
    return _Lexicon(meanings, {tuple(map(_singular, words(phrase))): meanings[phrase] for phrase in meanings}, kinds)


def words(text: str) -> list[str]:
    """The words of a name, lower-case: split at signs, digits and changes of case.

    >>> words("SynthBass_04-128bpm (HiHat)")
    ['synth', 'bass', '04', '128', 'bpm', 'hi', 'hat']
    """
    return [word.lower() for word in re.findall(r"\d+|[A-ZÄÖÜ]+(?![a-zäöüßñáéíóú])|[^\W\d_]+?(?=[A-Z\d_\W]|$)", text)]


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _names(path: str) -> tuple[str, list[str]]:
    """The file's name without its suffix, and its folders, the nearest first."""
    *folders, file = path.split("/")
    return PurePath(file).stem, folders[::-1]


def tempo(path: str) -> float | None:
    """The tempo that a path names, in beats a minute.

    >>> tempo("Pack/DS_128bpm_Bass.wav"), tempo("Beats 95 BPM/kick.wav"), tempo("x/Loop_126_Gtr.wav")
    (128.0, 95.0, 126.0)
    >>> tempo("x/loop_007_808.wav") is None
    True
    """
    stem, folders = _names(path)
    if found := _marked(stem):
        return found
    bare = [int(number) for number in re.findall(r"(?<![A-Za-z\d.#])([1-9]\d{1,2})(?![A-Za-z\d.])", stem)]
    bare = [number for number in bare if MIN_BARE_BPM <= number <= MAX_BARE_BPM]
    if len(bare) == 1:
        return float(bare[0])
    for folder in folders:
        if found := _marked(folder):
            return found
        if re.fullmatch(r"\d{2,3}", folder) and MIN_BARE_BPM <= int(folder) <= MAX_BARE_BPM:
            return float(folder)
    return None


def _marked(text: str) -> float | None:
    """A number that is marked as a tempo."""
    for pattern in (r"(?<!\d)(\d{2,3}(?:[.,]\d+)?)[-_ ]?bpm", r"bpm[-_ =]?(\d{2,3}(?:[.,]\d+)?)(?!\d)"):
        for number in re.findall(pattern, text.lower()):
            if MIN_BPM <= float(number.replace(",", ".")) <= MAX_BPM:
                return float(number.replace(",", "."))
    return None


def beats(path: str) -> float | None:
    """How many beats (of four in a bar) a file's name says that it has.

    >>> beats("Guira half bar.wav"), beats("x/Conga_2bars_90.wav"), beats("Loop 8 beats.wav"), beats("909beat.wav")
    (2.0, 8.0, 8.0, None)
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
    """The instrument that a path names.

    None where no word is known, or where a name holds instruments of several families (a mixture, or two senses).

    >>> instrument("Pack/Drums/DS_HiHat_02.wav")
    Instrument(name='hi-hat', family='drums', confidence=1.0)
    >>> instrument("Pack/Gtr/riff_01.wav").name, instrument("Bass Drum 3.wav").name, instrument("Kick & Snare.wav").name
    ('guitar', 'kick', 'drums')
    >>> instrument("Bandoneon 90bpm.wav").name, instrument("Guitar with Flute.wav"), instrument("loop_3.wav")
    ('accordion', None, None)
    """
    stem, folders = _names(path)
    for text in (stem, *folders):
        if found := list(dict.fromkeys(_meanings(words(text))[0])):
            chosen = _agree(found)
            sure = 1.0 if text is stem else 0.9 if names_only_an_instrument(text) else 0.4  # "Kids Beats": a pack
            return Instrument(*chosen, sure) if chosen else None
    return None


def names_only_an_instrument(folder: str) -> bool:
    """Whether a folder's name says an instrument and nothing else, so that it is no pack of its own.

    >>> names_only_an_instrument("02 - Hi Hats"), names_only_an_instrument("Funky Drums Vol 1")
    (True, False)
    """
    rest = [word for word in words(folder) if not word.isdigit() and word not in _FILLERS]
    return bool(rest) and _meanings(rest)[1] == 0


def family_of(name: str) -> str:
    """The family of an instrument that the user named, "other" for one that is not known.

    >>> family_of("Shaker"), family_of("theremin")
    ('percussion', 'other')
    """
    meanings = _lexicon().meanings
    return dict(meanings.values()).get(name.lower()) or meanings.get(name.lower(), ("", ""))[1] or "other"


def families(name: str) -> set[str]:
    """All families that the words of a name speak of; of "lead vocal" the synthesiser's too."""
    return {family for _, family in _meanings(words(name))[0]}


def is_vague(name: str) -> bool:
    """Whether an instrument's name leaves its sound open: the "synth" of two packs are two.

    >>> is_vague("synth pad"), is_vague("piano")
    (True, False)
    """
    return name.lower() in _lexicon().kinds["vague"]


def _meanings(tokens: Sequence[str]) -> tuple[list[tuple[str, str]], int]:
    """What the words mean, longest phrases first, and how many mean nothing."""
    phrases = _lexicon().by_words
    rest, found, unknown = tuple(map(_singular, tokens)), list[tuple[str, str]](), 0
    while rest:
        length = next((size for size in range(len(rest), 0, -1) if rest[:size] in phrases), 0)
        meaning = phrases.get(rest[:length], ("", ""))
        found += [meaning] if meaning[0] else []
        unknown += length == 0
        rest = rest[max(1, length) :]
    return found, unknown


def _agree(found: list[tuple[str, str]]) -> tuple[str, str] | None:
    """One instrument for all that a name says; None if it says several that have no common name."""
    narrow = [one for one in found if one[0] not in _lexicon().kinds["general"]]
    families = {family for _, family in narrow}
    rest = [one for one in found if one in narrow or (one[1] not in families and not (narrow and one[0] == "synth"))]
    if {"drums", "percussion"} >= {family for _, family in rest} and len(rest) > 1 and narrow:
        rest = [one for one in rest if one in narrow]
    if len(rest) > 1:
        rest = [one for one in rest if one[0] != "synth"]
    shared = {family for _, family in rest}
    if len(rest) == 1:
        return rest[0]
    if shared == {"drums"}:
        return "drums", "drums"
    if shared <= {"drums", "percussion"}:
        return "percussion", "percussion"
    return None
