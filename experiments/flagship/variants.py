"""The recipe with one thing changed at a time, as data: what `ablation` trains and compares.

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
from fewshot_sep.experiments.flagship.settings import BASE, CONCAT_WIDTH
from fewshot_sep.experiments.kit import variants as driver
from fewshot_sep.loops.library import Row
from fewshot_sep.loops.tasks.options import MixingOptions
from fewshot_sep.objectives import CrossEntropyAndRatios, Loss, MaskObjective, TrueMask
from fewshot_sep.presets import Preset
from fewshot_sep.systems import MaskSystem
from fewshot_sep.training import Optimizer
from fewshot_sep.unet import ConcatUNet, FrequencyLinear, QueryConditioning, QueryUNet, SteeredBlock

EPS = 1e-8


# --- losses


def log_mse(system: MaskSystem, logits: Tensor, true: TrueMask) -> Loss:
    """The thesis's loss, on bands: squared distance of log magnitudes, with the mixture's mean as reference."""
    reference = true.mixture.sqrt().mean(dim=(1, 2, 3), keepdim=True) + EPS
    estimate = torch.sigmoid(logits) * true.mixture.sqrt()
    predicted, wanted = (torch.log(x / reference + 1e-3) for x in (estimate, true.target.sqrt()))
    return Loss(F.mse_loss(predicted, wanted), {})


def l1(system: MaskSystem, logits: Tensor, true: TrueMask) -> Loss:
    """Absolute distance of the complex spectra, re the mixture's mean magnitude."""
    distance = (system.masked(true.mixture_spectrum, logits) - true.target_spectrum).abs().flatten(1).mean(1)
    return Loss((distance / (true.mixture_spectrum.abs().flatten(1).mean(1) + EPS)).mean(), {})


LOSS = CrossEntropyAndRatios(noise_weight=0.05)
RECIPE_LOSS = LOSS._replace(si_sdr_weight=0)
RECIPE = MaskObjective(RECIPE_LOSS, contrastive_weight=0)
WITH_ALL = MaskObjective(LOSS)
"""SI-SDR and the contrast of the queries besides."""


# --- networks: each function builds a system and changes a part of it


class Zero(nn.Module):
    """Adds nothing to the shortcut around it."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


class Unsteered(nn.Module):
    """In the place of FiLM: what comes in goes out, whatever the query."""

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return x


class Pair(nn.Module):
    """Two steered blocks, one after the other."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        out: Tensor = self.second(self.first(x, embedding), embedding)
        return out


class TwoChannels(nn.Module):
    """The thesis's U-Net on the mixture's image (channels averaged) beside the query's; one mask for all channels."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = ConcatUNet(CONCAT_WIDTH, clip=False)

    def forward(self, mixture: Tensor, conditioning: QueryConditioning, extra: Tensor) -> Tensor:
        frames = mixture.shape[-1]
        query = conditioning.embedding
        query = query.repeat(1, 1, 1, -(-frames // query.shape[-1]))[..., :frames]
        pair = (F.pad(x, (0, -frames % 16, 0, 0), mode="replicate") for x in (mixture.mean(1, keepdim=True), query))
        logits: Tensor = self.unet(*pair)[..., :frames]
        return logits.expand(-1, mixture.shape[1], -1, -1)


def concatenated(preset: Preset) -> MaskSystem:
    """The query goes in as an image instead of steering by FiLM: the image takes the embedding's place."""
    system = MaskSystem(preset)
    system.network, system.query_encoder = TwoChannels(), nn.Identity()
    del system.multi_source_detector  # it needs an embedding
    return system


def without_frequency_maps(preset: Preset) -> MaskSystem:
    """Convolutions alone: no block maps along frequency."""
    system = MaskSystem(preset)
    for block in _blocks(system):
        block.across = Zero()  # type: ignore[assignment]
    return system


def steered_at_the_bottom(preset: Preset) -> MaskSystem:
    """The query's embedding steers the deepest level alone."""
    system = MaskSystem(preset)
    for block in _blocks(system):
        if block.first.out_channels < preset.widths[-1]:
            block.film = Unsteered()  # type: ignore[assignment]
    return system


def wider(preset: Preset) -> MaskSystem:
    """Twice as many channels at every level."""
    return MaskSystem(replace(preset, widths=tuple(2 * width for width in preset.widths)))


