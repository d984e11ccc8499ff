"""What a user shows of an instrument: `Prompt`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, TypeAlias, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from fewshot_sep.errors import BadQuery

Query: TypeAlias = NDArray[np.float32] | tuple[NDArray[np.float32], int]
"""A clip, `(channels, samples)` or `(samples,)`, alone or with its own sample rate."""

Role = Literal["alone", "among", "absent"]
ROLES: tuple[Role, ...] = get_args(Role)
"""What clips may show of an instrument, in the order in which they stand everywhere; see `Prompt`."""

ClipT = TypeVar("ClipT")


@dataclass(frozen=True)
class Prompt:
    """Clips that show an instrument; of the song itself or of others, any number of each role.

    Attributes:
        alone: the instrument plays alone.
        among: it plays with others.
        absent: the song, or something like it, without the instrument.

    Raises:
        BadQuery: neither `alone` nor `among`: nothing shows the instrument.

    >>> clip, song = np.ones((1, 44100), np.float32), np.ones((2, 44100), np.float32)
    >>> len(Prompt(alone=[clip], absent=[song, (song, 48000)]).absent)
    2
    """

    alone: Sequence[Query] = ()
    among: Sequence[Query] = ()
    absent: Sequence[Query] = ()

    def __post_init__(self) -> None:
        if not len(self.alone) and not len(self.among):
            raise BadQuery("no query: give at least one clip of the instrument, alone or among others")


class ByRole(NamedTuple, Generic[ClipT]):
    """Something of each clip of a prompt, by role."""

    alone: Sequence[ClipT] = ()
    among: Sequence[ClipT] = ()
    absent: Sequence[ClipT] = ()


def as_prompt(evidence: Prompt | Sequence[Query], unlike: Sequence[Query] = ()) -> Prompt:
    """Clips of the instrument alone as a prompt; `unlike` joins what shows the song without it."""
    prompt = evidence if isinstance(evidence, Prompt) else Prompt(alone=evidence)
    return Prompt(prompt.alone, prompt.among, [*prompt.absent, *unlike]) if len(unlike) else prompt
