"""A variant of the recipe as a method of the evaluation."""

from __future__ import annotations

from pathlib import Path

from fewshot_sep import Separator
from fewshot_sep.experiments.evaluation.case import Method
from fewshot_sep.experiments.evaluation.methods import target_of
from fewshot_sep.experiments.flagship import variants


def variant(name: str, weights: Path, device: str) -> Method:
    """The variant in a file of weights, without residual pass."""
    return target_of(Separator(variants.load(weights), device), residual_pass=False)
