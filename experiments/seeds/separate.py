"""A trained seed system as a function from a case to the target."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray

from fewshot_sep.experiments.seeds import systems
from fewshot_sep.experiments.seeds.labels import Labels
from fewshot_sep.separator import Separator
from fewshot_sep.systems import System

Array = NDArray[np.float32]


class Case(Protocol):
    """What a method is given: a mixture `(channels, samples)`, and what is wanted, as sound and as a name."""

    @property
    def mixture(self) -> Array: ...
    @property
    def sample_rate(self) -> int: ...
    @property
    def queries(self) -> Sequence[tuple[Array, int]]: ...
    @property
    def instrument(self) -> str: ...


class LabelSeparator:
    """Reads the case's instrument, not its queries; an instrument without label is given silence.

    Mono systems do one channel after the other; what is above their band is missing from the target.
    """

    def __init__(self, system: systems.LabelSystem, labels: Labels, device: str = "auto") -> None:
        self.labels = labels
        self._system = system
        self._separator = Separator(cast(System, system), device)

    def label(self, instrument: str) -> str | None:
        """What the system is asked for when the case says `instrument`; None: it knows no such thing."""
        return self.labels.find(instrument)

    @torch.inference_mode()
    def __call__(self, case: Case) -> Array:
        number = self.labels.number(case.instrument)
        if number is None:
            return np.zeros_like(case.mixture)
        asked = torch.zeros(1, len(self.labels.names), device=self._separator.device)
        asked[0, number] = 1
        conditioning = self._system.condition(asked)
        alone = self._system.preset.channels == 1
        parts = [channel[None] for channel in case.mixture] if alone else [case.mixture]
        return np.concatenate([self._separator.estimate(part, conditioning, case.sample_rate) for part in parts])


def load(name: str, folder: Path, device: str = "auto") -> LabelSeparator:
    """The system `name` that `fewshot_sep.experiments.seeds.train` left in `folder`.

    Raises:
        FewshotSepError: no such system, or no sound weights of it there.
    """
    return LabelSeparator(*systems.load(name, folder), device)
