"""Drum kits of one-shots: Hydrogen's kits, kits put together from folders of samples and of single hits."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from fewshot_sep.errors import BadAudio
from fewshot_sep.loops import tables
from fewshot_sep.loops.instruments import sound_files
from fewshot_sep.loops.instruments.general_midi import drums_among
from fewshot_sep.loops.instruments.sampler import Hit, KitVoice
from fewshot_sep.loops.instruments.sound_files import Source, source_of
from fewshot_sep.loops.instruments.voice import Playable, Voice

_DRUM_NAMES = [(row["pattern"], row["key"]) for row in tables.beside(__file__, "drum_names.csv")]


def drum_key(name: str) -> int | None:
    """The drum key that a sound's name stands for, if any: the first pattern of `drum_names.csv` found decides.

    >>> drum_key("Pearl Snare"), drum_key("Closed HH"), drum_key("Open HH"), drum_key("Waterglass")
    (38, 42, 46, None)
    """
    key = next((key for pattern, key in _DRUM_NAMES if re.search(pattern, name.strip().lower())), "")
    return int(key) if key else None


def kit_voices(hits: Sequence[Hit], source: Source) -> list[Voice]:
    """The full kit if it has kick, snare and a cymbal; each of its parts; each hand percussion instrument in it."""
    keys = {hit.key for hit in hits}
    full = all(keys & needed for needed in ({35, 36}, {38, 40}, {42, 46, 51}))
    return [
        KitVoice(*drum, *source, tuple(hit for hit in hits if not drum.keys or hit.key in drum.keys))
        for drum in drums_among(keys)
        if full or drum.instrument != "drums"
    ]


def drumkit_voices(folder: Path) -> list[Voice]:
    """Voices of every Hydrogen drum kit (a folder with `drumkit.xml`) under `folder`."""
    voices: list[Voice] = []
    for sheet in sorted(folder.rglob("drumkit.xml")):
        try:
            root = ElementTree.parse(sheet).getroot()
        except (ElementTree.ParseError, OSError) as error:
            raise BadAudio(f"{sheet}: cannot be read as a Hydrogen drum kit ({error})") from error
        hits: list[Hit] = []
        for instrument in root.iterfind(".//{*}instrument"):  # newer kits declare a namespace
            key = drum_key(instrument.findtext("{*}name") or "")
            if key is None or key in {hit.key for hit in hits}:
                continue
            for layer in [*instrument.iterfind(".//{*}layer")] or [instrument]:
                name, top = layer.findtext("{*}filename"), float(layer.findtext("{*}max") or 1)
                if name and (sheet.parent / name).is_file():
                    hits.append(Hit(key, top, str(sheet.parent / name)))
        if hits:
            voices += kit_voices(hits, source_of(sheet.parent))
    return voices


def sample_kit_voices(folder: Path) -> list[Voice]:
    """Drum kits and tabla put together from the single hits of a folder of samples named as Sonic Pi's are."""
    source = source_of(folder)
    paths = {path.stem: str(path) for path in sound_files.among(folder.iterdir())}
    kits: dict[str, dict[int, Hit]] = defaultdict(dict)
    for row in tables.beside(__file__, "sample_kits.csv"):
        if path := paths.get(row["sample"]):
            kits[row["kit"]].setdefault(int(row["key"]), Hit(int(row["key"]), 1.0, path))
    tabla = kits.pop("tabla", {})
    voices = [voice for name, kit in kits.items() for voice in kit_voices([*kit.values()], source.part(name))]
    if len(tabla) > 2:
        struck = Playable("tabla", "percussion", ("beat",), keys=tuple(tabla))
        voices.append(KitVoice(*struck, *source, tuple(tabla.values())))
    return voices


def shot_voices(folder: Path, kits: int = 4) -> list[Voice]:
    """`kits` drum kits dealt from a folder of single hits that are named as drums (`kick01`, `hihat_closed02`)."""
    source, found = source_of(folder), defaultdict[int, list[str]](list)
    for path in sound_files.among(folder.iterdir()):
        key = drum_key(re.sub(r"[\d_]+", " ", path.stem))
        if key is not None:
            found[key].append(str(path))
    voices: list[Voice] = []
    for number in range(kits):
        hits = [Hit(key, 1.0, paths[number]) for key, paths in found.items() if number < len(paths)]
        voices += kit_voices(hits, source.part(f"kit{number}"))
    return voices
