"""Presets to systems."""

from __future__ import annotations

from typing import Any

from fewshot_sep import presets
from fewshot_sep.presets import Kind, Preset
from fewshot_sep.systems.attending import AttendingSystem
from fewshot_sep.systems.base import AnySystem, System, opaque
from fewshot_sep.systems.image import ImageSystem
from fewshot_sep.systems.informed import InformedSystem
from fewshot_sep.systems.mask import MaskSystem
from fewshot_sep.systems.prompted import PromptedSystem

SYSTEMS: dict[Kind, type[System[Any]]] = {
    "mask": MaskSystem,
    "informed": InformedSystem,
    "prompted": PromptedSystem,
    "attending": AttendingSystem,
    "image": ImageSystem,
}


def build(preset: Preset | str) -> AnySystem:
    """An untrained system of a preset, or of the one of that name. Raises FewshotSepError where there is none."""
    preset = presets.get(preset) if isinstance(preset, str) else preset
    return opaque(SYSTEMS[preset.kind](preset))
