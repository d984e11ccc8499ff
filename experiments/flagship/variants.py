"""The recipe with one thing changed at a time: what `fewshot_sep.experiments.flagship.ablation` trains and compares.

All share a preset, so that differences are of the recipe, not of the size. The loss to compare with is cross-entropy
and noise ratio, with which the shipped weights made all but their last steps; what came then is a variant each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_sep import presets, weights
from fewshot_sep.errors import WeightsError
from fewshot_sep.loops.library import Row
from fewshot_sep.loops.tasks.mixing import MixingOptions
from fewshot_sep.presets import Preset
from fewshot_sep.systems import MaskSystem, Truth
from fewshot_sep.training import Optimizer
from fewshot_sep.unet import ConcatUNet, FrequencyLinear, QueryConditioning, QueryUNet, SteeredBlock

EPS = 1e-8
CONCAT_WIDTH = 16  # as many parameters as the preset `slim` has, and about its time


class Plain(MaskSystem):
    """Cross-entropy and noise ratio alone."""

    si_sdr_weight = contrast_weight = 0.0


class LogMse(MaskSystem):
    """The thesis's loss, on bands: squared distance of log magnitudes, with the mixture's mean as reference."""

    def mask_loss(self, logits: Tensor, true: Truth) -> tuple[Tensor, dict[str, Tensor]]:
        reference = true.whole.sqrt().mean(dim=(1, 2, 3), keepdim=True) + EPS
        passed = torch.sigmoid(logits) * true.whole.sqrt()
        predicted, wanted = (torch.log(x / reference + 1e-3) for x in (passed, true.part.sqrt()))
        return F.mse_loss(predicted, wanted), {}


class L1(MaskSystem):
    """Absolute distance of the complex spectra, re the mixture's mean magnitude."""

    def mask_loss(self, logits: Tensor, true: Truth) -> tuple[Tensor, dict[str, Tensor]]:
        distance = (self.masked(true.spectrum, logits) - true.wanted).abs().flatten(1).mean(1)
        return (distance / (true.spectrum.abs().flatten(1).mean(1) + EPS)).mean(), {}


class Noise(Plain):
    """The noise ratio counts four times as much beside the cross-entropy."""

    noise_weight = 4 * Plain.noise_weight


class SiSdr(Plain):
    """SI-SDR in the loss besides."""

    si_sdr_weight = MaskSystem.si_sdr_weight


class Contrastive(Plain):
    """The query's embedding is also drawn to the target's and away from other tasks' targets."""

    contrast_weight = MaskSystem.contrast_weight


class Nothing(nn.Module):
    """Adds nothing to the shortcut around it."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


class NoFrequencyMaps(Plain):
    """Convolutions alone: no block maps along frequency."""

    def __init__(self, preset: Preset) -> None:
        super().__init__(preset)
        for block in _blocks(self):
            block.across = Nothing()  # type: ignore[assignment]


class Unsteered(nn.Module):
    """In the place of FiLM: what comes in goes out, whatever the query."""

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return x


class SteeredAtTheBottom(Plain):
    """The query's embedding steers the deepest level alone."""

    def __init__(self, preset: Preset) -> None:
        super().__init__(preset)
        for block in _blocks(self):
            if block.first.out_channels < preset.widths[-1]:
                block.film = Unsteered()  # type: ignore[assignment]


class Wider(Plain):
    """Twice as many channels at every level."""

    def __init__(self, preset: Preset) -> None:
        super().__init__(replace(preset, widths=tuple(2 * width for width in preset.widths)))


