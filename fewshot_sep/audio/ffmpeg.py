"""Blocks of samples from FFmpeg's decoders (PyAV), see `fewshot_sep.audio.decoders`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer

from fewshot_sep.audio.declared_length import Promise
from fewshot_sep.audio.samples import Samples
from fewshot_sep.errors import BadAudio

# FFmpeg's demuxers of sound. Playlists and scripts, which name other files and hosts, are not among them.
_STATE_LENGTH = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,asf,avi,flv,mxf,rm,nut,ogg,flac,wav,w64,aiff,caf,au,voc,"
    "ape,tta,wv,mpc,mpc8,tak,oma,dsf,iff,qcp"
)
_GUESS_LENGTH = "aac,loas,mp3,ac3,eac3,ac4,dts,dtshd,truehd,mlp,amr,amrnb,amrwb,shn,mpeg,mpegts"


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
        self._has_video = False
        first = next((frame for packet in self._packets() for frame in self._decode(packet)), None)
        if first is None:
            raise BadAudio(f"{path}: is not audio that can be read")
        self.sample_rate, self.channels = first.sample_rate, first.layout.nb_channels
        self._layout = first.layout.name

    def blocks(self) -> Iterator[Samples]:
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
        with self.path.open("rb") as file:
            try:
                options = {"format_whitelist": f"{_STATE_LENGTH},{_GUESS_LENGTH}", "protocol_whitelist": "none"}
                container = av.open(file, "r", options=options, metadata_errors="replace")
            except av.FFmpegError as error:
                raise BadAudio(f"{self.path}: is not audio that can be read") from error
            with container:
                streams = container.streams.audio
                if self._stream >= len(streams):
                    number = f" number {self._stream}" if self._stream else ""
                    raise BadAudio(f"{self.path}: has no audio stream{number}")
                stream = streams[self._stream]
                if container.format.name.split(",")[0] in _STATE_LENGTH.split(","):
                    self._note_length(container, stream)
                try:
                    for packet in container.demux(stream):
                        self.damaged |= packet.is_corrupt
                        yield packet
                except av.FFmpegError:
                    self.damaged = True

    def _note_length(self, container: InputContainer, stream: av.AudioStream) -> None:
        if stream.duration is not None and stream.time_base is not None:
            self._seconds = float(stream.duration * stream.time_base)
        elif container.duration is not None:
            self._seconds = container.duration / av.time_base
            self._has_video = bool(container.streams.video)

    def _decode(self, packet: av.Packet[av.AudioStream]) -> list[av.AudioFrame]:
        try:
            return packet.decode()
        except av.FFmpegError:
            self.damaged = True
            return []


def _samples(packet: av.Packet[av.AudioStream], sample_rate: int) -> int | None:
    """The packet's duration in samples; None where it does not say, or its clock is coarser than every other sample."""
    tick = sample_rate * (packet.time_base or 0)
    return int(packet.duration * tick) if packet.duration and tick in (1, 2) else None
