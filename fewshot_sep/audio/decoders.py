"""From bytes on disk to blocks of samples, front to back: libsndfile, and FFmpeg (PyAV) for what that cannot open.

Front to back because seeking in mp3 and ogg is not exact: libsndfile gives other samples after a seek than before it,
and the soundfile package seeks after every read. `fewshot_sep.audio.files` builds exact random access on top.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import soundfile

from fewshot_sep.audio import declared_length
from fewshot_sep.audio.declared_length import Patch, Promise
from fewshot_sep.audio.samples import Samples
from fewshot_sep.errors import BadAudio

if TYPE_CHECKING:  # it is large, and most need it for no file
    import av
    from av.container import InputContainer

BLOCK_FRAMES = 4096
_EXACT_SUBTYPES = frozenset({"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"})
_TAGS = ("title", "copyright", "software", "artist", "comment", "date", "album", "license", "tracknumber", "genre")
_TAG_NAMES = {"track": "tracknumber", "encoder": "software", "year": "date"}
_ENDLESS = 1 << 60  # libsndfile's frame count for a flac stream of unknown length is above this

# FFmpeg's demuxers of sound. Playlists and scripts, which name other files and hosts, are not among them.
_STATE_LENGTH = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,asf,avi,flv,mxf,rm,nut,ogg,flac,wav,w64,aiff,caf,au,voc,"
    "ape,tta,wv,mpc,mpc8,tak,oma,dsf,iff,qcp"
)
_GUESS_LENGTH = "aac,loas,mp3,ac3,eac3,ac4,dts,dtshd,truehd,mlp,amr,amrnb,amrwb,shn,mpeg,mpegts"


def open_decoder(path: Path, stream: int = 0) -> Decoder:
    """Find what can decode `path`; BadAudio where nothing can.

    `stream`: which of several audio streams, in containers that have more than one.
    """
    try:
        decoder = SoundfileDecoder(path)
    except (soundfile.LibsndfileError, TypeError):  # TypeError: soundfile wants more facts about a file named .raw
        return FfmpegDecoder(path, stream)
    return FfmpegDecoder(path) if decoder.stops_early() else decoder


_hush = threading.Lock()


@contextlib.contextmanager
def _quiet(hush: bool) -> Iterator[None]:
    """Without what mpg123, inside libsndfile, prints of damaged mp3 files: this package says that, once."""
    if not hush or not _hush.acquire(blocking=False):
        yield
        return
    try:
        try:
            kept = os.dup(2)
        except OSError:  # it is closed
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
    finally:
        _hush.release()


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


class _Seekable(io.FileIO):
    """A file for FFmpeg, which asks a damaged one for positions that cannot be; PyAV prints exceptions."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        try:
            return super().seek(offset, whence)
        except (OSError, ValueError):
            return -1


class _Patched(io.FileIO):
    """A file with some bytes read as others."""

    def __init__(self, path: Path, patch: Patch) -> None:
        super().__init__(path)
        self._patch = patch

    def readinto(self, buffer: Any, /) -> int | None:
        position = self.tell()
        count = super().readinto(buffer)
        for offset, byte in enumerate(self._patch.content, self._patch.position - position):
            if 0 <= offset < (count or 0):
                memoryview(buffer).cast("B")[offset] = byte
        return count


