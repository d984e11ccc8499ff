"""Finds voices in material on disk: soundfonts, Hydrogen drum kits, folders of recorded notes, of stems, of loops."""

from __future__ import annotations

import csv
import logging
import re
import xml.etree.ElementTree as ElementTree
import zlib
from collections import defaultdict
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from fewshot_sep.errors import BadAudio
from fewshot_sep.loops.instruments.general_midi import DRUM_PARTS, PERCUSSION, PROGRAMS, defines_timbre
from fewshot_sep.loops.instruments.singing import SungVoice
from fewshot_sep.loops.instruments.voices import (
    KitVoice,
    SampledVoice,
    SoundfontVoice,
    StrumVoice,
    Voice,
    load_soundfont,
)
from fewshot_sep.loops.library import is_held_out

AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".au"}
_log = logging.getLogger(__name__)


class Source(NamedTuple):
    """Short name and licence of a collection; `synthetic` if its instruments only borrow the names of real ones."""

    short: str
    licence: str
    synthetic: bool = False


@lru_cache
def known_sources() -> dict[str, Source]:
    """The committed table `sources.csv`: name of the file (without suffix) or folder to what it is.

    Where a folder's own name would say too little, its parent's stands before it: many machines have a `/scratch`.
    """
    text = files("fewshot_sep.loops.instruments").joinpath("sources.csv").read_text(encoding="utf-8")
    return {
        row["name"]: Source(row["short"], row["licence"], row["synthetic"] == "yes")
        for row in csv.DictReader(text.splitlines())
    }


def source_of(path: Path) -> Source:
    """The known source that `path` is or lies in; else its own name and the licence "unknown", with a warning."""
    places = [path, *path.parents]
    names = [path.stem, *(name for place in places for name in (place.name, f"{place.parent.name}/{place.name}"))]
    for name in names:
        if name in known_sources():
            return known_sources()[name]
    _log.warning("%s: licence not in the table of known sources, noted as unknown", path)
    return Source(slug(path.stem), "unknown")


