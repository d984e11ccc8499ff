"""Voices of any name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fewshot_sep.loops.instruments.synth import InventedVoice
from fewshot_sep.loops.instruments.voice import Playable, Voice


@dataclass(frozen=True)
class Named(InventedVoice):
    """An invented instrument that counts as one of a soundfont, or as recorded notes."""

    counts_as: str = "soundfont"

    @property
    def kind(self) -> str:  # type: ignore[override]
        return self.counts_as


def named(
    instrument: str,
    family: str = "reed",
    count: int = 1,
    *,
    keys: tuple[int, ...] = (),
    roles: Sequence[str] = ("melody", "counter"),
    kind: str = "soundfont",
) -> list[Voice]:
    """Voices of this instrument from so many collections, each played by an invented one of its own."""
    played = Playable(instrument, family, tuple(roles), 28, 90, keys)
    return [Named(*played, f"font{number}", "CC0", number, kind) for number in range(count)]
