"""Sound files and arrays at the boundary: the only place that opens or writes sound files."""

from fewshot_sep.audio.files import AudioFile, Facts, check_header, decode, open_audio, read
from fewshot_sep.audio.samples import ArraySource, Samples, Source, check_rate, fit, resample, validate
from fewshot_sep.audio.writer import AudioWriter, check_writable, encode, write

__all__ = [
    "ArraySource",
    "AudioFile",
    "AudioWriter",
    "Facts",
    "Samples",
    "Source",
    "check_header",
    "check_rate",
    "check_writable",
    "decode",
    "encode",
    "fit",
    "open_audio",
    "read",
    "resample",
    "validate",
    "write",
]
