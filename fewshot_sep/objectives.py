"""Training objectives: losses as objects over a system, which itself has none.

An objective may have parameters of its own (a discriminator); they are trained with the system's.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, Protocol, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_sep import losses, metrics
from fewshot_sep.systems.base import AnySystem, Trainable
from fewshot_sep.systems.image import ImageSystem
from fewshot_sep.systems.mask import MaskSystem
from fewshot_sep.unet import QueryConditioning

EPS = 1e-8
PROFILE_DROPOUT = 0.2
MIN_TARGET_SHARE = 1e-4  # of a mixture's energy; below it a target counts as absent
DETECTOR_DIVISOR = 3  # the first of so many tasks of a batch train the multi-source detector, which is a small one
MAX_SOURCE_DISTANCE_DB = 12.0  # in level, between target and residual of a mixture that counts as several sources

TrainableT = TypeVar("TrainableT", bound=Trainable, contravariant=True)


class Loss(NamedTuple):
    """A scalar to minimise, and scalars to log."""

    total: Tensor
    parts: dict[str, Tensor]


class Objective(nn.Module, Generic[TrainableT]):
    """A training loss over what a system makes of a batch.

    Call it as `objective(system, mixture, queries, target)`.

    Shape:
        mixture, target: `(batch, channels, samples)`; queries: `(batch, clips, samples)`.
    """

    def forward(self, system: TrainableT, mixture: Tensor, queries: Tensor, target: Tensor) -> Loss:
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

    noise_weight: float = 0.05
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

    def forward(self, system: MaskSystem, mixture: Tensor, queries: Tensor, target: Tensor) -> Loss:
        true = true_mask(system, system.stft(mixture), system.stft(target))
        energy = system.band_energy(system.stft(queries))
        clips = system.clip_images(energy)
        sounding = target.flatten(1).any(1)
        images = [clips, target_images(system, true, sounding, energy)] if self.contrastive_weight else [clips]
        encoded = system.encode_query(torch.cat(images))
        of_clips = QueryConditioning(*(part[: len(clips)] for part in encoded))
        conditioning = system.conditioning(energy, of_clips)
        if system.training:
            conditioning = without_profile(conditioning, PROFILE_DROPOUT)
        logits = system.logits(true.mixture, conditioning).float()
        total, parts = self.mask_loss(system, logits, true)
        parts = parts | {"query_spread": spread(conditioning.embedding)}
        if not system.training:
            improvements = si_sdri_db(system, logits, true)
            if improvements.isfinite().any():
                parts["si_sdri_db"] = improvements[improvements.isfinite()].median()
        if self.multi_source_weight:
            few = -(-len(mixture) // DETECTOR_DIVISOR) if system.training else len(mixture)
            some = TrueMask(*(part[:few] for part in true))
            parts["multi_source"] = multi_source_loss(system, clips[: few * queries.shape[1]], some)
            total = total + self.multi_source_weight * parts["multi_source"]
        if self.contrastive_weight:
            of_targets = encoded.embedding[len(clips) :].float()
            parts["contrast"] = losses.contrast(conditioning.embedding.float(), of_targets, sounding)
            total = total + self.contrastive_weight * parts["contrast"]
        return Loss(total, parts)


class ImageObjective(Objective[ImageSystem]):
    """The thesis's mean squared error between images, its equation 1."""

    def forward(self, system: ImageSystem, mixture: Tensor, queries: Tensor, target: Tensor) -> Loss:
        return Loss(F.mse_loss(*system.images(mixture, queries, target)), {})


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


def target_images(system: MaskSystem, true: TrueMask, sounding: Tensor, queries: Tensor) -> Tensor:
    """Targets as clips, `(batch, 1, bands, time)`; the queries for silent ones, which would spoil batch statistics.

    Shape: which targets are sound, `(batch,)`; energies of queries `(batch, clips, bands, time)`.
    """
    energies = (energy.mean(1, keepdim=True) for energy in (true.target, queries))
    return system.image(torch.where(sounding[:, None, None, None], *energies))


def multi_source_loss(system: MaskSystem, clips: Tensor, true: TrueMask) -> Tensor:
    """Cross-entropy of telling mixtures from the queries' images; it trains the detector, not the encoder before it."""
    encoder_training = system.query_encoder.training
    system.query_encoder.eval()  # as in use; and mixtures must not enter its running statistics
    with torch.no_grad():
        embeddings = system.encode_query(torch.cat([clips, system.image(true.mixture.mean(1, keepdim=True))]))
    system.query_encoder.train(encoder_training)
    target, residual = (energy.flatten(1).sum(1) + EPS for energy in (true.target, true.residual))
    distance_db = 10 * torch.log10(target / residual)
    several = torch.cat([distance_db.new_zeros(len(clips)), torch.ones_like(distance_db)])
    counts = torch.cat([distance_db.new_ones(len(clips)), (distance_db.abs() < MAX_SOURCE_DISTANCE_DB).float()])
    logit = system.polyphony_logit(embeddings)
    return F.binary_cross_entropy_with_logits(logit, several, counts, reduction="sum") / counts.sum()


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
