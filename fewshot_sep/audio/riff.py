"""The chunks of RIFF files: WAV (RIFF, RF64, BW64, RIFX) and AIFF.

Sources: "Multimedia Programming Interface and Data Specifications 1.0" (IBM, Microsoft, 1991); EBU Tech 3306 (RF64);
"Audio Interchange File Format" (Apple, 1989).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple


class Chunk(NamedTuple):
    """One chunk: `size` bytes as the file declares them, whether or not they are there, from byte `start` on.

    order: "<" or ">", the byte order of its numbers, as `struct` takes it.
    """

    name: bytes
    start: int
    size: int
    order: str

    def read(self, file: BinaryIO, limit: int) -> bytes:
        """What there is of its first `limit` bytes."""
        file.seek(self.start)
        return file.read(min(self.size, limit))


def chunks(file: BinaryIO) -> Iterator[Chunk]:
    """Walk the chunks of a WAV or AIFF file; none for any other. Damage ends the walk without an error."""
    file.seek(0)
    head = file.read(12)
    container, form = head[:4], head[8:]
    if container in (b"RIFF", b"RF64", b"BW64") and form == b"WAVE":
        order = "<"
    elif (container == b"RIFX" and form == b"WAVE") or (container == b"FORM" and form in (b"AIFF", b"AIFC")):
        order = ">"
    else:
        return
    position, long_size = 12, 0
    while True:
        try:
            file.seek(position)
        except (OSError, ValueError):  # so large is no file
            return
        header = file.read(8)
        if len(header) < 8:
            return
        name, (size,) = header[:4], struct.unpack(order + "I", header[4:])
        if name == b"ds64" and len(sizes := file.read(16)) == 16:
            long_size = struct.unpack("<8xQ", sizes)[0]
        if name == b"data" and size == 0xFFFFFFFF and long_size:
            size = long_size
        yield Chunk(name, position + 8, size, order)
        position += 8 + size + size % 2
