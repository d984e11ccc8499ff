"""The twin of preset `steered` that knows the instrument's name instead of an example of its sound."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fewshot_sep import presets
from fewshot_sep.experiments.seeds.tasks import Asks
from fewshot_sep.systems import MaskSystem, Truth
from fewshot_sep.unet import QueryConditioning


class LabelTwin(MaskSystem):
    """The same signal, U-Net, mask and loss; a learnt embedding of the label in place of the query's.

    The two input channels with the query's profile stay silent: a name has no spectrum.

    Shape: mixture `(batch, channels, samples)`; queries are labels, `(batch, labels)`, one of them 1.
    """

    asks: Asks = "one"
    contrast_weight = 0.0

    def __init__(self, labels: int, preset: str = "steered") -> None:
        super().__init__(presets.get(preset))
        self.query_encoder = nn.Embedding(labels, self.preset.features)  # type: ignore[assignment]
        del self.multi_source_detector  # there is no query to listen to

    def condition(self, queries: Tensor) -> QueryConditioning:
        embedding = self.query_encoder(queries.argmax(1))
        return QueryConditioning(embedding, torch.zeros(len(queries), 2, self.preset.bands, device=queries.device))

    def crowd_loss(self, queries: Tensor, true: Truth) -> Tensor:
        return true.whole.new_zeros(())