def slug(name: str) -> str:
    """A name as lower-case letters, digits and single hyphens.

    >>> slug("Tom High (12\\")")
    'tom-high-12'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "x"


def _percussion_family(name: str) -> str:
    return "drums" if name in DRUM_PARTS or name == "drums" else "percussion"


def _kit_roles(instrument: str) -> tuple[str, ...]:
    return ("groove",) if instrument == "drums" else ("part",) if instrument in DRUM_PARTS else ("beat",)


def soundfont_voices(path: Path, amps: int = 5) -> list[Voice]:
    """Melody programs, drum kits and their parts, hand percussion, and `amps` amplifiers for each plain guitar."""
    synth, number = load_soundfont(str(path))
    short, licence, synthetic = source_of(path)
    voices: list[Voice] = []

    def has(pool: int, program: int) -> bool:
        return bool(synth.sfpreset_name(number, pool, program))

    if sum(has(0, program) for program in range(128)) <= 2:  # a drum kit alone, on the first program
        kits = [(0, 0)]
    else:
        kits = [(128, program) for program in range(64) if has(128, program) and program not in (55, 56, 57, 58, 59)]
        for (pool, program), sound in PROGRAMS.items():
            if not has(pool, program) or (synthetic and is_held_out(sound.instrument)):
                continue
            named = defines_timbre(sound) and not synthetic
            name = sound.instrument if named else f"{sound.instrument} ({short})"
            source = short if (pool, program) not in ((0, 1), (8, 40)) else f"{short}/{pool}-{program}"
            voices.append(
                SoundfontVoice(
                    name,
                    source,
                    sound.family,
                    licence,
                    sound.roles,
                    sound.low,
                    sound.high,
                    (),
                    str(path),
                    pool,
                    program,
                )
            )
            for amp in range(amps if (pool, program) in _AMPLIFIED else 0):
                seed = hash_text(f"{short}/{pool}/{program}/{amp}")
                bass = sound.family == "bass"
                voices.append(
                    SoundfontVoice(
                        "driven bass" if bass else "distortion guitar",
                        f"{short}/{slug(sound.instrument)}+amp{amp}",
                        "bass" if bass else "guitar",
                        licence,
                        ("bass",) if bass else ("riff", "riff", "lead", "strum") if program != 28 else ("riff", "lead"),
                        sound.low,
                        79 if not bass else sound.high,
                        (),
                        str(path),
                        pool,
                        program,
                        seed,
                    )
                )
    for pool, program in kits:
        source = f"{short}/kit{program}" if len(kits) > 1 else short
        parts: dict[str, tuple[int, ...]] = {"drums": (), **DRUM_PARTS}
        if program == kits[0][1]:
            parts |= {name: keys for name, keys in PERCUSSION.items() if max(keys) < 110 and (pool == 128)}
        for name, keys in parts.items():
            voices.append(
                SoundfontVoice(
                    name,
                    source,
                    _percussion_family(name),
                    licence,
                    _kit_roles(name),
                    0,
                    127,
                    keys,
                    str(path),
                    128,
                    program,
                )
            )
    return voices


_AMPLIFIED = {(0, 25), (0, 26), (0, 27), (0, 28), (0, 33), (0, 34)}


def hash_text(text: str) -> int:
    """A hash that is the same in every run."""
    return zlib.crc32(text.encode())


# The first pattern found in a drum's name decides; None: not used.
_DRUM_NAMES: tuple[tuple[str, int | None], ...] = (
    (r"roll|^\d*$|redo|sample:|zap|^fx|click|phaser|^\W*$|whistle|noise", None),
    (r"djembe.*slap", 110),
    (r"djembe.*tone", 111),
    (r"djembe.*bass", 112),
    (r"cajon.*slap", 114),
    (r"cajon", 113),
    (r"dunun.*bell|dunun.*mute|sangban.*bell", 117),
    (r"dunun", 115),
    (r"sangban", 116),
    (r"kenkeni", 118),
    (r"finger", 119),
    (r"rim click|stick|side|click|rimshot", 37),
    (r"clap", 39),
    (r"kick|bass ?drum|^bd", 36),
    (r"snare|^sn", 38),
    (r"(hh|hat|hi-hat).*(semi|open|\bop)|(open|semi).*(hh|hat)|\boh\b", 46),
    (r"(hh|hat|hi-hat).*(ped|pd|foot)|pedal.*(hh|hat)", 44),
    (r"\bhh|hat", 42),
    (r"tom.*(floor|low|\blo)|floor tom|low tom", 43),
    (r"tom.*mid|mid.*tom|tom 2", 47),
    (r"tom.*hi|hi.*tom|tom 1", 50),
    (r"tom", 45),
    (r"splash", 55),
    (r"china", 52),
    (r"ride.*bell|ride.*cup|paiste bell", 53),
    (r"crash|cymbal", 49),
    (r"ride", 51),
    (r"cowbell", 56),
    (r"tambourine", 54),
    (r"bongo.*hi", 60),
    (r"bongo", 61),
    (r"conga 1", 63),
    (r"conga", 64),
    (r"timbale", 65),
    (r"agogo.*(hi|1)", 67),
    (r"agogo", 68),
    (r"cabasa", 69),
    (r"maraca", 70),
    (r"guiro", 73),
    (r"clave", 75),
    (r"woodblock.*hi", 76),
    (r"woodblock", 77),
    (r"triangle", 81),
    (r"shaker", 82),
)


def drum_key(name: str) -> int | None:
    """The drum key that a sound's name stands for, if any.

    >>> drum_key("Pearl Snare"), drum_key("Closed HH"), drum_key("Open HH"), drum_key("Waterglass")
    (38, 42, 46, None)
    """
    for pattern, key in _DRUM_NAMES:
        if re.search(pattern, name.strip().lower()):
            return key
    return None


def kit_voices(hits: list[tuple[int, float, float, str]], source: str, licence: str) -> list[Voice]:
    """The full kit if it has kick, snare and a cymbal; each of its parts; each hand percussion instrument in it."""
    keys = {hit[0] for hit in hits}
    voices = []
    for name, wanted in {"drums": tuple(keys), **DRUM_PARTS, **PERCUSSION}.items():
        present = tuple(key for key in wanted if key in keys)
        full = bool(keys & {35, 36}) and bool(keys & {38, 40}) and bool(keys & {42, 46, 51})
        if not present or (name == "drums" and not full):
            continue
        own = tuple(hit for hit in hits if hit[0] in (keys if name == "drums" else present))
        voice_keys = () if name == "drums" else present
        voices.append(
            KitVoice(name, source, _percussion_family(name), licence, _kit_roles(name), 0, 127, voice_keys, own)
        )
    return list(voices)


def drumkit_voices(folder: Path) -> list[Voice]:
    """Voices of every Hydrogen drum kit (a folder with `drumkit.xml`) under `folder`."""
    voices: list[Voice] = []
    for sheet in sorted(folder.rglob("drumkit.xml")):
        try:
            root = ElementTree.parse(sheet).getroot()
        except (ElementTree.ParseError, OSError) as error:
            raise BadAudio(f"{sheet}: cannot be read as a Hydrogen drum kit ({error})") from error
        for element in root.iter():  # newer kits declare a namespace
            element.tag = element.tag.split("}")[-1]
        seen: dict[int, list[tuple[int, float, float, str]]] = {}
        for instrument in root.iter("instrument"):
            key = drum_key(instrument.findtext("name") or "")
            if key is None or key in seen:
                continue
            layers = [
                (layer.findtext("filename"), float(layer.findtext("max") or 1)) for layer in instrument.iter("layer")
            ]
            layers = layers or [(instrument.findtext("filename"), 1.0)]
            found = [
                (key, top, 1.0, str(sheet.parent / name))
                for name, top in layers
                if name and (sheet.parent / name).is_file()
            ]
            if found:
                seen[key] = found
        if seen:
            voices += kit_voices([hit for hits in seen.values() for hit in hits], *source_of(sheet.parent)[:2])
    return voices


_NOTE = re.compile(r"(?:^|_)([A-Ga-g])(s|#|b)?(\d)(?=_|$|v\d+$)")
_STEP = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
_LOUDNESS = {
    "pianissimo": 0.1,
    "piano": 0.3,
    "mezzo-piano": 0.45,
    "mezzo-forte": 0.65,
    "forte": 0.85,
    "fortissimo": 1.0,
    "pp": 0.1,
    "p": 0.3,
    "mf": 0.6,
    "f": 0.85,
    "ff": 1.0,
}


def note_pitch(stem: str) -> int | None:
    """The MIDI pitch named in a file's stem.

    >>> [note_pitch(stem) for stem in ("cello_As2_15_forte_arco-normal", "pizz_eb1_pc", "A#3v12", "noise_3")]
    [46, 27, 58, None]
    """
    match = _NOTE.search(stem)
    if not match:
        return None
    letter, sharp, octave = match.groups()
    return 12 * (int(octave) + 1) + _STEP[letter.lower()] + {"s": 1, "#": 1, "b": -1, None: 0}[sharp]


_LINE, _PLUCKED, _LOW = ("melody", "melody", "counter"), ("strum", "arpeggio", "melody"), ("bass", "bass", "melody")
_BARE = r"^[A-G]s?\d$"
# folder of notes, articulation (a pattern on the file's stem): instrument, family, parts
_NOTE_FOLDERS: tuple[tuple[str, str, str, str, tuple[str, ...]], ...] = (
    ("bass-clarinet", "normal", "bass clarinet", "reed", (*_LINE, "bass")),
    ("cello", "arco-normal", "cello", "strings", (*_LINE, "bass")),
    ("clarinet", "normal", "clarinet", "reed", _LINE),
    ("double-bass", "arco-normal", "double bass", "strings", _LOW),
    ("english-horn", "normal", "english horn", "reed", _LINE),
    ("flute", "normal", "flute", "pipe", _LINE),
    ("french-horn", "normal", "french horn", "brass", _LINE),
    ("guitar", "normal", "nylon guitar", "guitar", _PLUCKED),
    ("guitar", "harmonics", "guitar harmonics (philharmonia)", "guitar", ("arpeggio", "melody")),
    ("mandolin", "normal", "mandolin", "guitar", _PLUCKED),
    ("mandolin", "tremolo", "mandolin tremolo", "guitar", _LINE),
    ("oboe", "normal", "oboe", "reed", _LINE),
    ("saxophone", "normal", "saxophone", "reed", _LINE),
    ("trombone", "normal", "trombone", "brass", _LINE),
    ("double_bass", "^arco_[a-g]", "double bass", "strings", _LOW),
    ("double_bass", "^pizz_[a-g]", "double bass pizzicato", "strings", _LOW),
    ("spanish_guitar", "", "nylon guitar", "guitar", _PLUCKED),
    ("salamander", "", "piano", "piano", ("chords", "chords", "melody", "arpeggio")),
    ("bass-electric", "", "fingered bass", "bass", ("bass",)),
    ("cello", _BARE, "cello", "strings", (*_LINE, "bass")),
    ("clarinet", _BARE, "clarinet", "reed", _LINE),
    ("contrabass", _BARE, "double bass", "strings", _LOW),
    ("flute", _BARE, "flute", "pipe", _LINE),
    ("french-horn", _BARE, "french horn", "brass", _LINE),
    ("guitar-acoustic", _BARE, "steel guitar", "guitar", _PLUCKED),
    ("guitar-electric", _BARE, "clean guitar", "guitar", _PLUCKED),
    ("guitar-nylon", _BARE, "nylon guitar", "guitar", _PLUCKED),
    ("harmonium", _BARE, "harmonium", "organ", ("pad", "chords", "melody")),
    ("harp", _BARE, "harp", "strings", ("arpeggio", "arpeggio", "melody")),
    ("organ", _BARE, "church organ", "organ", ("pad", "chords", "melody")),
    ("piano", _BARE, "piano", "piano", ("chords", "chords", "melody", "arpeggio")),
    ("saxophone", _BARE, "saxophone", "reed", _LINE),
    ("trombone", _BARE, "trombone", "brass", _LINE),
    ("trumpet", _BARE, "trumpet", "brass", _LINE),
    ("violin", _BARE, "violin", "strings", _LINE),
    ("xylophone", _BARE, "xylophone", "chromatic percussion", ("melody", "arpeggio")),
)
_STRIKES = {
    "agogo-bells": "agogo",
    "bass-drum": "orchestral bass drum",
    "cabasa": "cabasa",
    "castanets": "castanets",
    "cowbell": "cowbell",
    "djembe": "djembe",
    "djundjun": "dunun",
    "guiro": "guiro",
    "lemon-shaker": "shaker",
    "banana-shaker": "shaker",
    "strawberry-shaker": "shaker",
    "sheeps-toenails": "sheep's toenails",
    "sleigh-bells": "sleigh bells",
    "snare-drum": "snare",
    "spring-coil": "spring coil",
    "surdo": "surdo",
    "suspended-cymbal": "suspended cymbal",
    "tambourine": "tambourine",
    "tom-toms": "toms",
    "triangle": "triangle",
    "vibraslap": "vibraslap",
    "washboard": "washboard",
    "woodblock": "woodblock",
    "tabla": "tabla",
}
_RING = {
    "triangle": 2.0,
    "suspended cymbal": 3.0,
    "orchestral bass drum": 2.0,
    "spring coil": 1.5,
    "vibraslap": 1.5,
    "surdo": 1.5,
}


def note_voices(folder: Path) -> list[Voice]:
    """Voices of a folder of recorded notes, or of a folder of such folders, one per instrument.

    Pitched files carry their note in the name (`cello_A2_05_forte_arco-normal`, `pizz_eb1_pc`, `A#3`); folders of
    struck things without notes (`tambourine`) become percussion. A folder that the table does not know is an
    instrument of its own name.
    """
    source = source_of(folder)
    voices: list[Voice] = []
    for place in [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]:
        sounds = sorted(path for path in place.iterdir() if path.suffix.lower() in AUDIO_SUFFIXES)
        if not sounds or is_held_out(place.name.replace("-", " ").replace("_", " ")):
            continue
        known = [entry for entry in _NOTE_FOLDERS if entry[0] == place.name]
        other = (place.name, "", place.name.replace("_", " ").replace("-", " "), "other", ("melody", "counter"))
        notes = [
            path for path in sounds if note_pitch(path.stem) is not None and not re.search("noise|phrase", path.stem)
        ]
        for _, articulation, instrument, family, roles in known or [other]:
            chosen = [path for path in notes if re.search(articulation, path.stem)]
            files_ = tuple((note_pitch(path.stem) or 0, _loudness(path.stem), str(path)) for path in chosen)
            if len(files_) >= 8:
                pitches = [pitch for pitch, _, _ in files_]
                low, high = min(pitches), max(pitches)
                voices.append(
                    SampledVoice(instrument, source.short, family, source.licence, roles, low, high, (), files_)
                )
        if not notes and place.name in _STRIKES:
            short = [
                path
                for path in sounds
                if not re.search("phrase|roll|rhythm|very-long|cresc|gliss|effect|flam", path.stem)
            ]
            hits = tuple((index, 1.0, 1.0, str(path)) for index, path in enumerate(short[:6]))
            if hits:
                name, keys = _STRIKES[place.name], tuple(hit[0] for hit in hits)
                own = source.short if name != "shaker" else f"{source.short}/{place.name}"
                family = _percussion_family(name)
                voices.append(
                    KitVoice(name, own, family, source.licence, ("beat",), 0, 127, keys, hits, _RING.get(name, 0.5))
                )
    return voices


def _loudness(stem: str) -> float:
    parts = stem.split("_")
    if layer := re.search(r"\dv(\d+)$", stem):  # one of the 16 velocities of the Salamander piano
        return int(layer[1]) / 16
    return next((_LOUDNESS[part] for part in reversed(parts) if part in _LOUDNESS), _dynamic_letter(parts[-1]))


def _dynamic_letter(mark: str) -> float:
    """`fa`, `mb`, `pd`: loudness and a variant letter; anything else is of middle loudness."""
    return {"f": 0.9, "m": 0.6, "p": 0.3}.get(mark[0], 0.6) if re.fullmatch("[fmp][a-d]", mark) else 0.6


_SAMPLE_KITS = {
    "acoustic": {
        "drum_heavy_kick": 36,
        "drum_bass_soft": 36,
        "drum_snare_hard": 38,
        "drum_snare_soft": 38,
        "drum_cymbal_closed": 42,
        "drum_cymbal_pedal": 44,
        "drum_cymbal_open": 46,
        "drum_splash_hard": 49,
        "drum_cymbal_hard": 51,
        "drum_tom_hi_hard": 50,
        "drum_tom_mid_hard": 47,
        "drum_tom_lo_hard": 43,
        "drum_cowbell": 56,
    },
    "electro": {
        "elec_hollow_kick": 36,
        "elec_snare": 38,
        "elec_filt_snare": 40,
        "elec_tick": 42,
        "elec_cymbal": 46,
        "elec_fuzz_tom": 45,
        "elec_wood": 37,
    },
    "house": {"bd_haus": 36, "sn_dolf": 38, "elec_blip2": 42, "elec_ping": 46, "elec_hi_snare": 40},
    "808": {"bd_808": 36, "sn_dub": 38, "elec_blip": 42, "elec_soft_kick": 41, "elec_twip": 46},
    "boom": {"bd_boom": 36, "sn_generic": 38, "drum_cymbal_closed": 42, "drum_cymbal_open": 46},
    "techno": {"bd_tek": 36, "sn_zome": 38, "elec_plip": 42, "elec_chime": 46},
}
_TABLA = ("tabla_ghe1", "tabla_ke1", "tabla_na", "tabla_tas1", "tabla_te1", "tabla_tun1", "tabla_re", "tabla_dhec")


def sample_voices(folder: Path) -> list[Voice]:
    """Drum kits and tabla put together from the single hits of a folder of samples named as Sonic Pi's are."""
    source = source_of(folder)
    voices: list[Voice] = []
    found = {path.stem: str(path) for path in folder.iterdir() if path.suffix.lower() in AUDIO_SUFFIXES}
    for name, kit in _SAMPLE_KITS.items():
        present: dict[int, list[str]] = defaultdict(list)
        for stem, key in kit.items():
            if stem in found:
                present[key].append(found[stem])
        hits = [(key, 1.0, 1.0, path) for key, paths in present.items() for path in paths[:1]]
        voices += kit_voices(hits, f"{source.short}/{name}", source.licence)
    tabla = tuple((index, 1.0, 1.0, found[stem]) for index, stem in enumerate(_TABLA) if stem in found)
    if len(tabla) > 2:
        keys = tuple(hit[0] for hit in tabla)
        voices.append(KitVoice("tabla", source.short, "percussion", source.licence, ("beat",), 0, 127, keys, tabla))
    return voices


