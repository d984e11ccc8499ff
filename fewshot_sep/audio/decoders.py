"""From bytes on disk to blocks of samples, front to back: libsndfile, and FFmpeg for what that cannot open.

Front to back because seeking in mp3 and ogg is not exact: libsndfile gives other samples after a seek than before it,
and the soundfile package seeks after every read. `fewshot_sep.audio.files` builds exact random access on top.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import soundfile

from fewshot_sep.audio import declared_length
from fewshot_sep.audio.declared_length import Promise
from fewshot_sep.audio.samples import Samples

if TYPE_CHECKING:
    from fewshot_sep.audio.ffmpeg import FfmpegDecoder

BLOCK_FRAMES = 4096
_EXACT_SUBTYPES = frozenset({"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"})
_ENDLESS = 1 << 60  # libsndfile's frame count for a flac stream of unknown length is above this


def open_decoder(path: Path, stream: int = 0) -> Decoder:
    """Find what can decode `path`; BadAudio where nothing can.

    `stream`: which of several audio streams, in containers that have more than one.
    """
    # TypeError: soundfile wants more facts about a file named .raw
    with contextlib.suppress(soundfile.LibsndfileError, TypeError):
        decoder = SoundfileDecoder(path)
        if not decoder.stops_early():
            return decoder
    from fewshot_sep.audio.ffmpeg import FfmpegDecoder  # large, and most need it for no file

    return FfmpegDecoder(path, stream)


def libraries() -> dict[str, str]:
    """What decodes which files, with versions."""
    import av

    return {
        "wav, flac, ogg, mp3, ...": f"libsndfile {soundfile.__libsndfile_version__}",
        "m4a, webm, wma, ...": f"FFmpeg {av.ffmpeg_version_info} in PyAV {av.__version__}",
    }


def system_path(path: Path) -> str | bytes:
    """The path as libsndfile takes it, also where its name is not valid unicode."""
    return os.fsencode(path) if os.name == "posix" else str(path)


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is only read forward; in a seekable one soundfile seeks after each read, which corrupts mp3."""

    def seekable(self) -> bool:
        return False


class SoundfileDecoder:
    """Whatever libsndfile opens: wav, flac, ogg, opus, mp3, aiff, caf, ... Raises LibsndfileError where it does not.

    `exact`: whether libsndfile's own seeking in the file is exact. `damaged`: the last pass met an error.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _Forward(system_path(path)) as file:
            self.sample_rate: int = file.samplerate
            self.channels: int = file.channels
            self.format: str = file.format
            self._header_frames: int = file.frames
            self.exact: bool = file.subtype in _EXACT_SUBTYPES and file.frames < _ENDLESS
            try:
                self.tags: dict[str, str] = dict(file.copy_metadata())
            except UnicodeDecodeError:
                self.tags = {}
        self.damaged = False

    def blocks(self) -> Iterator[Samples]:
        """Yield blocks (channels, n) from the first frame to the last readable one."""
        self.damaged = False
        with _Forward(system_path(self.path)) as file:
            while True:
                block = np.empty((BLOCK_FRAMES, self.channels), np.float32)
                try:
                    block = file.read(out=block)
                except soundfile.LibsndfileError:
                    self.damaged = True
                    return
                if not len(block):
                    return
                yield block.T

    def promise(self) -> Promise:
        """The length that the file declares; to be called after a whole pass over `blocks`."""
        frames = self._header_frames if self._header_frames < _ENDLESS else None
        if self.format == "OGG":
            return Promise(frames, complete=declared_length.ogg_is_complete(self.path))
        if self.format == "MP3":
            return declared_length.mp3_promise(self.path) or Promise(frames)
        chunk = declared_length.sample_chunk(self.path)
        if frames and chunk and chunk.declared > chunk.present > 0:
            bytes_per_frame = chunk.present // frames
            whole = chunk.declared // bytes_per_frame if bytes_per_frame else frames * chunk.declared // chunk.present
            return Promise(max(whole, frames), complete=False)
        return Promise(frames)

    def stops_early(self) -> bool:
        """Whether libsndfile would leave out the end of a good file: an mp3 of variable bitrate without Xing header."""
        counted = declared_length.mp3_promise(self.path) if self.format == "MP3" else None
        return bool(counted and counted.frames and counted.frames > self._header_frames + self.sample_rate // 10)


Decoder: TypeAlias = "SoundfileDecoder | FfmpegDecoder"
