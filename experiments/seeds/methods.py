"""The seed systems as methods of the evaluation."""

from __future__ import annotations

from pathlib import Path

from fewshot_sep.experiments import seeds
from fewshot_sep.experiments.evaluation.case import Method


def load(name: str, weights: Path, device: str) -> Method:
    """The system `name`, whose weights are `RUNS/name/weights.safetensors`."""
    return seeds.load(name, weights.parent.parent, device)
