"""A mask system whose network also gets what spectral templates of the queries explain of the mixture.

Embedding and profile describe an instrument, not the notes of the query. If the clip is from the song itself, the same
notes may come again: templates of them find these (NMF), however rare the instrument. If it is from another song they
explain little, which the network sees too.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fewshot_sep import nmf
from fewshot_sep.systems.mask import MaskSystem, NetworkInputs, compressed
from fewshot_sep.unet import QueryConditioning


class InformedSystem(MaskSystem):
    """A `MaskSystem` whose network gets two further images: what the query's templates explain, and the remainder.

    The templates are learnt on the queries and stay fixed; as many free ones, initialised with frames of the mixture,
    explain the remainder (semi-supervised NMF, see `fewshot_sep.nmf`).
    """

    extra_channels = 2

    def templates(self, magnitude: Tensor) -> Tensor:
        return nmf.templates(magnitude, self.preset.templates)

    def network_inputs(self, energy: Tensor, conditioning: QueryConditioning) -> NetworkInputs:
        magnitude = energy.mean(1).sqrt()
        fixed = conditioning.templates
        first_frames = nmf.frames_as_templates(magnitude, self.preset.templates)
        free, activations = nmf.fit_activations(magnitude, fixed, first_frames)
        query_like, others = fixed @ activations[:, : fixed.shape[-1]], free @ activations[:, fixed.shape[-1] :]
        image = self.image(energy)
        reference = energy.sqrt().mean(dim=(1, 2, 3), keepdim=True)
        return NetworkInputs(
            image, conditioning, compressed(torch.stack([query_like, others], dim=1), reference).to(image)
        )
