"""Sound files and arrays at the boundary: the only place that opens or writes sound files."""

from fewshot_sep.audio.files import AudioFile, header_seconds, open_audio, read, read_unchecked
from fewshot_sep.audio.samples import ArraySource, Samples, Source, resample, validate
from fewshot_sep.audio.writer import AudioWriter, encode, write

__all__ = [
    "ArraySource",
    "AudioFile",
    "AudioWriter",
    "Samples",
    "Source",
    "encode",
    "header_seconds",
    "open_audio",
    "read",
    "read_unchecked",
    "resample",
    "validate",
    "write",
]
