"""A mask system that is shown an instrument in three roles: alone, among others, and what the song is without it.

The roles meet in three places. Their embeddings steer the network together. Their profiles lie over the mixture. And
their templates explain the mixture together (semi-supervised NMF), so that where in it something sounds as in the
clips without the instrument, the network sees that too. What the instrument is like among others is learnt by what
the clips without it do not explain. Where no clip has it alone, the templates have a say in the mask themselves.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fewshot_sep import nmf
from fewshot_sep.evidence import ABSENT, ALONE, AMONG
from fewshot_sep.presets import Preset
from fewshot_sep.systems.mask import MaskSystem, NetworkInputs, compressed, log_ratio
from fewshot_sep.unet import QueryConditioning

ABSENT_TEMPLATES = 2
"""Times as many as of the instrument: a song without it has more to explain."""
TEMPLATE_SHARE = 0.5
"""Of the mask's logits, where marks alone say what is wanted; 0.7 gains 0.2 dB more SI-SDR and costs 0.6 of SDR."""


class PromptedSystem(MaskSystem):
    """A `MaskSystem` that knows the roles of clips.

    An encoding keeps all frames of its clips as `templates`; a conditioning has the spectra learnt on them, of each
    role in turn, and the profiles `(batch, 6, bands)` alike. What is not given is zero.
    """

    extra_channels = 8
    knows_roles = True

    def __init__(self, preset: Preset) -> None:
        super().__init__(preset)
        features = preset.features
        self.not_given = nn.Parameter(torch.zeros(3, features))
        # The last map begins at zero: a clip alone means at first what it means to a system without roles.
        last = nn.Linear(features, features)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.join_roles = nn.Sequential(nn.Linear(3 * features, features), nn.GELU(), last)

    def templates(self, magnitude: Tensor) -> Tensor:
        """All frames: which spectra are learnt on them depends on the other roles."""
        return magnitude

    def condition_on(
        self,
        alone: QueryConditioning | None,
        among: QueryConditioning | None = None,
        absent: QueryConditioning | None = None,
        given: Tensor | None = None,
    ) -> QueryConditioning:
        roles = alone, among, absent
        example = next(role for role in roles if role is not None)
        batch, count = len(example.embedding), self.preset.templates
        if given is None:
            shown = [role is not None for role in roles]
            given = torch.tensor([shown], device=example.embedding.device).expand(batch, -1)
        embeddings = [
            self.not_given[place].expand(batch, -1).to(example.embedding)
            if role is None
            else torch.where(given[:, place, None], role.embedding, self.not_given[place].to(role.embedding))
            for place, role in enumerate(roles)
        ]
        embedding = embeddings[ALONE] + self.join_roles(torch.cat(embeddings, dim=1))
        profiles = [
            torch.zeros_like(example.profile) if role is None else role.profile * given[:, place, None, None]
            for place, role in enumerate(roles)
        ]
        nothing = example.profile.new_zeros(batch, self.preset.bands, ABSENT_TEMPLATES * count)
        kept = [shown[:, None, None].float() for shown in given.unbind(1)]
        of_absent, of_alone = (
            nothing[..., :number] if role is None else nmf.templates(role.templates, number) * kept[place]
            for place, role, number in ((ABSENT, absent, ABSENT_TEMPLATES * count), (ALONE, alone, count))
        )
        of_among = nothing[..., :count]
        if among is not None:
            initial = nmf.frames_as_templates(among.templates, count)
            of_among = nmf.fit_activations(among.templates, of_absent, initial)[0] * kept[AMONG]
        return QueryConditioning(
            embedding, torch.cat(profiles, dim=1), torch.cat([of_alone, of_among, of_absent], dim=-1)
        )

    def network_inputs(self, energy: Tensor, conditioning: QueryConditioning) -> NetworkInputs:
        magnitude = energy.mean(1).sqrt()
        count = self.preset.templates
        fixed = conditioning.templates
        free, activations = nmf.fit_activations(magnitude, fixed, nmf.frames_as_templates(magnitude, count))
        sizes = [count, count, ABSENT_TEMPLATES * count, count]
        spectra = torch.cat([fixed.float(), free], dim=-1)
        parts = zip(torch.split(spectra, sizes, dim=-1), torch.split(activations, sizes, dim=1), strict=True)
        like_alone, like_among, like_absent, others = (some @ gains for some, gains in parts)
        image = self.image(energy)
        reference = energy.sqrt().mean(dim=(1, 2, 3), keepdim=True)
        # In the order of a system without roles, what is new at the end: its weights can be the start.
        explained = compressed(torch.stack([like_alone, others, like_among, like_absent], dim=1), reference)
        profile_alone, profiles = torch.split(conditioning.profile, [2, 4], dim=1)
        profiles = profiles[..., None].expand(-1, -1, -1, image.shape[-1])
        return NetworkInputs(
            image, conditioning._replace(profile=profile_alone), torch.cat([explained.to(image), profiles.to(image)], 1)
        )

    def logits(self, energy: Tensor, conditioning: QueryConditioning) -> Tensor:
        inputs = self.network_inputs(energy, conditioning)
        logits: Tensor = self.network(*inputs)
        like_among, like_absent = inputs.extra[:, 2:3], inputs.extra[:, 3:4]
        with_templates = torch.lerp(logits, log_ratio(like_among, like_absent).to(logits), TEMPLATE_SHARE)
        return torch.where(self._marks_alone(conditioning), with_templates, logits)

    def _marks_alone(self, conditioning: QueryConditioning) -> Tensor:
        """Which examples have clips among others and without the instrument only; `(batch, 1, 1, 1)`."""
        count = self.preset.templates
        given = conditioning.templates.any(1)
        alone, among, absent = (
            given[:, first:last].any(1)
            for first, last in ((0, count), (count, 2 * count), (2 * count, (2 + ABSENT_TEMPLATES) * count))
        )
        return (among & absent & ~alone)[:, None, None, None]
