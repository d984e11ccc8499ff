"""General MIDI: which instrument a program number is, what it can play, and which keys are which drum."""

from __future__ import annotations

from typing import NamedTuple


class Program(NamedTuple):
    """A General MIDI melody program: instrument and family names, MIDI range, and the parts that suit it."""

    instrument: str
    family: str
    low: int
    high: int
    roles: tuple[str, ...]


_MANY = ("chords", "melody", "arpeggio", "pad")
_KEYS = ("chords", "chords", "melody", "arpeggio")
_STRUM = ("strum", "strum", "melody", "arpeggio")
_LINE = ("melody", "melody", "counter")
_BLEND = ("pad", "pad", "counter", "chords", "melody")
_HITS = ("melody", "arpeggio")
_BASS = ("bass",)

# program: instrument, family, lowest and highest pitch, parts
_TABLE: tuple[tuple[int, str, str, int, int, tuple[str, ...]], ...] = (
    (0, "piano", "piano", 36, 88, _KEYS),
    (1, "piano", "piano", 36, 88, _KEYS),
    (2, "electric grand piano", "piano", 36, 84, _KEYS),
    (3, "honky-tonk piano", "piano", 40, 84, _KEYS),
    (4, "electric piano", "piano", 36, 84, _MANY),
    (5, "electric piano 2", "piano", 36, 84, _MANY),
    (6, "harpsichord", "piano", 40, 84, _KEYS),
    (7, "clavinet", "piano", 36, 79, _KEYS),
    (8, "celesta", "chromatic percussion", 60, 96, _HITS),
    (9, "glockenspiel", "chromatic percussion", 72, 100, _HITS),
    (10, "music box", "chromatic percussion", 60, 96, _HITS),
    (11, "vibraphone", "chromatic percussion", 53, 89, (*_HITS, "chords")),
    (12, "marimba", "chromatic percussion", 45, 84, _HITS),
    (13, "xylophone", "chromatic percussion", 60, 96, _HITS),
    (14, "tubular bells", "chromatic percussion", 55, 79, _HITS),
    (15, "dulcimer", "chromatic percussion", 50, 84, _HITS),
    (16, "drawbar organ", "organ", 36, 84, _MANY),
    (17, "percussive organ", "organ", 36, 84, _MANY),
    (18, "rock organ", "organ", 36, 84, _MANY),
    (19, "church organ", "organ", 36, 84, _BLEND),
    (20, "reed organ", "organ", 40, 84, _BLEND),
    (21, "accordion", "organ", 48, 84, _MANY),
    (22, "harmonica", "organ", 55, 84, _LINE),
    (23, "accordion", "organ", 48, 84, _MANY),
    (24, "nylon guitar", "guitar", 40, 79, _STRUM),
    (25, "steel guitar", "guitar", 40, 79, _STRUM),
    (26, "jazz guitar", "guitar", 40, 79, _STRUM),
    (27, "clean guitar", "guitar", 40, 79, _STRUM),
    (28, "muted guitar", "guitar", 40, 76, ("melody", "arpeggio", "riff")),
    (29, "overdriven guitar", "guitar", 40, 82, ("riff", "riff", "lead")),
    (30, "distortion guitar", "guitar", 40, 82, ("riff", "riff", "lead")),
    (31, "guitar harmonics", "guitar", 52, 88, _HITS),
    (32, "acoustic bass", "bass", 28, 55, _BASS),
    (33, "fingered bass", "bass", 28, 55, _BASS),
    (34, "picked bass", "bass", 28, 55, _BASS),
    (35, "fretless bass", "bass", 28, 55, _BASS),
    (36, "slap bass", "bass", 28, 55, _BASS),
    (37, "slap bass 2", "bass", 28, 55, _BASS),
    (38, "synth bass", "bass", 28, 55, _BASS),
    (39, "synth bass 2", "bass", 28, 55, _BASS),
    (40, "violin", "strings", 55, 91, _LINE),
    (41, "viola", "strings", 48, 84, _LINE),
    (42, "cello", "strings", 36, 72, (*_LINE, "bass")),
    (43, "double bass", "strings", 28, 55, _BASS),
    (44, "tremolo strings", "strings", 40, 84, _BLEND),
    (45, "pizzicato strings", "strings", 40, 84, _HITS),
    (46, "harp", "strings", 40, 88, ("arpeggio", "arpeggio", "melody", "chords")),
    (47, "timpani", "chromatic percussion", 36, 57, _BASS),
    (48, "string ensemble", "ensemble", 40, 86, _BLEND),
    (49, "slow strings", "ensemble", 40, 86, ("pad", "counter")),
    (50, "synth strings", "ensemble", 40, 86, _BLEND),
    (51, "synth strings 2", "ensemble", 40, 86, _BLEND),
    (52, "choir aahs", "voice", 45, 79, _BLEND),
    (53, "voice oohs", "voice", 45, 79, _BLEND),
    (54, "synth voice", "voice", 45, 79, _BLEND),
    (55, "orchestra hit", "ensemble", 48, 72, ("melody",)),
    (56, "trumpet", "brass", 54, 82, _LINE),
    (57, "trombone", "brass", 40, 70, _LINE),
    (58, "tuba", "brass", 28, 55, ("bass", "melody")),
    (59, "muted trumpet", "brass", 54, 82, _LINE),
    (60, "french horn", "brass", 41, 76, _LINE),
    (61, "brass section", "brass", 41, 79, ("chords", "melody", "counter")),
    (62, "synth brass", "brass", 41, 79, ("chords", "melody", "counter")),
    (63, "synth brass 2", "brass", 41, 79, ("chords", "melody", "counter")),
    (64, "soprano saxophone", "reed", 56, 84, _LINE),
    (65, "saxophone", "reed", 49, 80, _LINE),
    (66, "tenor saxophone", "reed", 44, 75, _LINE),
    (67, "baritone saxophone", "reed", 36, 68, (*_LINE, "bass")),
    (68, "oboe", "reed", 58, 86, _LINE),
    (69, "english horn", "reed", 52, 80, _LINE),
    (70, "bassoon", "reed", 34, 70, (*_LINE, "bass")),
    (71, "clarinet", "reed", 50, 88, _LINE),
    (72, "piccolo", "pipe", 74, 100, _LINE),
    (73, "flute", "pipe", 60, 94, _LINE),
    (74, "recorder", "pipe", 60, 91, _LINE),
    (75, "pan flute", "pipe", 58, 88, _LINE),
    (76, "blown bottle", "pipe", 55, 84, _LINE),
    (77, "shakuhachi", "pipe", 55, 84, _LINE),
    (78, "whistle", "pipe", 60, 91, _LINE),
    (79, "ocarina", "pipe", 58, 86, _LINE),
    *(
        (80 + i, f"synth lead {i + 1}", "synth lead", 40, 88, ("melody", "lead", "arpeggio", "counter"))
        for i in range(8)
    ),
    *((88 + i, f"synth pad {i + 1}", "synth pad", 40, 84, ("pad", "pad", "counter")) for i in range(8)),
    *((96 + i, f"synth effect {i + 1}", "synth pad", 45, 84, ("pad", "melody", "arpeggio")) for i in range(8)),
    (104, "sitar", "ethnic", 48, 79, _HITS),
    (105, "banjo", "ethnic", 48, 81, (*_HITS, "strum")),
    (106, "shamisen", "ethnic", 48, 79, _HITS),
    (107, "koto", "ethnic", 48, 84, _HITS),
    (108, "kalimba", "ethnic", 53, 84, _HITS),
    (109, "bagpipe", "ethnic", 55, 80, _LINE),
    (110, "fiddle", "strings", 55, 88, _LINE),
    (111, "shanai", "ethnic", 55, 84, _LINE),
    (112, "tinkle bell", "chromatic percussion", 67, 96, _HITS),
    (114, "steel drum", "chromatic percussion", 52, 84, (*_HITS, "chords")),
)

