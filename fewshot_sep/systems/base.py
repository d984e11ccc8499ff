"""What every separator of fixed-length segments shares: waveforms in, the target's waveform out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeAlias, TypeVar, cast

import torch
from torch import Tensor, nn

from fewshot_sep import spectral
from fewshot_sep.errors import BadQuery
from fewshot_sep.presets import Preset

ConditioningT = TypeVar("ConditioningT", bound=tuple[Tensor, ...])
"""What a system keeps of clips: a named tuple of tensors with a batch dimension; only that system can read it."""


class Trainable(nn.Module):
    """Whatever `fewshot_sep.training` can train: a module around a network."""

    network: nn.Module

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device


class System(Trainable, Generic[ConditioningT]):
    """A separator of fixed-length segments: a network and its way from waveforms and back, no loss.

    Shape:
        mixture: `(batch, channels, samples)`; queries: `(batch, clips, samples)`, mono.
    """

    knows_roles = False
    """Whether it learns from clips of other roles than the instrument alone."""

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.preset = preset
        self.stft = spectral.Stft(preset.n_fft, preset.hop)

    def encode(self, clips: Tensor) -> ConditioningT:
        """What the system keeps of clips of one role, for `condition_on`."""
        raise NotImplementedError

    def average(self, encodings: Sequence[ConditioningT]) -> ConditioningT:
        """One encoding for several sounds of one role, from that of each."""
        raise NotImplementedError

    def condition_on(
        self,
        alone: ConditioningT | None,
        among: ConditioningT | None = None,
        absent: ConditioningT | None = None,
        given: Tensor | None = None,
    ) -> ConditioningT:
        """The conditioning for `forward`, from encodings of clips in the roles of `fewshot_sep.Prompt`.

        Args:
            given: `(batch, 3)`, which examples have which role, in this order; all by default.

        Raises:
            BadQuery: no clip alone, or other roles, where a system does not know them (`knows_roles`).
        """
        if alone is None or among is not None or absent is not None:
            raise BadQuery(
                f"weights of preset '{self.preset.name}' must be shown the instrument alone (--query, --query-at) and "
                "learn nothing from where it plays with others (--with, --with-at); those of presets like 'prompted' do"
            )
        return alone

    def condition(self, queries: Tensor) -> ConditioningT:
        """The conditioning for `forward` from clips of the instrument alone."""
        return self.condition_on(self.encode(queries))

    def forward(self, mixture: Tensor, conditioning: ConditioningT, time_scale: float = 1.0) -> Tensor:
        """The target's waveform, of the mixture's shape.

        Args:
            time_scale: the network sees the mixture as if it lasted so many times as long, at its own pitch: the hop of
                the STFT is divided by it, which needs no stretched sound.
        """
        raise NotImplementedError

    def polyphony_logit(self, conditioning: ConditioningT) -> Tensor | None:
        """Log odds `(batch,)` that more than one instrument plays in the queries; None where the system cannot tell."""
        return None

    def similarity(self, one: ConditioningT, other: ConditioningT) -> Tensor:
        """How alike what two encodings show is, `(batch,)`, from -1 to 1: the cosine of what comes first in them."""
        return torch.cosine_similarity(one[0].flatten(1).float(), other[0].flatten(1).float())

    def min_samples(self, time_scale: float = 1.0) -> int:
        """The shortest mixture that `forward` takes."""
        return self.preset.n_fft

    def stft_at(self, time_scale: float) -> spectral.Stft:
        """The STFT with its hop divided by `time_scale`."""
        hop = round(self.preset.hop / time_scale)
        return self.stft if hop == self.preset.hop else spectral.Stft(self.preset.n_fft, hop).to(self.device)


AnySystem: TypeAlias = System[tuple[Tensor, ...]]
"""A system whose kind is known only when its weights are read; its conditionings can only be given back to it."""


def opaque(system: System[ConditioningT]) -> AnySystem:
    """The same system, for those to whom its kind does not matter."""
    return cast(AnySystem, system)
