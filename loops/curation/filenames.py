"""What a producer's file and folder names say of a loop: instrument, tempo, beats. Nothing is opened."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import PurePath
from typing import NamedTuple

from fewshot_sep.loops.instruments.general_midi import DRUM_PARTS, PERCUSSION, PROGRAMS

SLOWEST, FASTEST = 40.0, 240.0
BARE_SLOWEST, BARE_FASTEST = 60, 200  # a number without "bpm" is a tempo only in this range


class Tempo(NamedTuple):
    """Beats a minute, and how sure it is that the number is a tempo, 0 to 1."""

    bpm: float
    confidence: float


class Instrument(NamedTuple):
    """Instrument, family, and how sure; `vague` if the name leaves the sound open (two packs' "synth" are two)."""

    name: str
    family: str
    confidence: float = 1.0
    vague: bool = False


# words of a name: instrument, family. Longer phrases win over shorter ones.
_WORDS: dict[str, tuple[str, str]] = {
    **{name: (name, "percussion") for name in PERCUSSION},
    **{name: (name, "drums") for name in DRUM_PARTS},
    **{program.instrument: (program.instrument, program.family) for program in PROGRAMS.values()},
    **dict.fromkeys(
        (
            "drum",
            "drum kit",
            "drum set",
            "drumset",
            "drumkit",
            "drumloop",
            "drm",
            "drumz",
            "beat",
            "break",
            "breakbeat",
        ),
        ("drums", "drums"),
    ),
    **dict.fromkeys(("drum machine", "909", "808", "606", "kit", "top loop"), ("drums", "drums")),
    **dict.fromkeys(("kick", "kick drum", "kik", "kck", "bd", "bass drum"), ("kick", "drums")),
    **dict.fromkeys(("snare", "snare drum", "sn", "sd", "snr", "rim", "rimshot", "sidestick"), ("snare", "drums")),
    **dict.fromkeys(("hat", "hi hat", "hihat", "hh", "oh", "ch", "ohh", "chh"), ("hi-hat", "drums")),
    **dict.fromkeys(("tom", "tom tom", "floor tom"), ("toms", "drums")),
    **dict.fromkeys(("cymbal", "crash", "splash", "crash cymbal"), ("crash cymbal", "drums")),
    **dict.fromkeys(("ride",), ("ride cymbal", "drums")),
    **dict.fromkeys(("perc", "percussion", "prc"), ("percussion", "percussion")),
    **dict.fromkeys(("bongo drum", "bongó"), ("bongo", "percussion")),
    **dict.fromkeys(("guira", "güira", "guira loop"), ("guira", "percussion")),
    **dict.fromkeys(("güiro", "guiro"), ("guiro", "percussion")),
    **dict.fromkeys(("tumba", "tumbadora", "tumbao"), ("conga", "percussion")),
    **dict.fromkeys(("clap", "clp", "handclap"), ("hand clap", "percussion")),
    **dict.fromkeys(("snap", "finger snap"), ("finger snaps", "percussion")),
    **dict.fromkeys(("shkr", "shk"), ("shaker", "percussion")),
    **dict.fromkeys(("tamb", "tambo"), ("tambourine", "percussion")),
    **dict.fromkeys(("timbale", "timbal"), ("timbales", "percussion")),
    **{name: (name, "percussion") for name in ("tabla", "tambora", "darbuka", "cajon", "djembe", "beatbox", "clave")},
    "human beatbox": ("beatbox", "percussion"),
    "clave": ("claves", "percussion"),
    **dict.fromkeys(("bass", "bs", "bassline", "bass guitar", "bass gtr", "e bass", "electric bass"), ("bass", "bass")),
    **dict.fromkeys(("bajo",), ("bass", "bass")),
    **dict.fromkeys(
        ("sub", "sub bass", "bass synth", "synthbass", "303", "tb 303", "acid line"), ("synth bass", "bass")
    ),
    **dict.fromkeys(("reese",), ("synth bass", "bass")),
    **dict.fromkeys(("upright", "upright bass", "contrabass"), ("double bass", "strings")),
    **dict.fromkeys(("guitar", "gtr", "guit", "gt", "gitarre", "guitarra"), ("guitar", "guitar")),
    **dict.fromkeys(("acoustic guitar", "ac gtr", "acgtr", "acoustic gtr"), ("steel guitar", "guitar")),
    **dict.fromkeys(("electric guitar", "el gtr", "elgtr", "e gtr", "electric gtr"), ("electric guitar", "guitar")),
    **dict.fromkeys(("spanish guitar", "classical guitar", "nylon"), ("nylon guitar", "guitar")),
    **dict.fromkeys(("requinto", "segunda", "charango", "cuatro", "oud", "bouzouki"), ("", "guitar")),
    **dict.fromkeys(("piano", "pno", "grand piano", "upright piano"), ("piano", "piano")),
    **dict.fromkeys(("rhodes", "ep", "e piano", "electric piano", "wurli", "wurlitzer"), ("electric piano", "piano")),
    **dict.fromkeys(("clav", "clavi"), ("clavinet", "piano")),
    **dict.fromkeys(("key", "keyboard"), ("keys", "piano")),
    **dict.fromkeys(("organ", "hammond", "b3"), ("organ", "organ")),
    **dict.fromkeys(("bandoneon", "concertina", "accordian"), ("accordion", "organ")),
    **dict.fromkeys(("vibe", "vibes", "vibraphon"), ("vibraphone", "chromatic percussion")),
    **dict.fromkeys(("xylo", "xylophon"), ("xylophone", "chromatic percussion")),
    **dict.fromkeys(("glock",), ("glockenspiel", "chromatic percussion")),
    **dict.fromkeys(("bell",), ("bells", "chromatic percussion")),
    **dict.fromkeys(("string",), ("strings", "ensemble")),
    **dict.fromkeys(("brass", "horn", "horn section"), ("brass", "brass")),
    **dict.fromkeys(("tpt", "trp"), ("trumpet", "brass")),
    **dict.fromkeys(("tbn", "bone"), ("trombone", "brass")),
    **dict.fromkeys(("contrabassoon",), ("contrabassoon", "reed")),
    **dict.fromkeys(("sax", "alto sax"), ("saxophone", "reed")),
    **dict.fromkeys(("tenor sax",), ("tenor saxophone", "reed")),
    **dict.fromkeys(("vox", "vocal", "voice", "vocals", "acapella", "acappella", "singer"), ("vocals", "voice")),
    **dict.fromkeys(("choir", "chant"), ("choir", "voice")),
    **dict.fromkeys(("synth", "syn", "synthesizer", "arp", "stab"), ("synth", "synth")),
    **dict.fromkeys(("lead", "synth lead", "ld"), ("synth lead", "synth")),
    **dict.fromkeys(("pad", "synth pad", "atmo", "ambience"), ("synth pad", "synth")),
    **dict.fromkeys(("pluck", "plk"), ("synth pluck", "synth")),
    **dict.fromkeys(("drone",), ("drone", "synth")),
    **dict.fromkeys(("fx", "sfx", "riser", "sweep", "noise"), ("effects", "effects")),
}
_WORDS |= {word: (word, family) for word, (name, family) in _WORDS.items() if not name}
_SILENT = ("drum and bass", "drum n bass", "drum & bass", "drum bass", "drumnbass", "dnb", "key of", "beat maker")
"""Phrases that name a style, not an instrument."""
_GENERAL = {"drums", "percussion", "synth", "bass", "guitar", "keys", "strings", "brass", "organ", "bells"}
"""Names that a narrower one of the same family overrules."""
_VAGUE = {"synth", "synth lead", "synth pad", "synth pluck", "synth bass", "drone", "effects", "keys", "percussion"}
_FILLERS = {"loop", "loops", "and", "wav", "sample", "samples", "dry", "wet", "bpm"}
_LONGEST = max(len(phrase.split()) for phrase in _WORDS)


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
    bare = [number for number in bare if BARE_SLOWEST <= number <= BARE_FASTEST]
    if len(bare) == 1:
        return Tempo(float(bare[0]), 0.8)
    for folder in reversed(folders):
        if found := _marked(folder):
            return Tempo(found, 0.9)
        if re.fullmatch(r"\d{2,3}", folder) and BARE_SLOWEST <= int(folder) <= BARE_FASTEST:
            return Tempo(float(folder), 0.6)
    return None


def _marked(text: str) -> float | None:
    for pattern in (r"(?<!\d)(\d{2,3}(?:[.,]\d+)?)[-_ ]?bpm", r"bpm[-_ =]?(\d{2,3}(?:[.,]\d+)?)(?!\d)"):
        for number in re.findall(pattern, text.lower()):
            if SLOWEST <= float(number.replace(",", ".")) <= FASTEST:
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
    Instrument(name='hi-hat', family='drums', confidence=1.0, vague=False)
    >>> instrument("Pack/Gtr/riff_01.wav").name, instrument("Bass Drum 3.wav").name, instrument("Kick & Snare.wav").name
    ('guitar', 'kick', 'drums')
    >>> instrument("Bandoneon 90bpm.wav").name, instrument("Guitar with Flute.wav"), instrument("loop_3.wav")
    ('accordion', None, None)
    """
    *folders, file = path.split("/")
    stem = PurePath(file).stem if "." in file else file
    for distance, text in enumerate((stem, *reversed(folders))):
        found = _instruments(text)
        if found:
            chosen = _agree(found)
            sure = 1.0 if distance == 0 else 0.9 if names_only_an_instrument(text) else 0.4  # "Kids Beats": a pack
            return Instrument(*chosen, sure, chosen[0] in _VAGUE) if chosen else None
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
    known = {instrument: family for instrument, family in _WORDS.values() if instrument}
    found = known.get(name.lower()) or _WORDS.get(name.lower(), ("", ""))[1]
    return found or "other"


def is_vague(name: str) -> bool:
    """Whether an instrument's name leaves its sound open.

    >>> is_vague("synth pad"), is_vague("piano")
    (True, False)
    """
    return name.lower() in _VAGUE


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


@lru_cache
def _lexicon() -> dict[tuple[str, ...], tuple[str, str]]:
    entries = {**_WORDS, **dict.fromkeys(_SILENT, ("", ""))}
    return {tuple(_singular(word) for word in words(phrase)): meaning for phrase, meaning in entries.items()}


def _consume(tokens: Sequence[str]) -> tuple[list[tuple[str, str]], int]:
    """What the words mean, longest phrases first, and how many mean nothing."""
    single, found, unknown, at = [_singular(token) for token in tokens], [], 0, 0
    while at < len(single):
        for length in range(min(_LONGEST, len(single) - at), 0, -1):
            meaning = _lexicon().get(tuple(single[at : at + length]))
            if meaning is not None:
                found += [meaning] if meaning[0] else []
                at += length
                break
        else:
            unknown += 1
            at += 1
    return found, unknown


def _instruments(text: str) -> list[tuple[str, str]]:
    return list(dict.fromkeys(_consume(words(text))[0]))


def _agree(found: list[tuple[str, str]]) -> tuple[str, str] | None:
    """One instrument for all that a name says; None if it says several that have no common name."""
    narrow = [one for one in found if one[0] not in _GENERAL]
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