def speech_voices(folder: Path) -> list[Voice]:
    """A singer for each folder in `folder` that holds 10 clips or more of one speaker, at any depth."""
    source = source_of(folder)
    voices: list[Voice] = []
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        clips = tuple(str(path) for path in sorted(place.rglob("*")) if path.suffix.lower() in AUDIO_SUFFIXES)
        if len(clips) >= 10:
            own = f"{source.short}/{place.name}"
            voices.append(SungVoice("vocals", own, "voice", source.licence, ("vocal",), 45, 74, (), clips))
    return voices


_CHORDS = {"major": (0, 4, 7), "minor": (0, 3, 7), "minor7b5": (0, 3, 6, 10)}
_STRUM = re.compile(r"^([A-G])(sharp|flat)? ?(major|minor7b5|minor|minro7b5)_(?:(?:UP|DOWN|Down)_)?\d+(?:wav)?$")


def strum_chord(stem: str) -> tuple[int, ...] | None:
    """The pitch classes, root first, of the chord that a recorded strum is named after.

    >>> strum_chord("Csharp minor_UP_02"), strum_chord("Bflat major_00"), strum_chord("Cmajor")
    ((1, 4, 8), (10, 2, 5), None)
    """
    match = _STRUM.match(stem)
    if not match:
        return None
    root = _STEP[match[1].lower()] + {"sharp": 1, "flat": -1, None: 0}[match[2]]
    return tuple((root + step) % 12 for step in _CHORDS[match[3].replace("minro", "minor")])


