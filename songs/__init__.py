"""Whole songs: bars, tempo, joins, and the report of what happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fewshot_sep.songs.pipeline import SongResult, SongSeparator

__all__ = ["SongResult", "SongSeparator"]


def __getattr__(name: str) -> Any:
    """Loaded when first asked for, so that `fewshot-sep --help` need not wait for it."""
    if name in __all__:
        import fewshot_sep.songs.pipeline

        return getattr(fewshot_sep.songs.pipeline, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
