"""Query clips from files and from passages of the song, and what their user should know of their quality."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from fewshot_sep import audio, levels
from fewshot_sep.errors import BadQuery
from fewshot_sep.songs.jobs import sound_files

if TYPE_CHECKING:  # torch, which the command does without until it has work
    from fewshot_sep.separator import Encoding, Separator

Array = NDArray[np.float32]
Span = tuple[float, float]
Clip = tuple[Array, int]

SHORT_SECONDS = 1.5
QUIET_DBFS = -45.0
RANGE_DB = 40.0  # below the clip's loudest frame it does not sound
FRAME_SECONDS = 0.05
POLYPHONIC_LOGIT = 0.0

Quality = TypedDict(
    "Quality",
    {"sound (s)": float, "level (dBFS)": float, "polyphony_logit": NotRequired[float], "remarks": list[str]},
)
"""How long a clip sounds, silence left out; the level of what sounds; log odds that more than one instrument plays,
where the model can tell; what its user should know, one line each."""


class EncodedClip(NamedTuple):
    """What is kept of a clip: its name, what the network needs of it, its quality, and a digest of its samples."""

    name: str
    encoding: Encoding
    quality: Quality
    digest: str


class Evidence(NamedTuple):
    """What tells the target from the rest in any song: clips of both, and passages of the song itself, in seconds."""

    positive: Sequence[EncodedClip]
    negative: Sequence[EncodedClip] = ()
    spans: Sequence[Span] = ()


def encode(separator: Separator, name: str, samples: Array, sample_rate: int) -> EncodedClip:
    """Encode a clip `(channels, samples)`. Raises BadQuery, which calls it by its name."""
    encoding = separator.encode(samples, sample_rate, name)
    quality = examine(samples, sample_rate, separator.polyphony_logit(encoding))
    digest = hashlib.sha256(samples.tobytes() + str(sample_rate).encode()).hexdigest()
    return EncodedClip(name, encoding, quality, digest)


def encode_files(separator: Separator, paths: Sequence[Path], *, strict: bool = False) -> list[EncodedClip]:
    """Read and encode sound files, or those in a folder. Raises BadAudio and BadQuery."""
    files = [file for path in paths for file in (sound_files(path) if path.is_dir() else [path])]
    return [encode(separator, str(file), *audio.read(file, strict=strict)) for file in files]


def encode_span(separator: Separator, source: audio.AudioFile, span: Span) -> EncodedClip:
    """Encode a passage of an open song. Raises BadQuery, also where it ends after the song."""
    start, stop = (round(seconds * source.sample_rate) for seconds in span)
    name = f"passage {span[0]:g}-{span[1]:g} s"
    if stop > source.frames:
        raise BadQuery(
            f"{source.path}: {name} ends after the song, which lasts {source.frames / source.sample_rate:.2f} s"
        )
    return encode(separator, name, source.read(start, stop), source.sample_rate)


def parse_span(text: str) -> Span:
    """ "0:12-0:18" or "12.5-18" -> seconds (from, to). Raises BadQuery."""
    moment = r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)"
    found = re.fullmatch(rf"\s*{moment}\s*-\s*{moment}\s*", text)
    if not found:
        raise BadQuery(f"passage {text!r}: write it like 0:12-0:18")
    values = [float(group or 0) for group in found.groups()]
    start, stop = (h * 3600 + m * 60 + s for h, m, s in (values[:3], values[3:]))
    if stop <= start:
        raise BadQuery(f"passage {text!r}: ends before it begins")
    return start, stop


def examine(samples: Array, sample_rate: int, polyphony_logit: float | None = None) -> Quality:
    """The quality of a clip `(channels, samples)`, given what the model says of it."""
    frame = max(round(FRAME_SECONDS * sample_rate), 1)
    power = levels.frame_power(samples, frame)
    active = levels.active(power, RANGE_DB)
    seconds = float(min(active.sum() * frame, samples.shape[1]) / sample_rate)
    level = float(10 * np.log10(power[active].mean())) if active.any() else -120.0
    remarks = []
    if seconds < SHORT_SECONDS:
        remarks.append(f"only {seconds:.1f} s of it sound; 2 to 10 s are better")
    if level < QUIET_DBFS:
        remarks.append(f"it is quiet ({level:.0f} dBFS): noise may be taken for the instrument")
    if polyphony_logit is not None and polyphony_logit > POLYPHONIC_LOGIT:
        remarks.append("more than one instrument seems to play in it: what is found may be any of them")
    quality: Quality = {"sound (s)": round(seconds, 2), "level (dBFS)": round(level, 1), "remarks": remarks}
    if polyphony_logit is not None:
        quality["polyphony_logit"] = round(polyphony_logit, 2)
    return quality
