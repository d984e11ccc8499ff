"""fewshot-sep: separate an instrument from music by an example clip of it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fewshot_sep.separator import Separation, Separator

try:
    __version__ = version("fewshot-sep")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "unknown"

__all__ = ["Separation", "Separator"]


def __getattr__(name: str) -> Any:
    """Import torch only when it is needed: `fewshot-sep --help` must be quick."""
    if name in __all__:
        from fewshot_sep import separator

        return getattr(separator, name)
    raise AttributeError(f"module 'fewshot_sep' has no attribute '{name}'")
