"""From bytes on disk to blocks of samples, front to back: libsndfile, and ffmpeg for what libsndfile cannot open.

Front to back because seeking in mp3 and ogg is not exact: libsndfile gives other samples after a seek than before it,
and the soundfile package seeks after every read. `fewshot_sep.audio` builds exact random access on top.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from fewshot_sep.audio import declared_length
from fewshot_sep.audio.declared_length import Promise
from fewshot_sep.errors import BadAudio, EngineMissing

BLOCK_FRAMES = 4096
_EXACT_SUBTYPES = frozenset({"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"})
_ENDLESS = 1 << 60  # libsndfile's frame count for a flac stream of unknown length is above this


class Decoder(Protocol):
    """Decodes one file, front to back, as often as asked.

    `seekable`: whether libsndfile's own seeking in the file is exact. `damaged`: the last pass met an error.
    """

    sample_rate: int
    channels: int
    seekable: bool
    damaged: bool

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield blocks (channels, n) from the first frame to the last readable one."""

    def promise(self) -> Promise:
        """What the file says about its own length; to be asked after a whole pass over `blocks`."""


def system_path(path: Path) -> str | bytes:
    """The path as libsndfile takes it, also where its name is not valid unicode."""
    return os.fsencode(path) if os.name == "posix" else str(path)


class _Forward(soundfile.SoundFile):
    """A file that is only read forward; for a seekable one soundfile seeks after each read, which corrupts mp3."""

    def seekable(self) -> bool:
        return False


class SoundfileDecoder:
    """Whatever libsndfile opens: wav, flac, ogg, opus, mp3, aiff, caf, ... Raises LibsndfileError where it does not."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with _Forward(system_path(path)) as file:
            self.sample_rate: int = file.samplerate
            self.channels: int = file.channels
            self.format: str = file.format
            self._header_frames: int = file.frames
            self.seekable = file.subtype in _EXACT_SUBTYPES and file.frames < _ENDLESS
        self.damaged = False

    def blocks(self) -> Iterator[NDArray[np.float32]]:
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


def ffmpeg_program() -> str | None:
    """Path of an ffmpeg: that of the imageio-ffmpeg package (extra `m4a`), else the one on the PATH, else None."""
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        return shutil.which("ffmpeg")


class FfmpegDecoder:
    """One audio stream of whatever ffmpeg opens (m4a, aac, mp4, webm, wma, ...), piped as 32-bit float `.au`."""

    seekable = False

    def __init__(self, path: Path, program: str, stream: int = 0) -> None:
        self.path = path
        self._stream = stream
        self._program = program
        self._log = ""
        self.damaged = False
        self.sample_rate, self.channels = 0, 0
        blocks = self.blocks()
        next(blocks, None)
        blocks.close()
        if not self.channels:
            missing = f"has no audio stream{f' number {stream}' if stream else ''}"
            problem = missing if "matches no streams" in self._log else "is not audio that can be read"
            raise BadAudio(f"{path}: {problem}")

    def blocks(self) -> Generator[NDArray[np.float32]]:
        # `file:` lets names begin with a dash or hold a colon; the whitelist keeps playlists off the network.
        command = [self._program, "-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+info"]
        command += ["-protocol_whitelist", "file,pipe", "-i", f"file:{self.path}", "-map", f"0:a:{self._stream}", "-vn"]
        command += ["-c:a", "pcm_f32be", "-f", "au", "pipe:1"]
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
            assert process.stdout is not None
            try:
                header = process.stdout.read(24)
                if len(header) == 24:
                    offset, self.sample_rate, self.channels = struct.unpack(">4xI8x2I", header)
                    process.stdout.read(offset - 24)
                    width = 4 * self.channels
                    while data := process.stdout.read(BLOCK_FRAMES * width):
                        whole = np.frombuffer(data, ">f4", count=len(data) // width * self.channels)
                        yield np.ascontiguousarray(whole.reshape(-1, self.channels).T, np.float32)
                process.wait()
            finally:
                process.kill()
                process.stdout.close()
                process.wait()
                log.seek(0)
                self._log = log.read().decode(errors="replace")
                self.damaged = "[error]" in self._log

    def promise(self) -> Promise:
        """The container's duration, except where ffmpeg guessed it, or a video may be longer than its sound."""
        duration = re.search(r"Duration: (\d+):(\d+):([\d.]+)", self._log)
        guessed = "Estimating duration" in self._log or ("Video:" in self._log and not self.damaged)
        if not duration or guessed:
            return Promise(None)
        hours, minutes, seconds = duration.groups()
        return Promise(round((int(hours) * 3600 + int(minutes) * 60 + float(seconds)) * self.sample_rate))


def open_decoder(path: Path, stream: int = 0) -> Decoder:
    """Find what can decode `path`; BadAudio where nothing can, EngineMissing where ffmpeg could but is not there.

    `stream`: which of several audio streams, in containers that have more than one.
    """
    try:
        decoder = SoundfileDecoder(path)
    except (soundfile.LibsndfileError, TypeError):  # TypeError: soundfile wants more facts about a file named .raw
        program = ffmpeg_program()
        if program:
            return FfmpegDecoder(path, program, stream)
        if _is_ffmpegs(path):
            raise EngineMissing(
                f"{path}: reading this format needs ffmpeg; install it with: pip install 'fewshot-sep[m4a]'"
            ) from None
        raise BadAudio(f"{path}: is not audio that can be read (wav, flac, ogg, opus, mp3, aiff, m4a)") from None
    if decoder.stops_early() and (program := ffmpeg_program()):
        return FfmpegDecoder(path, program)
    return decoder


def _is_ffmpegs(path: Path) -> bool:
    """Whether the file begins like mp4/m4a, Matroska/WebM, ASF/WMA or raw AAC."""
    with path.open("rb") as file:
        head = file.read(8)
    marks = (b"\x1a\x45\xdf\xa3", b"\x30\x26\xb2\x75", b"\xff\xf1", b"\xff\xf9")
    return head[4:] == b"ftyp" or head.startswith(marks)
