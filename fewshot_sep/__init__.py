"""fewshot-sep: separate an instrument from music by an example clip of it."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fewshot_sep.prompt import Prompt
    from fewshot_sep.separator import Separation, Separator
    from fewshot_sep.songs.pipeline import SongResult, SongSeparator

try:
    __version__ = version("fewshot-sep")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "unknown"

__all__ = ["Prompt", "Separation", "Separator", "SongResult", "SongSeparator"]

_HOMES = {
    "Prompt": "fewshot_sep.prompt",
    "Separation": "fewshot_sep.separator",
    "Separator": "fewshot_sep.separator",
    "SongResult": "fewshot_sep.songs.pipeline",
    "SongSeparator": "fewshot_sep.songs.pipeline",
}


def __getattr__(name: str) -> object:
    """Import torch only when it is needed: `fewshot-sep --help` must be quick."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
