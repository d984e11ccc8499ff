"""From waveforms to a network's images and back: what a preset means, for training and for use alike."""

from fewshot_sep.systems.attending import AttendingSystem
from fewshot_sep.systems.base import AnySystem, System, Trainable, opaque
from fewshot_sep.systems.factory import build
from fewshot_sep.systems.image import ImageConditioning, ImageSystem
from fewshot_sep.systems.informed import InformedSystem
from fewshot_sep.systems.mask import MaskSystem
from fewshot_sep.systems.prompted import PromptedSystem

__all__ = [
    "AnySystem",
    "AttendingSystem",
    "ImageConditioning",
    "ImageSystem",
    "InformedSystem",
    "MaskSystem",
    "PromptedSystem",
    "System",
    "Trainable",
    "build",
    "opaque",
]
