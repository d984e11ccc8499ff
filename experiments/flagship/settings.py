"""What the experiments on the shipped model share: names, and numbers that are chosen."""

BASE = "recipe"
"""The variant of the ablation that all others are compared with."""
PRESET = "slim"
"""Of the ablation: half the width of the shipped preset."""
CONCAT_WIDTH = 16
"""Of the concatenating network: as many parameters as the preset `slim` has, and about its time."""

PRESENT = ("same", "cross")
"""Kinds of items whose target is in the mixture."""
CONDITIONS = ("same", "cross", "absent")
"""Of the evaluation of every variant."""
BASE_CONDITIONS = ("same", "itself", "wrong", "shuffled", "clips")
"""Of the recipe besides."""

LIBRARY_TASKS = 100
"""Tasks on the library of either sort, seen and held-out instruments, for each variant."""