PROGRAMS: dict[tuple[int, int], Program] = {(0, number): Program(*rest) for number, *rest in _TABLE}  # type: ignore[arg-type]
"""(pool, program) to what it plays. Banks 8 and 16 are the variations common to most General MIDI soundfonts."""
PROGRAMS |= {
    (8, 14): Program("church bell", "chromatic percussion", 48, 72, _HITS),
    (8, 24): Program("ukulele", "guitar", 55, 84, _STRUM),
    (8, 25): Program("twelve-string guitar", "guitar", 40, 79, _STRUM),
    (8, 26): Program("hawaiian guitar", "guitar", 45, 81, _LINE),
    (8, 28): Program("funk guitar", "guitar", 40, 79, ("strum", "riff", "arpeggio")),
    (8, 38): Program("synth bass 3", "bass", 28, 55, _BASS),
    (8, 39): Program("synth bass 4", "bass", 28, 55, _BASS),
    (8, 40): Program("violin", "strings", 55, 91, ("counter", "melody")),
    (8, 107): Program("taisho koto", "ethnic", 50, 84, _HITS),
    (16, 25): Program("mandolin", "guitar", 55, 88, _STRUM),
}

_VAGUE_FAMILIES = {"synth lead", "synth pad"}
_VAGUE_NAMES = (
    "synth ",
    "orchestra hit",
    "guitar harmonics",
    "electric grand",
    "electric piano",
    "tinkle bell",
    "blown bottle",
)