def strum_voices(folder: Path) -> list[Voice]:
    """A guitar for each folder under `folder` that holds 24 recorded strums or more named by their chords."""
    voices: list[Voice] = []
    for place in sorted({path.parent for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES}):
        chords = [(strum_chord(path.stem), path) for path in sorted(place.iterdir())]
        strums = tuple((chord, str(path)) for chord, path in chords if chord and path.suffix.lower() in AUDIO_SUFFIXES)
        if len(strums) >= 24:
            short, licence, _ = source_of(place)
            voices.append(StrumVoice("steel guitar", short, "guitar", licence, ("strum",), 40, 79, (), strums))
    return voices


def shot_voices(folder: Path, kits: int = 4) -> list[Voice]:
    """`kits` drum kits dealt from a folder of single hits that are named as drums (`kick01`, `hihat_closed02`)."""
    source, found = source_of(folder), defaultdict(list)
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in AUDIO_SUFFIXES):
        key = drum_key(re.sub(r"[\d_]+", " ", path.stem))
        if key is not None:
            found[key].append(str(path))
    voices: list[Voice] = []
    for number in range(kits):
        hits = [(key, 1.0, 1.0, paths[number]) for key, paths in found.items() if number < len(paths)]
        voices += kit_voices(hits, f"{source.short}/kit{number}", source.licence)
    return voices


