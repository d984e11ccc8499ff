"""A mask system whose network also sees what of the mixture the query's own spectra explain.

Embedding and profile say what an instrument is like; they cannot say which notes the query played. Where the clip is
cut out of the song, the very same notes may come again, and templates of them find these (NMF), however rare the
instrument. Where it is of another song they explain little, which the network sees too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fewshot_sep import nmf
from fewshot_sep.systems import MaskSystem, compressed
from fewshot_sep.unet import Conditioning


class Sound(NamedTuple):
    """What is kept of a sound.

    Shape:
        embedding, profile: as in `fewshot_sep.unet.Conditioning`.
        templates: `(batch, bands, templates)`, each summing to 1.
    """

    embedding: Tensor
    profile: Tensor
    templates: Tensor


class InformedSystem(MaskSystem):
    """A `MaskSystem` whose network is given two further planes: what the query's templates explain, and what is left.

    The templates are learnt on the queries and stay fixed; as many free ones, which begin as frames of the mixture,
    take the rest (semi-supervised NMF, see `fewshot_sep.nmf`).
    """

    planes = 2

    def condition(self, queries: Tensor) -> Sound:  # type: ignore[override]
        energy = self.band_energy(self.stft(queries))
        heard = self.hear(self.image(energy.flatten(0, 1)[:, None]))
        embedding, profile = (part.unflatten(0, energy.shape[:2]).mean(1) for part in heard)
        magnitude = energy.sqrt().transpose(1, 2).flatten(2)
        return Sound(embedding, profile, nmf.templates(magnitude, self.preset.templates))

    def average(self, heard: Sequence[Sound]) -> Sound:
        """Of several clips: means, and as many templates as of one, which explain the templates of all best."""
        embeddings, profiles, templates = zip(*heard, strict=True)
        together = nmf.templates(torch.cat(templates, dim=-1), self.preset.templates)
        return Sound(torch.stack(embeddings).mean(0), torch.stack(profiles).mean(0), together)

    def inputs(self, energy: Tensor, conditioning: Sound) -> tuple[Tensor, Conditioning, Tensor]:
        """As in `MaskSystem`; the planes are the last."""
        image = self.image(energy)
        like, unlike = self._explained(energy.mean(1).sqrt(), conditioning.templates)
        reference = energy.sqrt().mean(dim=(1, 2, 3), keepdim=True)
        planes = compressed(torch.stack([like, unlike], dim=1), reference)
        return image, Conditioning(conditioning.embedding, conditioning.profile), planes.to(image)

    def _explained(self, magnitude: Tensor, templates: Tensor) -> tuple[Tensor, Tensor]:
        """What of a mixture `(batch, bands, time)` the templates explain, and what free ones beside them."""
        begun = nmf.frames_as_templates(magnitude, self.preset.templates)
        free, gains = nmf.explain(magnitude, templates, begun)
        fixed = templates.shape[-1]
        return templates @ gains[:, :fixed], free @ gains[:, fixed:]