def defines_timbre(program: Program) -> bool:
    """False where General MIDI's name leaves the sound open, so that two soundfonts' versions are two instruments.

    >>> defines_timbre(PROGRAMS[0, 73]), defines_timbre(PROGRAMS[0, 81])
    (True, False)
    """
    return program.family not in _VAGUE_FAMILIES and not program.instrument.startswith(_VAGUE_NAMES)


COMMON = frozenset(
    {
        *("piano", "electric piano", "drawbar organ", "rock organ", "nylon guitar", "steel guitar", "clean guitar"),
        *("jazz guitar", "overdriven guitar", "distortion guitar", "fingered bass", "picked bass", "acoustic bass"),
        *("violin", "viola", "cello", "string ensemble", "slow strings", "synth strings", "choir aahs", "voice oohs"),
        *("trumpet", "trombone", "brass section", "synth brass", "saxophone", "tenor saxophone", "flute", "clarinet"),
        *("synth lead 1", "synth lead 2", "synth pad 1", "synth bass", "synth bass 2", "vibraphone", "harp"),
    }
)
"""Instruments that real songs have most often; a library holds more of them."""

DRUM_PARTS: dict[str, tuple[int, ...]] = {
    "kick": (36, 35),
    "snare": (38, 40, 37),
    "hi-hat": (42, 44, 46),
    "ride cymbal": (51, 53, 59),
    "toms": (50, 48, 47, 45, 43, 41),
}
"""The parts of a drum kit that are learnt on their own too, and their keys."""

PERCUSSION: dict[str, tuple[int, ...]] = {
    "hand clap": (39,),
    "tambourine": (54,),
    "cowbell": (56,),
    "vibraslap": (58,),
    "bongo": (60, 61),
    "conga": (62, 63, 64),
    "timbales": (65, 66),
    "agogo": (67, 68),
    "cabasa": (69,),
    "maracas": (70,),
    "samba whistle": (71, 72),
    "guiro": (73, 74),
    "claves": (75,),
    "woodblock": (76, 77),
    "cuica": (78, 79),
    "triangle": (80, 81),
    "shaker": (82,),
    "castanets": (85,),
    "surdo": (86, 87),
    "djembe": (110, 111, 112),
    "cajon": (113, 114),
    "dunun": (115, 116, 117, 118),
    "finger snaps": (119,),
}
"""Hand percussion and its keys; those above 87 are this project's own, for drum kits that have such sounds."""