class Take(NamedTuple):
    """A recording to be cut into pieces: where it is, what it is. Takes of one `group` start together."""

    path: str
    instrument: str
    family: str
    source: str
    licence: str
    group: str


_STEM_NAMES: tuple[tuple[str, str, str], ...] = (
    (r"bgvox|vox_echo", "backing vocals", "voice"),
    (r"vox", "vocals", "voice"),
    (r"kick_hats|beat|drum", "drums", "drums"),
    (r"kick", "kick", "drums"),
    (r"hat|hh", "hi-hat", "drums"),
    (r"snare", "snare", "drums"),
    (r"tom", "toms", "drums"),
    (r"crash", "crash cymbal", "drums"),
    (r"break", "drums", "drums"),
    (r"bass", "synth bass", "bass"),
    (r"piano|keys", "keys", "piano"),
)


def stem_takes(folder: Path) -> list[Take]:
    """The stems of one song (a folder of aligned files) with the instrument that each file's name says."""
    source, takes = source_of(folder), []
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in AUDIO_SUFFIXES):
        name = path.stem.lower()
        own = (path.stem.replace("_", " "), "synth")
        named = [(what, family) for pattern, what, family in _STEM_NAMES if re.search(pattern, name)]
        instrument, family = named[0] if named and not name.startswith("melody") else own
        if family not in ("voice", "drums"):  # the name leaves the sound open
            instrument = f"{instrument} ({source.short})"
        takes.append(Take(str(path), instrument, family, f"{source.short}/{path.stem}", source.licence, folder.name))
    return takes


