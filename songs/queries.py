"""Evidence of an instrument, from files and from marks in the song, and what its user should know of its quality."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from fewshot_sep import audio, levels
from fewshot_sep.errors import BadQuery
from fewshot_sep.prompt import ROLES, ByRole, Role
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
MAX_PIECES = 64  # of a long passage that are read, each a segment of the separator

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
    span: Span | None = None
    """Where it lies in the song, if it does."""


class Evidence(NamedTuple):
    """What shows the target in any song, by role: clips, encoded once, and passages of the song itself, in seconds."""

    clips: ByRole[EncodedClip]
    spans: ByRole[Span] = ByRole()

    def within(self, separator: Separator, song: audio.AudioFile) -> ByRole[EncodedClip]:
        """All clips, with those that the marks cut from an open song. Raises BadQuery."""
        of_roles = zip(ROLES, self.clips, self.spans, strict=True)
        return ByRole(
            *(
                [*clips, *(encode_span(separator, song, span, role) for span in spans)]
                for role, clips, spans in of_roles
            )
        )


def encode(
    separator: Separator, name: str, samples: Array, sample_rate: int, role: Role = "alone", span: Span | None = None
) -> EncodedClip:
    """Encode a clip `(channels, samples)`. Raises BadQuery, which calls it by its name."""
    encoding = separator.encode(samples, sample_rate, name)
    logit = separator.polyphony_logit(encoding) if role == "alone" else None
    digest = hashlib.sha256(samples.tobytes() + str(sample_rate).encode()).hexdigest()
    return EncodedClip(name, encoding, examine(samples, sample_rate, logit, role), digest, span)


def encode_files(separator: Separator, paths: ByRole[Path], *, strict: bool = False) -> ByRole[EncodedClip]:
    """Read and encode sound files, or those in a folder. Raises BadAudio and BadQuery."""
    return ByRole(
        *(
            [
                encode(separator, str(file), *audio.read(file, strict=strict), role)
                for path in given
                for file in (sound_files(path) if path.is_dir() else [path])
            ]
            for role, given in zip(ROLES, paths, strict=True)
        )
    )


def encode_span(separator: Separator, song: audio.AudioFile, span: Span, role: Role = "alone") -> EncodedClip:
    """Encode a passage of an open song. Raises BadQuery, also where it ends after the song."""
    start, stop = (round(seconds * song.sample_rate) for seconds in span)
    name = f"passage {_text(span)} s"
    if stop > song.frames:
        raise BadQuery(f"{song.path}: {name} ends after the song, which lasts {song.frames / song.sample_rate:.2f} s")
    return encode(separator, name, read_passage(separator, song, start, stop), song.sample_rate, role, span)


def read_passage(separator: Separator, song: audio.Source, start: int, stop: int) -> Array:
    """Frames [start, stop) of a song; of a long passage pieces that are spread over it, so that memory is bounded."""
    piece = round(separator.preset.segment * song.sample_rate / separator.preset.sample_rate)
    if stop - start <= MAX_PIECES * piece:
        return song.read(start, stop)
    starts = np.linspace(start, stop - piece, MAX_PIECES).astype(int)
    return np.concatenate([song.read(int(at), int(at) + piece) for at in starts], axis=1)


def check_spans(spans: ByRole[Span]) -> None:
    """Raise BadQuery where a passage both has the instrument and has it not."""
    for there in (*spans.alone, *spans.among):
        for absent in spans.absent:
            if max(there[0], absent[0]) < min(there[1], absent[1]):
                raise BadQuery(
                    f"passages {_text(there)} s, where the instrument plays, and {_text(absent)} s, where it does not, "
                    "overlap: move one of them"
                )


def _text(span: Span) -> str:
    return f"{span[0]:g}-{span[1]:g}"


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


def examine(samples: Array, sample_rate: int, polyphony_logit: float | None = None, role: Role = "alone") -> Quality:
    """The quality of a clip `(channels, samples)` in its role, given what the model says of it."""
    frame = max(round(FRAME_SECONDS * sample_rate), 1)
    power = levels.frame_power(samples, frame)
    active = levels.active(power, RANGE_DB)
    seconds = float(min(active.sum() * frame, samples.shape[1]) / sample_rate)
    level = float(10 * np.log10(power[active].mean())) if active.any() else -120.0
    remarks = []
    if seconds < SHORT_SECONDS:
        advice = "2 to 10 s are better" if role == "alone" else "more is better"
        remarks.append(f"only {seconds:.1f} s of it sound; {advice}")
    if level < QUIET_DBFS and role != "absent":
        remarks.append(f"it is quiet ({level:.0f} dBFS): noise may be taken for the instrument")
    if role == "alone" and polyphony_logit is not None and polyphony_logit > POLYPHONIC_LOGIT:
        remarks.append("more than one instrument seems to play in it: what is found may be any of them")
    quality: Quality = {"sound (s)": round(seconds, 2), "level (dBFS)": round(level, 1), "remarks": remarks}
    if polyphony_logit is not None:
        quality["polyphony_logit"] = round(polyphony_logit, 2)
    return quality
