"""What the experiments on the shipped model share: names, and numbers that are chosen."""

from fewshot_sep.loops.tasks.options import MixingOptions

BASE = "recipe"
"""The variant of the ablation that all others are compared with."""
PRESET = "slim"
"""Of the ablation: half the width of the shipped preset."""

METHOD = "segment-no-suppression"
"""As which `fewshot-sep evaluate` knows a trained variant."""

LIBRARY_TASKS = 100
"""Tasks on the library of either sort, seen and held-out instruments, for each variant."""

MIXING_OF_CLEAN_TASKS = MixingOptions(
    sources=(2, 4),
    absent=0,
    cross=0.6,
    same_recording=0,
    all_but_one=0,
    same_family_query=0,
    equalise=0,
    room=0,
    band_limit=0,
)
"""Of the tasks that compare seen with held-out instruments: a query of the very instrument, and no effects."""
