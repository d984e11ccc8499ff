"""The length that a sound file declares, so that a truncated file can be told from a short one.

Decoders don't tell: half a wav, ogg or mp3 decodes without an error.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import NamedTuple

from fewshot_sep.audio import riff

# Data sizes that recorders write when they cannot know the length yet (ffmpeg, sox, arecord writing to a pipe).
_UNKNOWN_SIZES = frozenset({0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF})
_OGG_PAGE_MAX_BYTES = 65307


class Promise(NamedTuple):
    """Length that a file declares: `frames` (None: it does not say); `complete` is False where its end is missing."""

    frames: int | None
    complete: bool = True


class SampleChunk(NamedTuple):
    """The chunk of a wav or aiff file that holds the samples: bytes `declared` by it, bytes `present` in the file."""

    declared: int
    present: int


def sample_chunk(path: Path) -> SampleChunk | None:
    """Find the sample chunk of a wav or aiff file; None for other files and where the size is not declared."""
    with path.open("rb") as file:
        for chunk in riff.chunks(file):
            if chunk.name in (b"data", b"SSND"):
                if chunk.size in _UNKNOWN_SIZES:
                    return None
                prefix = 8 if chunk.name == b"SSND" else 0
                return SampleChunk(chunk.size - prefix, max(0, path.stat().st_size - chunk.start - prefix))
    return None


class Patch(NamedTuple):
    """Bytes to be read at a position instead of those in the file."""

    position: int
    content: bytes


def unset_size(path: Path) -> Patch | None:
    """Where a wav or au file says that it has no samples though it has: what its size field should hold, else None.

    Recorders write 0 first, and the size when they stop; if they crash the 0 stays.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(24)
        if head[:4] in (b".snd", b"dns.") and len(head) == 24:
            order = ">" if head[:4] == b".snd" else "<"
            start, declared = struct.unpack(order + "II", head[4:12])
            return Patch(8, struct.pack(order + "I", size - start)) if not declared and start < size else None
        chunks = riff.chunks(file)
        for chunk in chunks:
            if chunk.name == b"data":
                following = next(chunks, None)
                other_chunk = (
                    following and following.name.strip().isalnum() and following.start + following.size <= size
                )
                if chunk.size or other_chunk or chunk.start == size:
                    return None
                return Patch(chunk.start - 4, struct.pack(chunk.order + "I", min(size - chunk.start, 2**32 - 2**16)))
    return None


def ogg_is_complete(path: Path) -> bool:
    """Whether the last page of an Ogg file is whole and carries the end-of-stream flag (RFC 3533, section 6)."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2 * _OGG_PAGE_MAX_BYTES))
        tail = file.read()
    page = tail[max(0, tail.rfind(b"OggS\0")) :]
    if len(page) < 27 or not page[5] & 4:
        return False
    lacing = page[27 : 27 + page[26]]
    return len(lacing) == page[26] and len(page) >= 27 + len(lacing) + sum(lacing)


_MP3_KBPS = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MP3_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def _mp3_frame(header: bytes) -> tuple[int, int] | None:
    """Bytes and samples of the MPEG layer III frame that begins with these four bytes; None where none begins."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer, bitrate, rate = header[1] >> 3 & 3, header[1] >> 1 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or layer != 1 or bitrate in (0, 15) or rate == 3:
        return None
    mpeg1 = version == 3
    padding = header[2] >> 1 & 1
    length = (144 if mpeg1 else 72) * _MP3_KBPS[mpeg1][bitrate] * 1000 // _MP3_RATES[version][rate] + padding
    return length, 1152 if mpeg1 else 576


def mp3_promise(path: Path) -> Promise | None:
    """Count the samples of an mp3 file frame by frame; None where there are none, or its first header is right.

    Without a Xing/Info header decoders guess the length from the first frame's bitrate; of files put one after the
    other they believe the first one's. Some stop there.
    """
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            start = _mp3_start(data, 0)
            if start is None:
                return None
            first, samples, complete = start, 0, True
            while start is not None:  # over tags and damage between frames
                position = start
                while frame := _mp3_frame(data[position : position + 4]):
                    # A header frame holds no sound, though some decoders give silence for it.
                    samples += frame[1] * (not _has_frame_count(data[position : position + 64]))
                    position += frame[0]
                complete = position <= len(data)
                start = _mp3_start(data, position)
            stated = _frame_count(data[first : first + 64])
            if stated is None:
                return Promise(samples, complete)
            per_frame = (_mp3_frame(data[first : first + 4]) or (0, 0))[1]
            return Promise(samples, complete) if samples > (stated + 1) * per_frame else None


def _frame_count(frame: bytes) -> int | None:
    """What a Xing/Info header says."""
    at = max(frame.find(b"Xing"), frame.find(b"Info"))
    return int.from_bytes(frame[at + 8 : at + 12], "big") if _has_frame_count(frame) else None


def _has_frame_count(frame: bytes) -> bool:
    at = max(frame.find(b"Xing"), frame.find(b"Info"))
    return at >= 0 and len(frame) >= at + 8 and bool(frame[at + 7] & 1)


def _mp3_start(data: mmap.mmap, position: int) -> int | None:
    """Where the first of two adjoining frames begins from a position on, after any ID3 tags."""
    while data[position : position + 3] == b"ID3" and len(data) >= position + 10:
        a, b, c, d = (byte & 0x7F for byte in data[position + 6 : position + 10])
        position += 10 + (a << 21 | b << 14 | c << 7 | d)
    while (position := data.find(b"\xff", position)) >= 0:
        frame = _mp3_frame(data[position : position + 4])
        if frame and _mp3_frame(data[position + frame[0] : position + frame[0] + 4]):
            return position
        position += 1
    return None
