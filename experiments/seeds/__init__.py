"""The systems of the papers that this project grew from, tiny, trained on one library with one budget.

`load(name, folder)` is a function from a case to the target, `about(name)` its paper; see README.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fewshot_sep.experiments.seeds.about import NAMES, PAPERS, About, about

if TYPE_CHECKING:
    from fewshot_sep.experiments.seeds.separate import LabelSeparator

__all__ = ["NAMES", "PAPERS", "About", "about", "load"]


def load(name: str, folder: Path, device: str = "auto") -> LabelSeparator:
    """See `separate.load`; here nothing heavy is imported before it is called."""
    from fewshot_sep.experiments.seeds.separate import load as load_separator

    return load_separator(name, folder, device)