class Pair(nn.Module):
    """Two steered blocks, one after the other."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return self.second(self.first(x, embedding), embedding)


class Deeper(Plain):
    """Two blocks at every level, on the way down and on the way up."""

    def __init__(self, preset: Preset) -> None:
        super().__init__(preset)
        for side in _sides(self):
            for level, block in enumerate(side):
                another = SteeredBlock(preset.widths[level], preset.bands // 2 ** (level + 1), preset.features)
                side[level] = Pair(block, another)


class Finer(Plain):
    """The body works on patches of one band, not two, by two frames."""

    def __init__(self, preset: Preset) -> None:
        super().__init__(preset)
        network, width = _unet(self), preset.widths[0]
        network.stem = nn.Conv2d(network.stem.in_channels, width, (3, 4), stride=(1, 2), padding=1)
        network.unpatch = nn.ConvTranspose2d(width, network.unpatch.out_channels, (1, 2), stride=(1, 2))
        for side in _sides(self):
            for level, block in enumerate(side):
                block.across = FrequencyLinear(preset.widths[level], preset.bands // 2**level)


def _unet(system: MaskSystem) -> QueryUNet:
    assert isinstance(system.network, QueryUNet)
    return system.network


def _sides(system: MaskSystem) -> tuple[nn.ModuleList, nn.ModuleList]:
    return _unet(system).encoder, _unet(system).decoder


def _blocks(system: MaskSystem) -> list[SteeredBlock]:
    return [module for module in system.network.modules() if isinstance(module, SteeredBlock)]


class TwoChannels(nn.Module):
    """The thesis's U-Net on the mixture's image (channels averaged) beside the query's; one mask for all channels."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = ConcatUNet(CONCAT_WIDTH, clip=False)

    def forward(self, mixture: Tensor, conditioning: QueryConditioning) -> Tensor:
        frames = mixture.shape[-1]
        query = conditioning.embedding
        query = query.repeat(1, 1, 1, -(-frames // query.shape[-1]))[..., :frames]
        pair = (F.pad(x, (0, -frames % 16, 0, 0), mode="replicate") for x in (mixture.mean(1, keepdim=True), query))
        return self.unet(*pair)[..., :frames].expand(-1, mixture.shape[1], -1, -1)


class Concat(Plain):
    """Signal, mask and loss of the recipe; the query goes in as an image instead of steering by FiLM."""

    def __init__(self, preset: Preset) -> None:
        super().__init__(preset)
        self.network = TwoChannels()
        del self.query_encoder, self.multi_source_detector

    def condition(self, queries: Tensor) -> QueryConditioning:
        """The query's image takes the embedding's place; there is no profile."""
        images = self.query_images(queries).unflatten(0, queries.shape[:2]).mean(1)
        return QueryConditioning(images, torch.zeros(len(queries), 2, self.preset.bands, device=queries.device))

    def polyphony_logit(self, conditioning: QueryConditioning) -> None:  # type: ignore[override]
        return None

    def crowd_loss(self, queries: Tensor, true: Truth) -> Tensor:
        return true.whole.new_zeros(())


def recorded(row: Row) -> bool:
    """Whether a row is a piece of a recording; what was rendered has its beats counted."""
    return not row.beats


RECIPE = MixingOptions(cross=0.6, same_recording=0, all_but_one=0)
WIDE_SHIFT = replace(RECIPE, shift_semitones=2 * RECIPE.shift_semitones)


@dataclass(frozen=True)
class Variant:
    """What differs from the recipe: the system (network, loss), how tasks are mixed, which rows they are drawn from,
    for how many steps targets are their own queries, and what takes the steps."""

    about: str
    system: Callable[[Preset], MaskSystem] = Plain
    mixing: MixingOptions = RECIPE
    keep: Callable[[Row], bool] | None = None
    target_first: int = 0
    optimizer: Optimizer = "adamw"

    def build(self, preset: str) -> MaskSystem:
        """Untrained; the preset's kind must be `mask`."""
        return self.system(presets.get(preset))


BASE, FILE = "recipe", "weights.safetensors"
VARIANTS = {
    BASE: Variant("the recipe at half the width"),
    "concat": Variant("two-channel concatenation, the block of `illes2020`, instead of FiLM", Concat),
    "film-deepest": Variant("FiLM at the deepest level alone instead of every one", SteeredAtTheBottom),
    "no-tdf": Variant("no maps along frequency in the blocks", NoFrequencyMaps),
    "wider": Variant("twice as many channels at every level", Wider),
    "deeper": Variant("two blocks at every level", Deeper),
    "finer": Variant("patches of one band by two frames instead of two by two", Finer),
    "log-mse": Variant("squared distance of log magnitudes instead of cross-entropy and noise ratio", LogMse),
    "l1": Variant("L1 on the complex spectrogram instead", L1),
    "noise": Variant("four times the weight of the noise ratio beside the cross-entropy", Noise),
    "si-sdr": Variant("SI-SDR in the loss besides", SiSdr),
    "contrastive": Variant("a contrastive loss on the query's embedding besides", Contrastive),
    "target-first": Variant("the first 250 steps on queries that are the target itself", target_first=250),
    "together": Variant("SI-SDR, contrast and targets first", MaskSystem, target_first=250),
    "muon": Variant(
        "these three, and Muon instead of AdamW: as training is now", MaskSystem, target_first=250, optimizer="muon"
    ),
    "wide-shift": Variant("queries and sources shifted by up to six semitones, not three", mixing=WIDE_SHIFT),
    "random": Variant("random mixtures only", mixing=replace(RECIPE, coherent=0.0)),
    "coherent": Variant("mixtures of one song at one place only", mixing=replace(RECIPE, coherent=1.0)),
    "no-absent": Variant("no queries of absent instruments", mixing=replace(RECIPE, absent=0.0)),
    "no-shift": Variant("queries and sources at their own pitch", mixing=replace(RECIPE, shift_semitones=0.0)),
    "no-recorded": Variant("rendered material only", keep=lambda row: not recorded(row)),
    "no-invented": Variant("no invented instruments", keep=lambda row: not row.family.startswith("invented")),
}


def load(path: Path) -> MaskSystem:
    """The trained system at `path`, of the variant that its card names.

    Raises:
        WeightsError: missing, damaged, or of no variant.
    """
    weights.verify(path)
    card = weights.card(path)
    name = card.get("variant")
    if name not in VARIANTS:
        raise WeightsError(f"{path}: its card names no variant of the recipe; there are: {', '.join(VARIANTS)}")
    system = VARIANTS[name].build(card["preset"])
    weights.restore(system, path)
    return system.eval()
