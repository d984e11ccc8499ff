"""What a separation method is given, and what a method is."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float32]


class Case(NamedTuple):
    """What a method is given. Arrays are `(channels, samples)`.

    `instrument` names what the queries play, for methods that are conditioned on a label. `reference` and `others`, the
    true stems, are for upper bounds alone; `reference` is None where the instrument is not in the mixture.
    """

    mixture: Array
    queries: list[tuple[Array, int]]
    sample_rate: int
    instrument: str
    reference: Array | None
    others: list[Array]


Method: TypeAlias = Callable[[Case], Array]
"""Returns the target, of the mixture's shape."""
