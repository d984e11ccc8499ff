"""The twin of preset `steered` that knows the instrument's name instead of an example of its sound."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fewshot_sep import presets
from fewshot_sep.separator import Conditioning, Separator
from fewshot_sep.systems import MaskSystem
from fewshot_sep.unet import QueryConditioning


class LabelTwin(MaskSystem):
    """The same signal, U-Net and mask; a learnt embedding of the label in place of the query's.

    The two input channels with the query's profile stay silent: a name has no spectrum.

    Shape: mixture `(batch, channels, samples)`; queries are labels, `(batch, labels)`, one of them 1.
    """

    def __init__(self, labels: int, preset: str = "steered") -> None:
        super().__init__(presets.get(preset))
        self.sample_rate, self.channels = self.preset.sample_rate, self.preset.channels
        self.query_encoder = nn.Embedding(labels, self.preset.features)
        del self.multi_source_detector  # there is no query that could hold several

    def encode(self, clips: Tensor) -> QueryConditioning:
        embedding = self.query_encoder(clips.argmax(1))
        profile = torch.zeros(len(clips), 2, self.preset.bands, device=clips.device)
        return QueryConditioning(embedding, profile, profile[:, 0, :, None][..., :0])

    def task_samples(self, samples: int) -> int:
        """Length of training tasks: the network needs no context."""
        return samples

    @torch.inference_mode()
    def estimate(self, mixture: NDArray[np.float32], labels: Tensor, sample_rate: int) -> NDArray[np.float32]:
        """The target of `(channels, samples)`."""
        conditioning = Conditioning(self.condition(labels))
        return Separator(self, str(self.device)).estimate(mixture, conditioning, sample_rate)
