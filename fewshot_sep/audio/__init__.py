"""Sound files and arrays at the boundary: reading, validating, resampling, writing."""

from fewshot_sep.audio.files import (
    ArraySource,
    AudioFile,
    AudioWriter,
    Samples,
    Source,
    open_audio,
    read,
    resample,
    to_mp3,
    validate,
    write,
)

__all__ = [
    "ArraySource",
    "AudioFile",
    "AudioWriter",
    "Samples",
    "Source",
    "open_audio",
    "read",
    "resample",
    "to_mp3",
    "validate",
    "write",
]
