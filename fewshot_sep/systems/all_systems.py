"""From waveforms to a network's images and back: what a preset means, for training and for use alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_sep import losses, metrics, presets, spectral
from fewshot_sep.presets import Preset
from fewshot_sep.unet import ConcatUNet, Conditioning, QueryEncoder, QueryUNet

EPS = 1e-8
PROFILE_DROPOUT = 0.2
SOUNDS = 1e-4  # share of a mixture's energy from which on a target counts as there
SEVERAL_DB = 12.0  # apart at most: target and rest of a mixture that counts as more than one instrument


class Trainable(nn.Module):
    """What `fewshot_sep.training` can train: a network with a loss on mixture, queries and target."""

    network: nn.Module

    def loss(self, mixture: Tensor, queries: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The training loss, and quantities to log."""
        raise NotImplementedError


class System(Trainable):
    """A separator of fixed-length segments.

    Shape:
        mixture, target: `(batch, channels, samples)`; queries: `(batch, clips, samples)`, mono.
    """

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.preset = preset
        self.stft = spectral.Stft(preset.n_fft, preset.hop)

    def condition(self, queries: Tensor) -> Any:
        """What `forward` needs to know of the queries; tensors with a batch dimension, inside a tuple."""
        raise NotImplementedError

    def forward(self, mixture: Tensor, conditioning: Any, pace: float = 1.0) -> Tensor:
        """The target's waveform, of the mixture's shape.

        pace: the network is to hear the mixture as if it lasted `pace` times as long, at its own pitch: the hop of the
        STFT is divided by it, which needs no stretched sound.
        """
        raise NotImplementedError

    def average(self, heard: Sequence[Any]) -> Any:
        """What `forward` needs to know of several sounds, given what it needs to know of each: the mean."""
        means = [torch.stack(tensors).mean(0) for tensors in zip(*heard, strict=True)]
        return type(heard[0])(*means) if hasattr(heard[0], "_fields") else tuple(means)

    def crowdedness(self, conditioning: Any) -> Tensor | None:
        """Log odds `(batch,)` that more than one instrument plays in the queries; None where the system cannot tell."""
        return None

    def paced(self, pace: float) -> spectral.Stft:
        """The STFT with its hop divided by `pace`."""
        hop = round(self.preset.hop / pace)
        return self.stft if hop == self.preset.hop else spectral.Stft(self.preset.n_fft, hop).to(self.device)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device


class Truth(NamedTuple):
    """What a mask is to be like.

    Shape:
        spectrum, wanted: of mixture and target, `(batch, channels, freq, time)` complex.
        whole, part, rest: energy in each band of mixture, target and what remains, `(batch, channels, bands, time)`.
    """

    spectrum: Tensor
    wanted: Tensor
    whole: Tensor
    part: Tensor
    rest: Tensor


