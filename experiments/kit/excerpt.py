"""The bundled excerpt of a song: 30 s of "War of freedom" by Sectoid, and 8 s of its guitar from elsewhere in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewshot_sep import audio

DATA = Path(__file__).parents[1] / "demo" / "data"
QUERY = DATA / "query.ogg"


def song(seconds: float) -> tuple[NDArray[np.float32], int]:
    """The excerpt, repeated or cut to a length, `(2, samples)`, and its rate."""
    guitar, rate = audio.read(DATA / "guitar.ogg")
    backing, _ = audio.read(DATA / "backing.ogg")
    mixture, samples = guitar + backing, round(seconds * rate)
    return np.tile(mixture, -(-samples // mixture.shape[1]))[:, :samples], rate