def deeper(preset: Preset) -> MaskSystem:
    """Two blocks at every level, on the way down and on the way up."""
    system = MaskSystem(preset)
    for side in _sides(system):
        for level, block in enumerate(side):
            another = SteeredBlock(preset.widths[level], preset.bands // 2 ** (level + 1), preset.features)
            side[level] = Pair(block, another)
    return system


def finer(preset: Preset) -> MaskSystem:
    """The body works on patches of one band, not two, by two frames."""
    system = MaskSystem(preset)
    network, width = _unet(system), preset.widths[0]
    network.stem = nn.Conv2d(network.stem.in_channels, width, (3, 4), stride=(1, 2), padding=1)
    network.unpatch = nn.ConvTranspose2d(width, network.unpatch.out_channels, (1, 2), stride=(1, 2))
    for side in _sides(system):
        for level, block in enumerate(side):
            block.across = FrequencyLinear(preset.widths[level], preset.bands // 2**level)
    return system


def _unet(system: MaskSystem) -> QueryUNet:
    assert isinstance(system.network, QueryUNet)
    return system.network


def _sides(system: MaskSystem) -> tuple[nn.ModuleList, nn.ModuleList]:
    return _unet(system).encoder, _unet(system).decoder


def _blocks(system: MaskSystem) -> list[SteeredBlock]:
    return [module for module in system.network.modules() if isinstance(module, SteeredBlock)]


# --- material


def recorded(row: Row) -> bool:
    """Whether a row is a piece of a recording; what was rendered has its beats counted."""
    return not row.beats


MIXING = MixingOptions(cross=0.6, same_recording=0, all_but_one=0)


@dataclass(frozen=True)
class Variant:
    """What differs from the recipe.

    Attributes:
        about: what it is, for the report.
        system: builds the untrained system of a preset of kind `mask`.
        objective: what training minimises.
        mixing: how tasks are mixed.
        keep: which rows they are drawn from; all if None.
        target_first, optimizer: see `fewshot_sep.training.TrainingOptions`.
    """

    about: str
    system: Callable[[Preset], MaskSystem] = MaskSystem
    objective: MaskObjective = RECIPE
    mixing: MixingOptions = MIXING
    keep: Callable[[Row], bool] | None = None
    target_first: int = 0
    optimizer: Optimizer = "adamw"


VARIANTS = {
    BASE: Variant("the recipe at half the width"),
    "concat": Variant(
        "two-channel concatenation, the block of `illes2020`, instead of FiLM",
        concatenated,
        MaskObjective(RECIPE_LOSS, contrastive_weight=0, multi_source_weight=0),
    ),
    "film-deepest": Variant("FiLM at the deepest level alone instead of every one", steered_at_the_bottom),
    "no-tdf": Variant("no maps along frequency in the blocks", without_frequency_maps),
    "wider": Variant("twice as many channels at every level", wider),
    "deeper": Variant("two blocks at every level", deeper),
    "finer": Variant("patches of one band by two frames instead of two by two", finer),
    "log-mse": Variant(
        "squared distance of log magnitudes instead of cross-entropy and noise ratio",
        objective=MaskObjective(log_mse, contrastive_weight=0),
    ),
    "l1": Variant("L1 on the complex spectrogram instead", objective=MaskObjective(l1, contrastive_weight=0)),
    "noise": Variant(
        "four times the weight of the noise ratio beside the cross-entropy",
        objective=MaskObjective(RECIPE_LOSS._replace(noise_weight=4 * RECIPE_LOSS.noise_weight), contrastive_weight=0),
    ),
    "si-sdr": Variant("SI-SDR in the loss besides", objective=MaskObjective(LOSS, contrastive_weight=0)),
    "contrastive": Variant("a contrastive loss on the query's embedding besides", objective=MaskObjective(RECIPE_LOSS)),
    "target-first": Variant("the first 250 steps on queries that are the target itself", target_first=250),
    "together": Variant("SI-SDR, contrast and targets first", objective=WITH_ALL, target_first=250),
    "muon": Variant(
        "these three, and Muon instead of AdamW: as training is now",
        objective=WITH_ALL,
        target_first=250,
        optimizer="muon",
    ),
    "wide-shift": Variant(
        "queries and sources shifted by up to six semitones, not three",
        mixing=replace(MIXING, shift_semitones=2 * MIXING.shift_semitones),
    ),
    "random": Variant("random mixtures only", mixing=replace(MIXING, coherent=0.0)),
    "coherent": Variant("mixtures of one song at one place only", mixing=replace(MIXING, coherent=1.0)),
    "no-absent": Variant("no queries of absent instruments", mixing=replace(MIXING, absent=0.0)),
    "no-shift": Variant("queries and sources at their own pitch", mixing=replace(MIXING, shift_semitones=0.0)),
    "no-recorded": Variant("rendered material only", keep=lambda row: not recorded(row)),
    "no-invented": Variant("no invented instruments", keep=lambda row: not row.family.startswith("invented")),
}


def build(name: str, preset: str) -> MaskSystem:
    """The untrained system of a variant."""
    return VARIANTS[name].system(presets.get(preset))


def load(path: Path) -> MaskSystem:
    """The trained system at `path`, of the variant that its card names.

    Raises:
        WeightsError: missing, damaged, or of no variant.
    """
    card = weights.card(path)
    if card.get("variant") not in VARIANTS:
        raise WeightsError(f"{path}: its card names no variant of the recipe; there are: {', '.join(VARIANTS)}")
    return driver.load(path.parent, build(card["variant"], card["preset"]))
