"""Plays tracker modules (.mod, .xm, .it, .s3m) with one instrument at a time: produced songs with exact stems.

By libopenmpt, the shared library of Debian's libopenmpt0, which is found as the dynamic linker finds libraries
(LD_LIBRARY_PATH where it lies elsewhere).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewshot_sep.errors import BadAudio, EngineMissing
from fewshot_sep.loops.library import SAMPLE_RATE

LIBRARY = "libopenmpt.so.0"
SUFFIXES = frozenset({".mod", ".xm", ".it", ".s3m"})
BLOCK_FRAMES = 4096

Stereo = NDArray[np.float32]
"""`(2, frames)` at `SAMPLE_RATE`."""

_MUTE_INSTRUMENT = 12
"""Place of `set_instrument_mute_status` among the 16 functions of openmpt_module_ext_interface_interactive."""
_SET_MUTE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int)


@lru_cache(maxsize=1)
def _openmpt() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise EngineMissing(
            f"tracker modules need {LIBRARY}; install Debian's libopenmpt0, or put it on LD_LIBRARY_PATH"
        ) from error
    pointer, number = ctypes.c_void_p, ctypes.c_int32
    library.openmpt_module_ext_create_from_memory.restype = pointer
    library.openmpt_module_ext_create_from_memory.argtypes = [pointer, ctypes.c_size_t, *[pointer] * 7]
    library.openmpt_module_ext_get_module.restype = pointer
    library.openmpt_module_ext_get_module.argtypes = [pointer]
    library.openmpt_module_ext_get_interface.argtypes = [pointer, ctypes.c_char_p, pointer, ctypes.c_size_t]
    library.openmpt_module_ext_destroy.argtypes = [pointer]
    for name in ("instruments", "samples"):
        getattr(library, f"openmpt_module_get_num_{name}").restype = number
        getattr(library, f"openmpt_module_get_num_{name}").argtypes = [pointer]
    library.openmpt_module_read_float_stereo.restype = ctypes.c_size_t
    library.openmpt_module_read_float_stereo.argtypes = [pointer, number, ctypes.c_size_t, pointer, pointer]
    return library


def available() -> bool:
    """Whether libopenmpt is there."""
    try:
        _openmpt()
    except EngineMissing:
        return False
    return True


@contextmanager
def _opened(path: Path) -> Iterator[tuple[int, int]]:
    """The module's handles, extended and plain."""
    library, data = _openmpt(), path.read_bytes()
    extended = library.openmpt_module_ext_create_from_memory(data, len(data), *[None] * 7)
    if not extended:
        raise BadAudio(f"{path}: cannot be read as a tracker module")
    try:
        yield extended, library.openmpt_module_ext_get_module(extended)
    finally:
        library.openmpt_module_ext_destroy(extended)


def instruments(path: Path) -> int:
    """How many instruments a module has; of one without, how many samples.

    Raises:
        BadAudio: the file is no tracker module.
        EngineMissing: libopenmpt is missing.
    """
    with _opened(path) as (_, module):
        return _count(module)


def _count(module: int) -> int:
    library = _openmpt()
    count = library.openmpt_module_get_num_instruments(module) or library.openmpt_module_get_num_samples(module)
    return int(count)


def play(path: Path, only: int | None = None, max_seconds: float = 90.0) -> Stereo:
    """The module from its beginning, once through, `(2, frames)`; with `only`, that instrument, counted from 0, alone.

    The sum over all instruments is the whole, as long as the module uses no randomness.

    Raises:
        BadAudio, EngineMissing: as above.
    """
    library = _openmpt()
    with _opened(path) as (extended, module):
        if only is not None:
            functions = (ctypes.c_void_p * 16)()
            if not library.openmpt_module_ext_get_interface(
                extended, b"interactive", ctypes.byref(functions), ctypes.sizeof(functions)
            ):
                raise EngineMissing(f"this {LIBRARY} cannot mute instruments; install 0.5 or later")
            mute = ctypes.cast(functions[_MUTE_INSTRUMENT], _SET_MUTE)  # type: ignore[arg-type]
            for number in range(_count(module)):
                mute(extended, number, int(number != only))
        blocks, left = [], round(max_seconds * SAMPLE_RATE)
        while left > 0:
            block = np.empty((2, min(BLOCK_FRAMES, left)), np.float32)
            size = block.strides[0]
            frames = library.openmpt_module_read_float_stereo(
                module, SAMPLE_RATE, block.shape[1], block.ctypes.data, block.ctypes.data + size
            )
            if not frames:
                break
            blocks.append(block[:, :frames])
            left -= frames
    return np.concatenate(blocks, axis=1) if blocks else np.zeros((2, 0), np.float32)
