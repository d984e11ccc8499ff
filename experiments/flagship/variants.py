"""The recipe with one thing changed at a time, as data: what `ablation` trains and compares.

All share a preset, so that differences are of the recipe, not of the size. The loss to compare with is cross-entropy
and noise ratio, with which the shipped weights made all but their last steps; what came then is a variant each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from fewshot_sep.experiments.flagship.settings import BASE
from fewshot_sep.loops.library import Row
from fewshot_sep.loops.tasks.options import MixingOptions
from fewshot_sep.objectives import CrossEntropyAndRatios, MaskObjective
from fewshot_sep.training import Optimizer

LOSS = CrossEntropyAndRatios(noise_weight=0.05)
RECIPE_LOSS = LOSS._replace(si_sdr_weight=0)
RECIPE = MaskObjective(RECIPE_LOSS, contrastive_weight=0)
WITH_ALL = MaskObjective(LOSS)
"""SI-SDR and the contrast of the queries besides."""
MIXING = MixingOptions(cross=0.6, same_recording=0, all_but_one=0)


def rendered(row: Row) -> bool:
    """Whether a row is no piece of a recording: what was rendered has its beats counted."""
    return bool(row.beats)


def known(row: Row) -> bool:
    """Whether the instrument of a row is one that exists."""
    return not row.family.startswith("invented")


@dataclass(frozen=True)
class Variant:
    """What differs from the recipe.

    Attributes:
        about: what it is, for the report.
        objective: what training minimises.
        mixing: how tasks are mixed.
        keep: which rows they are drawn from.
        target_first, optimizer: see `fewshot_sep.training.TrainingOptions`.
    """

    about: str
    objective: MaskObjective = RECIPE
    mixing: MixingOptions = MIXING
    keep: Callable[[Row], bool] = lambda row: True
    target_first: int = 0
    optimizer: Optimizer = "adamw"


VARIANTS = {
    BASE: Variant("the recipe at half the width"),
    "si-sdr": Variant("SI-SDR in the loss besides", MaskObjective(LOSS, contrastive_weight=0)),
    "contrastive": Variant("a contrastive loss on the query's embedding besides", MaskObjective(RECIPE_LOSS)),
    "target-first": Variant("the first 250 steps on queries that are the target itself", target_first=250),
    "together": Variant("SI-SDR, contrast and targets first", WITH_ALL, target_first=250),
    "muon": Variant(
        "these three, and Muon instead of AdamW: as training is now", WITH_ALL, target_first=250, optimizer="muon"
    ),
    "random": Variant("random mixtures only", mixing=replace(MIXING, coherent=0.0)),
    "coherent": Variant("mixtures of one song at one place only", mixing=replace(MIXING, coherent=1.0)),
    "no-absent": Variant("no queries of absent instruments", mixing=replace(MIXING, absent=0.0)),
    "no-shift": Variant("queries and sources at their own pitch", mixing=replace(MIXING, shift_semitones=0.0)),
    "no-recorded": Variant("rendered material only", keep=rendered),
    "no-invented": Variant("no invented instruments", keep=known),
}
