"""Training objectives: losses as objects over a system, which itself has none.

An objective may have parameters of its own (a discriminator); they are trained with the system's.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, Protocol, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_sep import losses, metrics
from fewshot_sep.evidence import ALONE, Evidence
from fewshot_sep.prompt import ROLES
from fewshot_sep.systems.base import AnySystem, Trainable
from fewshot_sep.systems.image import ImageSystem
from fewshot_sep.systems.mask import MaskSystem
from fewshot_sep.unet import QueryConditioning

EPS = 1e-8
PROFILE_DROPOUT = 0.2
MIN_TARGET_SHARE = 1e-4  # of a mixture's energy; below it a target counts as absent
MULTI_SOURCE_SHARE = 3  # one task of so many trains the detector, which is small
MAX_SOURCE_DISTANCE_DB = 12.0  # in level, between target and residual of a mixture that counts as several sources

TrainableT = TypeVar("TrainableT", bound=Trainable, contravariant=True)


class Loss(NamedTuple):
    """A scalar to minimise, and scalars to log."""

    total: Tensor
    parts: dict[str, Tensor]


class Objective(nn.Module, Generic[TrainableT]):
    """A training loss over what a system makes of a batch.

    Call it as `objective(system, mixture, evidence, target)`.

    Shape:
        mixture, target: `(batch, channels, samples)`.
    """

    def forward(self, system: TrainableT, mixture: Tensor, evidence: Evidence, target: Tensor) -> Loss:
        raise NotImplementedError


class TrueMask(NamedTuple):
    """The truth that a predicted mask is compared with.

    Shape:
        mixture_spectrum, target_spectrum: `(batch, channels, freq, time)` complex.
        mixture, target, residual: energy in each band, `(batch, channels, bands, time)`.
    """

    mixture_spectrum: Tensor
    target_spectrum: Tensor
    mixture: Tensor
    target: Tensor
    residual: Tensor


def true_mask(system: MaskSystem, mixture_spectrum: Tensor, target_spectrum: Tensor) -> TrueMask:
    """The truth of a pair of spectra, in the system's bands."""
    spectra = mixture_spectrum, target_spectrum, mixture_spectrum - target_spectrum
    return TrueMask(mixture_spectrum, target_spectrum, *(system.band_energy(spectrum) for spectrum in spectra))


class MaskLoss(Protocol):
    """A loss of a mask, given as logits `(batch, channels, bands, time)`."""

    def __call__(self, system: MaskSystem, logits: Tensor, true: TrueMask) -> Loss: ...


class CrossEntropyAndRatios(NamedTuple):
    """Cross-entropy of the mask, and noise ratio and SI-SDR of the masked mixture: all on bands.

    With a mask `m` that is constant in a band, its error is `|mX - S|^2 = m^2 P - m (P + T - R) + T`, where P, T
    and R are the energies of mixture, target and residual; no gradient has to pass the full spectrum.
    """

    noise_weight: float = 0.1
    si_sdr_weight: float = 0.1
    """Per dB, of the noise ratio and of SI-SDR."""

    def __call__(self, system: MaskSystem, logits: Tensor, true: TrueMask) -> Loss:
        mask = torch.sigmoid(logits)
        passed = mask.square() * true.mixture
        product = mask * (true.mixture + true.target - true.residual) / 2
        error = (passed - 2 * product + true.target).clamp(min=0)
        cross_entropy = losses.ratio_mask_cross_entropy(logits, true.target.sqrt(), true.residual.sqrt())
        sums = [energy.flatten(1).sum(1) for energy in (error, passed, product, true.target, true.mixture)]
        error, passed, product, target, mixture = sums
        noise = losses.soft_noise_ratio(error, target, mixture)
        present = (target > MIN_TARGET_SHARE * mixture).float()
        si_sdr = losses.soft_si_sdr(product, passed, target, present)
        total = cross_entropy + self.noise_weight * noise - self.si_sdr_weight * si_sdr
        return Loss(total, {"cross_entropy": cross_entropy, "snr_db": -noise, "soft_si_sdr_db": si_sdr})