class MaskSystem(System):
    """Queries steer a U-Net that predicts a mask in [0, 1] per channel, band and frame.

    The mask is spread from bands to bins and laid on the mixture's complex spectrum, whose phase it keeps. Levels are
    relative to the sound itself, so the result does not depend on the gain of mixture or query.
    """

    noise_weight, si_sdr_weight, contrast_weight = 0.05, 0.1, 0.1
    """In the loss: of the noise ratio and of SI-SDR, per dB, and of the queries' contrast."""
    planes = 0
    """Further images that the network is given beside the mixture's."""

    bands: Tensor

    def __init__(self, preset: Preset) -> None:
        super().__init__(preset)
        self.network = QueryUNet(preset.channels, preset.bands, preset.widths, preset.features, planes=self.planes)
        self.query_encoder = QueryEncoder(preset.bands, preset.features)
        self.crowd_detector = nn.Linear(preset.features + 2 * preset.bands, 1)
        for parameter in self.crowd_detector.parameters():
            nn.init.zeros_(parameter)
        self.register_buffer("bands", spectral.band_weights(preset.n_fft, preset.bands), persistent=False)

    def band_energy(self, spectrum: Tensor) -> Tensor:
        """Energy in each band: `(..., freq, time)` complex -> `(..., bands, time)`."""
        return torch.matmul(self.bands, spectrum.real.square() + spectrum.imag.square()).float()

    def image(self, energy: Tensor) -> Tensor:
        """Log magnitude re the example's mean, about -2 to 2: `(batch, channels, bands, time)`."""
        magnitude = energy.sqrt()
        return compressed(magnitude, magnitude.mean(dim=(1, 2, 3), keepdim=True))

    def condition(self, queries: Tensor) -> Conditioning:
        heard = self.hear(self.query_images(queries))
        return Conditioning(*(part.unflatten(0, queries.shape[:2]).mean(1) for part in heard))

    def query_images(self, queries: Tensor) -> Tensor:
        """`(batch, clips, samples)` -> `(batch * clips, 1, bands, time)`."""
        return self.image(self.band_energy(self.stft(queries.flatten(0, 1)[:, None])))

    def hear(self, images: Tensor) -> Conditioning:
        """What is kept of clips `(clips, 1, bands, time)`, each by itself."""
        return Conditioning(self.query_encoder(images), torch.cat([images.mean(3), images.amax(3)], dim=1))

    def crowdedness(self, conditioning: Conditioning) -> Tensor:
        """As in `System`; 0 from a system that was not trained."""
        embedding = F.layer_norm(conditioning.embedding.float(), conditioning.embedding.shape[1:])
        return self.crowd_detector(torch.cat([embedding, conditioning.profile.flatten(1).float()], dim=1))[:, 0]

    def masked(self, spectrum: Tensor, logits: Tensor) -> Tensor:
        """The spectrum times the mask, which is spread from bands to bins."""
        return spectral.apply_mask(spectrum, torch.matmul(self.bands.T, torch.sigmoid(logits.float())))

    def inputs(self, energy: Tensor, conditioning: Any) -> tuple[Any, ...]:
        """The network's, for a mixture's energies `(batch, channels, bands, time)`."""
        return self.image(energy), conditioning

    def logits(self, energy: Tensor, conditioning: Any) -> Tensor:
        """Of the mask, for a mixture's energies `(batch, channels, bands, time)`."""
        return self.network(*self.inputs(energy, conditioning))

    def forward(self, mixture: Tensor, conditioning: Conditioning, pace: float = 1.0) -> Tensor:
        stft = self.paced(pace)
        spectrum = stft(mixture)
        logits = self.logits(self.band_energy(spectrum), conditioning)
        return stft.inverse(self.masked(spectrum, logits), mixture.shape[-1])

    def loss(self, mixture: Tensor, queries: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        spectrum, wanted = self.stft(mixture), self.stft(target)
        true = self.truth(spectrum, wanted)
        conditioning = self.condition(queries)
        if self.training:
            conditioning = without_profile(conditioning, PROFILE_DROPOUT)
        logits = self.logits(true.whole, conditioning).float()
        loss, parts = self.mask_loss(logits, true)
        crowd = self.crowd_loss(queries, true)
        parts |= {"query_spread": spread(conditioning.embedding), "crowd": crowd}
        if not self.training:
            gains = self.gains_db(true, logits)
            if gains.isfinite().any():
                parts["si_sdri_db"] = gains[gains.isfinite()].median()
        if self.contrast_weight:
            parts["contrast"] = self.contrast_loss(queries, target)
            loss = loss + self.contrast_weight * parts["contrast"]
        return loss + crowd, parts

    def gains_db(self, true: Truth, logits: Tensor) -> Tensor:
        """Improvement in SI-SDR of each example, `(batch,)`; NaN where the target is not there."""
        spectrum, wanted, whole, part, _ = true
        present = part.flatten(1).sum(1) > SOUNDS * whole.flatten(1).sum(1)
        estimate = self.masked(spectrum, logits)
        gain = metrics.batch_si_sdr(wanted, estimate) - metrics.batch_si_sdr(wanted, spectrum)
        return gain.where(present, torch.nan)

    def truth(self, spectrum: Tensor, wanted: Tensor) -> Truth:
        """Of the spectra of mixture and target."""
        return Truth(spectrum, wanted, *(self.band_energy(x) for x in (spectrum, wanted, spectrum - wanted)))

    def mask_loss(self, logits: Tensor, true: Truth) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy of the mask, and two ratios of what it lets through: all on bands.

        With a mask `m` that is constant in a band, its error is `|mX - S|^2 = m^2 P - m (P + T - R) + T`, where P, T
        and R are the energies of mixture, target and rest; no gradient has to pass the full spectrum.
        """
        _, _, whole, part, rest = true
        mask = torch.sigmoid(logits)
        passed, product = mask.square() * whole, mask * (whole + part - rest) / 2
        error = (passed - 2 * product + part).clamp(min=0)
        cross_entropy = losses.ratio_mask_cross_entropy(logits, part.sqrt(), rest.sqrt())
        sums = [energy.flatten(1).sum(1) for energy in (error, passed, product, part, whole)]
        error, passed, product, part, whole = sums
        noise = losses.soft_noise_ratio(error, part, whole)
        si_sdr = losses.soft_si_sdr(product, passed, part, (part > SOUNDS * whole).float())
        loss = cross_entropy + self.noise_weight * noise - self.si_sdr_weight * si_sdr
        return loss, {"cross_entropy": cross_entropy, "snr_db": -noise, "soft_si_sdr_db": si_sdr}

    def contrast_loss(self, queries: Tensor, target: Tensor) -> Tensor:
        """How much less a query resembles its own target than those of the batch's other tasks; 0 if none sounds.

        Shape: queries `(batch, clips, samples)`; target as in `System`.
        """
        sounding = target.flatten(1).any(1)
        if not sounding.any():
            return target.new_zeros(())
        clips = torch.cat([part[sounding].mean(1, keepdim=True) for part in (queries, target)])
        asked, found = self.hear(self.query_images(clips)).embedding.float().chunk(2)
        return losses.contrast(asked, found)

    def crowd_loss(self, queries: Tensor, true: Truth) -> Tensor:
        """Cross-entropy of telling mixtures from queries; it teaches the detector, not what the detector listens to.

        Shape: queries `(batch, clips, samples)`.
        """
        listening = self.query_encoder.training
        self.query_encoder.eval()  # as in use; and mixtures must not enter its running statistics
        with torch.no_grad():
            alone = self.query_images(queries)
            heard = self.hear(torch.cat([alone, self.image(true.whole.mean(1, keepdim=True))]))
        self.query_encoder.train(listening)
        apart = 10 * torch.log10((true.part.flatten(1).sum(1) + EPS) / (true.rest.flatten(1).sum(1) + EPS))
        crowded = torch.cat([apart.new_zeros(len(alone)), torch.ones_like(apart)])
        counts = torch.cat([apart.new_ones(len(alone)), (apart.abs() < SEVERAL_DB).float()])
        odds = self.crowdedness(heard)
        return F.binary_cross_entropy_with_logits(odds, crowded, counts, reduction="sum") / counts.sum()


def compressed(magnitude: Tensor, reference: Tensor) -> Tensor:
    """Log magnitude re a reference, about -2 to 2."""
    return (torch.log(magnitude / (reference + EPS) + 1e-3) + 2) / 2.5


Told = TypeVar("Told", bound=Any)


def without_profile(conditioning: Told, share: float) -> Told:
    """Profile and templates are taken from a share of the examples, so that the embedding has to tell what the query is
    like.

    Which ones hangs on the profile's own digits, not on a generator: so a training that is resumed does as one that is
    not.
    """
    profile = conditioning.profile
    digits = 1000 * profile.detach().float().sum((1, 2), keepdim=True)
    kept = digits - digits.floor() >= share
    taken = {
        name: getattr(conditioning, name) * kept for name in ("profile", "templates") if hasattr(conditioning, name)
    }
    return conditioning._replace(**taken)


def spread(embedding: Tensor) -> Tensor:
    """How far embeddings lie apart, re their length: 0 where the encoder says the same of every query."""
    centred = embedding - embedding.mean(0)
    return (centred.square().sum(1).mean() / (embedding.square().sum(1).mean() + EPS)).sqrt()


class ImageSystem(System):
    """The thesis's way: two log spectrograms side by side go in, the target's log spectrogram comes out.

    The target's image is normalised by the mixture's maximum, without which equation 4 could not be undone; several
    queries are averaged as images.
    """

    def __init__(self, preset: Preset) -> None:
        super().__init__(preset)
        self.network = ConcatUNet(preset.widths[0])

    def spectrum(self, wave: Tensor, pace: float = 1.0) -> Tensor:
        """`(..., samples)` -> `(..., bands, frames)` complex; zeros are appended to make frames a multiple of 16."""
        stft = self.paced(pace)
        frames = -(-(wave.shape[-1] // stft.hop + 1) // 16) * 16
        return stft(F.pad(wave, (0, (frames - 1) * stft.hop - wave.shape[-1])))

    def image(self, wave: Tensor, pace: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised log spectrogram, complex spectrum, and the maximum it was divided by: equations 2 to 4."""
        spectrum = self.spectrum(wave, pace)
        compressed = spectral.log_compress(spectrum.abs())
        peak = compressed.amax(dim=(-2, -1), keepdim=True) + EPS
        return compressed / peak, spectrum, peak

    def condition(self, queries: Tensor) -> tuple[Tensor]:
        return (self.image(queries)[0].mean(1, keepdim=True),)

    def magnitude(self, mixture: Tensor, conditioning: tuple[Tensor], pace: float = 1.0) -> tuple[Tensor, Tensor]:
        """The target's magnitudes, as predicted, and the mixture's complex spectrum."""
        image, spectrum, peak = self.image(mixture, pace)
        return spectral.log_expand(self.network(image, *conditioning).float() * peak), spectrum

    def forward(self, mixture: Tensor, conditioning: tuple[Tensor], pace: float = 1.0) -> Tensor:
        magnitude, spectrum = self.magnitude(mixture, conditioning, pace)
        return self.paced(pace).inverse(torch.polar(magnitude, spectrum.angle()), mixture.shape[-1])

    def images(self, mixture: Tensor, queries: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The target's image as predicted and as it is."""
        image, _, peak = self.image(mixture)
        wanted = spectral.log_compress(self.spectrum(target).abs()) / peak
        return self.network(image, *self.condition(queries)).float(), wanted

    def loss(self, mixture: Tensor, queries: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return losses.mean_squared_error(*self.images(mixture, queries, target)), {}


def build(preset: Preset | str) -> System:
    """An untrained system of a preset."""
    from fewshot_sep.systems.informed import InformedSystem  # which builds on this module

    preset = presets.get(preset) if isinstance(preset, str) else preset
    if preset.kind == "image":
        return ImageSystem(preset)
    return InformedSystem(preset) if preset.templates else MaskSystem(preset)
