"""A mask system that is told more than the query: spectral templates of it, and what a first run found elsewhere.

A song is separated twice. The first run knows the query alone. What it finds and what it leaves in passages of the song
tell the second run how the instrument sounds in this very song, and what else plays. A training task has two halves:
the first is separated with the query alone, the second with what that gave, so that training meets the first run's
own errors (as the self-conditioning of Chen et al. 2022, "Analog bits", does).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_sep import factorise, losses
from fewshot_sep.presets import Preset
from fewshot_sep.systems import EPS, PROFILE_DROPOUT, MaskSystem, Truth, compressed, spread, without_profile
from fewshot_sep.unet import Conditioning

LEAST_SHARE_DB = -40.0


class Sound(NamedTuple):
    """What is kept of a sound.

    Shape:
        embedding, profile: as in `fewshot_sep.unet.Conditioning`.
        templates: `(batch, bands, templates)`, each summing to 1.
    """

    embedding: Tensor
    profile: Tensor
    templates: Tensor


class Informed(NamedTuple):
    """What the second run knows: the query, what the first run found and what it left, and the share it found.

    Shape: share `(batch, 1)`, energy in dB re all that was heard, from -1 (-40 dB or less) to 0.
    """

    query: Sound
    found: Sound
    rest: Sound
    share: Tensor


class InformedSystem(MaskSystem):
    """A `MaskSystem` whose network is told more, by planes beside the mixture and by the embedding.

    Planes: what of the mixture the templates of the query, of what was found and of the rest explain (NMF, see
    `fewshot_sep.factorise`), and the profiles of what was found and of the rest.
    """

    planes = 7
    task_segments = 2

    def __init__(self, preset: Preset) -> None:
        super().__init__(preset)
        self.context = nn.Linear(2 * preset.features + 1, preset.features)
        for parameter in self.context.parameters():
            nn.init.zeros_(parameter)

    def condition(self, queries: Tensor) -> Sound:  # type: ignore[override]
        return self.sound(self.clip_energy(queries))

    def clip_energy(self, clips: Tensor) -> Tensor:
        """`(batch, clips, samples)` -> `(batch, clips, bands, time)`."""
        return self.band_energy(self.stft(clips))

    def sound(self, energy: Tensor) -> Sound:
        """What is kept of passages that are of one sound; energies `(batch, passages, bands, time)`."""
        return self._kept(self.hear(self.image(energy.flatten(0, 1)[:, None])), energy)

    def _kept(self, heard: Conditioning, energy: Tensor) -> Sound:
        embedding, profile = (part.unflatten(0, energy.shape[:2]).mean(1) for part in heard)
        magnitude = energy.sqrt().transpose(1, 2).flatten(2)
        return Sound(embedding, profile, factorise.templates(magnitude, self.preset.templates))

    def average(self, heard: Sequence[Sound]) -> Sound:
        """Of several clips: means, and the templates of all."""
        embeddings, profiles, templates = zip(*heard, strict=True)
        return Sound(torch.stack(embeddings).mean(0), torch.stack(profiles).mean(0), torch.cat(templates, dim=-1))

    def inform(self, query: Sound, found: Tensor, rest: Tensor) -> Informed:
        """What a second run is to know, given band energies `(batch, passages, bands, time)` of a first one."""
        listening = self.query_encoder.training
        self.query_encoder.eval()  # what is left is a mixture, and must not enter the running statistics
        with torch.no_grad():
            told = self.sound(found), self.sound(rest)
        self.query_encoder.train(listening)
        part, other = (energy.flatten(1).sum(1, keepdim=True) for energy in (found, rest))
        share_db = 10 * torch.log10(part / (part + other + EPS) + EPS)
        return Informed(query, *told, share_db.clamp(min=LEAST_SHARE_DB) / -LEAST_SHARE_DB)

    @torch.no_grad()
    def split(self, mixture: Tensor, conditioning: Sound | Informed) -> tuple[Tensor, Tensor]:
        """Band energies of what a run finds and leaves, channels averaged: `(batch, 1, bands, time)` each."""
        energy = self.band_energy(self.stft(mixture))
        return _split(energy, self.logits(energy, conditioning))

    def inputs(self, energy: Tensor, conditioning: Sound | Informed) -> tuple[Tensor, Conditioning, Tensor]:
        """As in `MaskSystem`; the planes are the last."""
        told = conditioning if isinstance(conditioning, Informed) else None
        query = conditioning.query if isinstance(conditioning, Informed) else conditioning
        image = self.image(energy)
        planes = torch.cat([self._explained(energy, query, told), self._profiles(energy, told)], dim=1)
        return image, Conditioning(self._embedding(query, told), query.profile), planes.to(image)

    def _explained(self, energy: Tensor, query: Sound, told: Informed | None) -> Tensor:
        """What of the mixture the query's templates explain, those of what was found, and those of the rest.

        In a first run nothing was found, and the rest's templates begin with frames of the mixture itself.
        """
        magnitude = energy.mean(1).sqrt()
        reference = energy.sqrt().mean(dim=(1, 2, 3), keepdim=True)[:, 0]
        known = [query.templates, told.found.templates] if told else [query.templates]
        begun = told.rest.templates if told else factorise.frames_as_templates(magnitude, self.preset.templates)
        free, gains = factorise.explain(magnitude, torch.cat(known, dim=-1), begun)
        groups = [*known, free]
        shares = gains.split([group.shape[-1] for group in groups], dim=1)
        parts = [compressed(group @ share, reference) for group, share in zip(groups, shares, strict=True)]
        if not told:
            parts.insert(1, torch.zeros_like(parts[0]))
        return torch.stack(parts, dim=1)

    def _profiles(self, energy: Tensor, told: Informed | None) -> Tensor:
        """Of what was found and of the rest, at every frame; zeros in a first run."""
        batch, _, bands, frames = energy.shape
        if told is None:
            return energy.new_zeros(batch, 4, bands, frames)
        profiles = torch.cat([told.found.profile, told.rest.profile], dim=1)
        return profiles[..., None].expand(-1, -1, -1, frames)

    def _embedding(self, query: Sound, told: Informed | None) -> Tensor:
        if told is None:
            return query.embedding
        sides = [F.layer_norm(side.embedding.float(), side.embedding.shape[1:]) for side in (told.found, told.rest)]
        return query.embedding + self.context(torch.cat([*sides, told.share], dim=1))

    def loss(self, mixture: Tensor, queries: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """As in `System`; every task is two segments, one after the other, and so are its queries."""
        mixture, target = (_halves(wave, dim=0) for wave in (mixture, target))
        queries = _halves(queries, dim=1)
        spectrum, wanted = self.stft(mixture), self.stft(target)
        true = self.truth(spectrum, wanted)
        asked = self.clip_energy(queries)
        tasks, clips = asked.shape[:2]
        heard = self.hear(
            self.image(torch.cat([asked.flatten(0, 1)[:, None], true.part[:tasks].mean(1, keepdim=True)]))
        )
        query = self._kept(Conditioning(*(part[: tasks * clips] for part in heard)), asked)
        contrast = self._contrast(query.embedding, heard.embedding[tasks * clips :], true.part[:tasks])
        if self.training:
            query = without_profile(query, PROFILE_DROPOUT)

        first = self.logits(true.whole[:tasks], query).float()
        informed = self.inform(query, *_split(true.whole[:tasks], first.detach()))
        second = self.logits(true.whole[tasks:], informed).float()
        logits = torch.cat([first, second])
        loss, parts = self.mask_loss(logits, true)
        crowd = self.crowd_loss(queries, Truth(*(part[:tasks] for part in true)))
        parts |= {"query_spread": spread(query.embedding), "crowd": crowd, "contrast": contrast}
        if not self.training:
            gains = self.gains_db(true, logits)
            for name, half in (("si_sdri_first_db", gains[:tasks]), ("si_sdri_db", gains[tasks:])):
                if half.isfinite().any():
                    parts[name] = half[half.isfinite()].median()
        return loss + self.contrast_weight * contrast + crowd, parts

    def _contrast(self, asked: Tensor, found: Tensor, part: Tensor) -> Tensor:
        sounding = part.flatten(1).any(1)
        if not sounding.any():
            return asked.new_zeros(())
        return losses.contrast(asked[sounding].float(), found[sounding].float())


def _halves(wave: Tensor, dim: int) -> Tensor:
    """The two halves of `(..., samples)`, one after the other along `dim`."""
    half = wave.shape[-1] // 2
    return torch.cat([wave[..., :half], wave[..., half : 2 * half]], dim=dim)


def _split(energy: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    mask = torch.sigmoid(logits.float())
    found, rest = ((share.square() * energy).mean(1, keepdim=True) for share in (mask, 1 - mask))
    return found, rest