class SoundfileDecoder:
    """Whatever libsndfile opens: wav, flac, ogg, opus, mp3, aiff, caf, ... Raises LibsndfileError where it does not.

    `exact`: whether libsndfile's own seeking in the file is exact. `damaged`: the last pass met an error.
    """

    likely_seconds = 0.0  # see `promise`

    def __init__(self, path: Path) -> None:
        self.path = path
        self.format = ""
        self._patch = declared_length.unset_size(path)
        with self._opened() as file:
            self.sample_rate: int = file.samplerate
            self.channels: int = file.channels
            self.format = file.format
            self._header_frames: int = file.frames
            self.exact: bool = file.subtype in _EXACT_SUBTYPES and file.frames < _ENDLESS and not self._patch
            self.tags = _tags(file)
        self.damaged = False

    @contextlib.contextmanager
    def _opened(self) -> Iterator[_Forward]:
        with contextlib.ExitStack() as stack:
            source = stack.enter_context(_Patched(self.path, self._patch)) if self._patch else system_path(self.path)
            with _quiet(True):
                file = stack.enter_context(_Forward(source))
            yield file

    def blocks(self) -> Iterator[Samples]:
        """Yield blocks (channels, n) from the first frame to the last readable one."""
        self.damaged = False
        with self._opened() as file:
            while True:
                block = np.empty((BLOCK_FRAMES, self.channels), np.float32)
                try:
                    with _quiet(self.format == "MP3"):
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
        if self._patch:
            return Promise(frames, complete=False)
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
        """Whether libsndfile would leave out the end of an mp3 file, whose first header says less or nothing."""
        counted = declared_length.mp3_promise(self.path) if self.format == "MP3" else None
        return bool(counted and counted.frames and counted.frames > self._header_frames + self.sample_rate // 10)


class FfmpegDecoder:
    """One audio stream of whatever FFmpeg opens: m4a, aac, mp4, webm, wma, ...

    FFmpeg is given the open file, and may open no other (file, host or device), whatever stands in it.
    """

    exact = False

    def __init__(self, path: Path, stream: int = 0) -> None:
        self.path = path
        self.tags: dict[str, str] = {}
        self.damaged = False
        self._stream = stream
        self._seconds: float | None = None
        self.likely_seconds = 0.0
        self._has_video = False
        first = next((frame for packet in self._packets() for frame in self._decode(packet)), None)
        if first is None:
            raise BadAudio(f"{path}: is not audio that can be read")
        self.sample_rate, self.channels = first.sample_rate, first.layout.nb_channels
        self._layout = first.layout.name

    def blocks(self) -> Iterator[Samples]:
        import av

        self.damaged = False
        converters: dict[tuple[str, str, int], av.AudioResampler] = {}  # a stream may change its format on the way
        last: Samples = np.empty((self.channels, 0), np.float32)
        kept: int | None = None
        for packet in self._packets():
            for frame in self._decode(packet):
                form = (frame.format.name, frame.layout.name, frame.sample_rate)
                if form not in converters:
                    converters[form] = av.AudioResampler("fltp", self._layout, self.sample_rate)
                for converted in converters[form].resample(frame):
                    if last.size:
                        yield last
                    last = np.asarray(converted.to_ndarray(), np.float32)
                    kept = _samples(packet, self.sample_rate)
        yield last[:, :kept]  # what the last packet holds beyond its duration is the coder's padding

    def promise(self) -> Promise:
        """The stated duration; not where FFmpeg guessed it, or it may be that of a video longer than its sound."""
        if self._seconds is None or (self._has_video and not self.damaged):
            return Promise(None)
        return Promise(round(self._seconds * self.sample_rate))

    def _packets(self) -> Iterator[av.Packet[av.AudioStream]]:
        import av

        with _Seekable(self.path) as file:
            try:
                options = {"format_whitelist": f"{_STATE_LENGTH},{_GUESS_LENGTH}", "protocol_whitelist": "none"}
                container = av.open(file, "r", options=options, metadata_errors="replace")
                self.tags = self.tags or _tags_of(container)
            except av.FFmpegError as error:
                raise BadAudio(f"{self.path}: is not audio that can be read") from error
            with container:
                streams = container.streams.audio
                if self._stream >= len(streams):
                    number = f" number {self._stream}" if self._stream else ""
                    raise BadAudio(f"{self.path}: has no audio stream{number}")
                stream = streams[self._stream]
                self.likely_seconds = (container.duration or 0) / av.time_base
                if container.format.name.split(",")[0] in _STATE_LENGTH.split(","):
                    self._note_length(container, stream)
                try:
                    for packet in container.demux(stream):
                        self.damaged |= packet.is_corrupt
                        yield packet
                except (av.FFmpegError, IndexError):  # the second where a stream begins that the header has not
                    self.damaged = True

    def _note_length(self, container: InputContainer, stream: av.AudioStream) -> None:
        import av

        if stream.duration is not None and stream.time_base is not None:
            self._seconds = float(stream.duration * stream.time_base)
        elif container.duration is not None:
            self._seconds = container.duration / av.time_base
            self._has_video = bool(container.streams.video)

    def _decode(self, packet: av.Packet[av.AudioStream]) -> list[av.AudioFrame]:
        import av

        try:
            return packet.decode()
        except av.FFmpegError:
            self.damaged = True
            return []


def _tags(file: soundfile.SoundFile) -> dict[str, str]:
    """Title, artist and the like, those that are there; what is not UTF-8 is Latin-1, as in ID3v1."""
    found = {}
    for name in _TAGS:
        text = str(getattr(file, name))
        if "\ufffd" in text:  # soundfile puts that in place of what is not UTF-8; its own way to the bytes is private
            with contextlib.suppress(AttributeError, KeyError, UnicodeDecodeError):
                raw = soundfile._snd.sf_get_string(file._file, soundfile._str_types[name])
                text = soundfile._ffi.string(raw).decode("latin-1")
        found[name] = text
    return {name: text for name, text in found.items() if text}


def _tags_of(container: InputContainer) -> dict[str, str]:
    """The same where FFmpeg reads them: of the file, and of its first audio stream (Ogg)."""
    streams = container.streams.audio
    named = {**(streams[0].metadata if streams else {}), **container.metadata}
    found = {_TAG_NAMES.get(name.lower(), name.lower()): text for name, text in named.items()}
    return {name: text for name, text in found.items() if name in _TAGS and text}


def _samples(packet: av.Packet[av.AudioStream], sample_rate: int) -> int | None:
    """The packet's duration in samples; None where it does not say, or its clock is coarser than every other sample."""
    tick = sample_rate * (packet.time_base or 0)
    return int(packet.duration * tick) if packet.duration and tick in (1, 2) else None


Decoder: TypeAlias = SoundfileDecoder | FfmpegDecoder
