"""What a separation method is given, and what a method is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float32]


class Case(NamedTuple):
    """What a method is given. Arrays are `(channels, samples)`.

    `queries` (the instrument alone), `among` and `absent` are clips in the roles of `fewshot_sep.Prompt`, each with its
    rate. `instrument` names what they show, for methods that are conditioned on a label. `reference` and `others`, the
    true stems, are for upper bounds alone; `reference` is None where the instrument is not in the mixture.
    """

    mixture: Array
    queries: list[tuple[Array, int]]
    sample_rate: int
    instrument: str
    reference: Array | None
    others: list[Array]
    among: Sequence[tuple[Array, int]] = ()
    absent: Sequence[tuple[Array, int]] = ()


Method: TypeAlias = Callable[[Case], Array]
"""Returns the target, of the mixture's shape."""