class MaskObjective(Objective[MaskSystem]):
    """The mask's loss, the contrastive loss of the queries' embeddings, and the multi-source detector's.

    A weight of 0 leaves the second or third out.
    """

    def __init__(
        self,
        mask_loss: MaskLoss = CrossEntropyAndRatios(),  # noqa: B008 (it is immutable)
        contrastive_weight: float = 0.1,
        multi_source_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.mask_loss = mask_loss
        self.contrastive_weight, self.multi_source_weight = contrastive_weight, multi_source_weight

    def forward(self, system: MaskSystem, mixture: Tensor, evidence: Evidence, target: Tensor) -> Loss:
        true = true_mask(system, system.stft(mixture), system.stft(target))
        encoded, terms = self._encode(system, evidence, true)
        conditioning = by_task(system, encoded, evidence, len(mixture))
        if system.training:
            conditioning = without_profile(conditioning, PROFILE_DROPOUT)
        logits = system.logits(true.mixture, conditioning).float()
        total, parts = self.mask_loss(system, logits, true)
        parts = parts | {"query_spread": spread(encoded.embedding)} | {name: term for name, (_, term) in terms.items()}
        if not system.training:
            parts |= improvements(si_sdri_db(system, logits, true), evidence)
        return Loss(total + sum(weight * term for weight, term in terms.values()), parts)

    def _encode(
        self, system: MaskSystem, evidence: Evidence, true: TrueMask
    ) -> tuple[QueryConditioning, dict[str, tuple[float, Tensor]]]:
        """The encodings of the prompts, and the encoder's own losses with their weights.

        One pass of the encoder does for all clips, and for the targets that are compared with those alone.
        """
        if not self.contrastive_weight and not self.multi_source_weight:
            return system.encode(evidence.clips), {}
        energy = system.band_energy(system.stft(evidence.clips))
        images = system.image(energy.flatten(0, 1)[:, None])
        # Silence would spoil the encoder's running statistics; such targets do not count.
        sounding = true.target.flatten(1).any(1)[:, None, None, None]
        of_targets = system.image(torch.where(sounding, true.target, true.mixture).mean(1, keepdim=True))
        each = system.encode_query(torch.cat([images, of_targets]) if self.contrastive_weight else images)
        encoded = system.encoded(energy, QueryConditioning(*(part[: len(images)] for part in each)))
        terms = {}
        if self.multi_source_weight:
            loss = multi_source_loss(system, images, energy.shape[1], evidence, true)
            terms["multi_source"] = self.multi_source_weight, loss
        if self.contrastive_weight:
            loss = contrastive_loss(encoded.embedding, each.embedding[len(images) :], evidence, true)
            terms["contrast"] = self.contrastive_weight, loss
        return encoded, terms


class ImageObjective(Objective[ImageSystem]):
    """The thesis's mean squared error between images, its equation 1."""

    def forward(self, system: ImageSystem, mixture: Tensor, evidence: Evidence, target: Tensor) -> Loss:
        return Loss(F.mse_loss(*system.images(mixture, evidence.alone, target)), {})


def for_system(system: AnySystem) -> Objective[AnySystem]:
    """The objective with which a preset's system is trained."""
    return cast("Objective[AnySystem]", MaskObjective() if system.preset.predicts_mask else ImageObjective())


def si_sdri_db(system: MaskSystem, logits: Tensor, true: TrueMask) -> Tensor:
    """Improvement in SI-SDR of each example, `(batch,)`; NaN where the target is absent."""
    present = true.target.flatten(1).sum(1) > MIN_TARGET_SHARE * true.mixture.flatten(1).sum(1)
    estimate = system.masked(true.mixture_spectrum, logits)
    after = metrics.batch_si_sdr(true.target_spectrum, estimate)
    before = metrics.batch_si_sdr(true.target_spectrum, true.mixture_spectrum)
    return (after - before).where(present, torch.nan)


def by_task(system: MaskSystem, encoded: QueryConditioning, evidence: Evidence, batch: int) -> QueryConditioning:
    """The conditioning of a batch, from the encodings of its prompts."""
    if not system.knows_roles:
        return system.condition_on(encoded)  # every task has one prompt
    slot = evidence.role * batch + evidence.task
    dense = [part.new_zeros(3 * batch, *part.shape[1:]).index_copy(0, slot, part) for part in encoded]
    given = torch.zeros(3 * batch, dtype=torch.bool, device=slot.device).index_fill(0, slot, True)
    alone, among, absent = (QueryConditioning(*parts) for parts in zip(*(part.chunk(3) for part in dense), strict=True))
    return system.condition_on(alone, among, absent, given.view(3, batch).T)


def improvements(si_sdri: Tensor, evidence: Evidence) -> dict[str, Tensor]:
    """Median improvement of tasks `(batch,)` whose target sounds: of all, and by the roles they are given."""
    given: list[list[str]] = [[] for _ in si_sdri]
    for task, role in zip(evidence.task.tolist(), evidence.role.tolist(), strict=True):
        given[task].append(ROLES[role])
    groups = {"si_sdri_db": si_sdri}
    names = ["+".join(roles) for roles in given]
    if len(set(names)) > 1:
        for name in sorted(set(names)):
            groups[f"si_sdri_db, {name}"] = si_sdri[[own == name for own in names]]
    finite = {name: values[values.isfinite()] for name, values in groups.items()}
    return {name: values.median() for name, values in finite.items() if len(values)}


def contrastive_loss(of_prompts: Tensor, of_targets: Tensor, evidence: Evidence, true: TrueMask) -> Tensor:
    """InfoNCE of clips alone and their targets among those of the batch's other tasks; 0 if all targets are silent.

    Shape: embeddings of prompts and of targets, `(prompts, features)` and `(batch, features)`.
    """
    sounding = true.target.flatten(1).any(1)[evidence.task] & (evidence.role == ALONE)
    if not sounding.any():
        return of_targets.new_zeros(())
    return losses.contrast(of_prompts[sounding].float(), of_targets[evidence.task[sounding]].float())


def multi_source_loss(system: MaskSystem, images: Tensor, clips: int, evidence: Evidence, true: TrueMask) -> Tensor:
    """Cross-entropy of telling mixtures from clips of one instrument; it trains the detector alone, not the encoder.

    Args:
        images: of the clips, `(prompts * clips, 1, bands, time)`.
    """
    encoder_training = system.query_encoder.training
    system.query_encoder.eval()  # as in use; and mixtures must not enter its running statistics
    few = max(1, len(true.mixture) // MULTI_SOURCE_SHARE)
    with torch.no_grad():
        alone = evidence.role == ALONE
        if evidence.several is not None:
            alone &= ~evidence.several
        single = images[::clips][alone.nonzero()[:few, 0]]
        energies = [energy[:few] for energy in (true.mixture, true.target, true.residual)]
        embeddings = system.encode_query(torch.cat([single, system.image(energies[0].mean(1, keepdim=True))]))
    system.query_encoder.train(encoder_training)
    target, residual = (energy.flatten(1).sum(1) + EPS for energy in energies[1:])
    distance_db = 10 * torch.log10(target / residual)
    several = torch.cat([distance_db.new_zeros(len(single)), torch.ones_like(distance_db)])
    counts = torch.cat([distance_db.new_ones(len(single)), (distance_db.abs() < MAX_SOURCE_DISTANCE_DB).float()])
    logit = system.polyphony_logit(embeddings)
    return F.binary_cross_entropy_with_logits(logit, several, counts, reduction="sum") / counts.sum().clamp(min=1)


def without_profile(conditioning: QueryConditioning, share: float) -> QueryConditioning:
    """Profile and templates set to zero in a share of the examples, so that the embedding has to describe the query.

    The profile's own digits decide which, not a generator: so a resumed training equals an uninterrupted one.
    """
    digits = 1000 * conditioning.profile.detach().float().sum((1, 2), keepdim=True)
    kept = digits - digits.floor() >= share
    return conditioning._replace(profile=conditioning.profile * kept, templates=conditioning.templates * kept)


def spread(embedding: Tensor) -> Tensor:
    """How far embeddings lie apart, re their length: 0 where all queries have the same one."""
    centred = embedding - embedding.mean(0)
    return (centred.square().sum(1).mean() / (embedding.square().sum(1).mean() + EPS)).sqrt()