_PHRASE, _ODD = re.compile("phrase|rhythm"), re.compile("pizz|col-legno|harmonic|effect|subtone")


def phrase_takes(folder: Path) -> list[Take]:
    """What is played in phrases or rhythms in folders of recorded notes (see `note_voices`), each a take of its own.

    Left out are folders that the tables do not know, and playing that hardly sounds like the instrument.
    """
    source, takes = source_of(folder), []
    plain = {place: (instrument, family) for place, _, instrument, family, _ in reversed(_NOTE_FOLDERS)}
    struck = {place: (name, _percussion_family(name)) for place, name in _STRIKES.items()}
    known = {place: about for place, about in (struck | plain).items() if not is_held_out(about[0])}
    for place in [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]:
        for path in sorted(place.iterdir() if place.name in known else ()):
            if path.suffix.lower() in AUDIO_SUFFIXES and _PHRASE.search(path.stem) and not _ODD.search(path.stem):
                group = f"{source.short}/{path.stem}"
                takes.append(Take(str(path), *known[place.name], source.short, source.licence, group))
    return takes


_LOOPS: dict[str, tuple[str, str]] = {
    "loop_amen_full": ("drums", "drums"),
    "loop_breakbeat": ("drums", "drums"),
    "loop_compus": ("drums", "drums"),
    "loop_garzul": ("loop garzul", "synth"),
    "loop_industrial": ("drums", "drums"),
    "loop_mehackit1": ("drums", "drums"),
    "loop_mehackit2": ("drums", "drums"),
    "loop_mika": ("drums", "drums"),
    "loop_safari": ("percussion loop", "percussion"),
    "loop_tabla": ("tabla", "percussion"),
    "loop_electric": ("loop electric", "synth"),
    "loop_3d_printer": ("loop printer", "percussion"),
    "loop_weirdo": ("loop weirdo", "synth"),
    "ambi_choir": ("choir sample", "voice"),
    "ambi_drone": ("drone", "synth"),
    "ambi_glass_hum": ("glass hum", "synth"),
    "ambi_glass_rub": ("glass rub", "synth"),
    "ambi_haunted_hum": ("haunted hum", "synth"),
    "ambi_lunar_land": ("lunar pad", "synth"),
    "ambi_piano": ("piano", "piano"),
    # LMMS
    "909beat01": ("drums", "drums"),
    "electro_beat01": ("drums", "drums"),
    "tb303_01": ("synth bass (tb303)", "bass"),
    "techno_synth01": ("techno synth 1", "synth"),
    "techno_synth02": ("techno synth 2", "synth"),
    "techno_synth03": ("techno synth 3", "synth"),
    "techno_synth04": ("techno synth 4", "synth"),
    "bell_choir01": ("bell choir", "synth"),
    "bell_choir02": ("bell choir", "synth"),
    "chorus02": ("choir sample 2", "voice"),
    "juno_pad01": ("juno pad", "synth"),
    "nord_ambient01": ("nord pad", "synth"),
    "space_strings01": ("space strings", "synth"),
    "space_strings02": ("space strings", "synth"),
    "space_strings03": ("space strings", "synth"),
    "strings01": ("string ensemble", "ensemble"),
    "latin_guitar01": ("latin guitar", "guitar"),
    "latin_guitar02": ("latin guitar", "guitar"),
    "latin_guitar03": ("latin guitar", "guitar"),
    "church_organ01": ("church organ", "organ"),
    "church_organ02": ("church organ", "organ"),
    "church_organ03": ("church organ", "organ"),
    "church_organ04": ("church organ", "organ"),
    # Scratch
    "DrumMachine": ("drums", "drums"),
    "GuitarChords1": ("guitar chords", "guitar"),
    "GuitarChords2": ("guitar chords", "guitar"),
    "HumanBeatbox1": ("beatbox", "percussion"),
    "HumanBeatbox2": ("beatbox", "percussion"),
    "Xylo1": ("xylophone", "chromatic percussion"),
    "Xylo2": ("xylophone", "chromatic percussion"),
    "Xylo3": ("xylophone", "chromatic percussion"),
    "xylo4": ("xylophone", "chromatic percussion"),
    "Oooo-badada": ("vocals", "voice"),
    "Sing-me-a-song": ("vocals", "voice"),
    "Got-inspiration": ("vocals", "voice"),
}


def sample_takes(folder: Path) -> list[Take]:
    """The longer loops under a folder of samples, those that the table above knows, each a take of its own.

    Of loops from LMMS and Scratch only those whose name says which one instrument plays.
    """
    source, takes = source_of(folder), []
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES):
        if path.stem in _LOOPS:
            name = f"{source.short}/{path.stem}"
            takes.append(Take(str(path), *_LOOPS[path.stem], name, source.licence, name))
    return takes
